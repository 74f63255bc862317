"""The `config.json` of a BERT checkpoint, read and written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from network.backbone import BertConfig
from network.metadata import Metadata
from system.errors import InputError
from system.files import as_input_error
from text.labels import LabelSet

CONFIG_NAMES = ("config.json", "bert_config.json")  # of Hugging Face, and of google-research
OWN_VALUES = "mini_bert"  # the key of what only this project reads
MULTI_LABEL = "multi_label_classification"
CLASSIFIER_CLASS = "BertForSequenceClassification"
# Our activations on the left; all names of them on the right, first the one to write.
ACTIVATION_NAMES = {
    "relu": ("relu",),
    "gelu": ("gelu", "gelu_python"),
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
}
# The names of the sizes, ours on the left.
SIZE_NAMES = {
    "vocab_size": "vocab_size",
    "max_seq_len": "max_position_embeddings",
    "d_model": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "dff": "intermediate_size",
    "type_vocab_size": "type_vocab_size",
}
DEFAULT_EPSILON = 1e-12  # of BERT, where config.json does not say


class CheckpointConfig(NamedTuple):
    """What the `config.json` of a checkpoint says.

    Attributes:
        config: the sizes of the network.
        values: all values of the file.
        path: the file.
    """

    config: BertConfig
    values: dict
    path: Path

    def classifier_metadata(self, num_labels: int) -> dict:
        """Return the metadata of a classifier as JSON values, see `network.metadata.Metadata`.

        They are those that this project wrote, or the labels alone, if another program wrote the file, or has trained
        the classifier with other labels since.

        Args:
            num_labels: the number of its labels, for which `transformers` has names if the file has none.

        Raises:
            InputError: they cannot be used, or the classifier is not one of texts.
        """
        self._require_classifier_of_texts()
        try:
            names = self.values.get("id2label") or {index: f"LABEL_{index}" for index in range(num_labels)}
            ordered = tuple(str(names[index]) for index in sorted(names, key=int))
            labels = LabelSet(ordered, self.values.get("problem_type") == MULTI_LABEL)
        except (InputError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{self.path}: id2label cannot be used ({error})") from None
        if OWN_VALUES in self.values:
            metadata = Metadata.from_json(self.values[OWN_VALUES], str(self.path))
            if metadata.labels == labels:
                return metadata.to_json()
        return labels.to_json()

    @property
    def pretraining_metadata(self) -> dict:
        """The metadata of a pre-training of this project as JSON values; empty if there are none."""
        own = self.values.get(OWN_VALUES)
        return own if isinstance(own, dict) else {}

    def _require_classifier_of_texts(self) -> None:
        """Refuse what has a tensor of the same name, such as a classifier of tokens, and a regression."""
        found = self.values.get("architectures") or [CLASSIFIER_CLASS]
        if found != [CLASSIFIER_CLASS]:
            raise InputError(
                f"{self.path}: architectures is {found!r}; of the models with a classifier only {CLASSIFIER_CLASS!r} "
                "can be read"
            )
        if self.values.get("problem_type") == "regression":
            raise InputError(f"{self.path}: problem_type is 'regression'; only a classifier can be read")


def config_path(folder: Path) -> Path:
    """Return the `config.json` or `bert_config.json` of a folder.

    Raises:
        InputError: there is no such file.
    """
    path = next((folder / name for name in CONFIG_NAMES if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: not a BERT checkpoint: the folder contains neither {' nor '.join(CONFIG_NAMES)}")
    return path


def read_config(folder: Path) -> CheckpointConfig:
    """Return what the `config.json` or `bert_config.json` of a folder says.

    Raises:
        InputError: there is no such file, it cannot be read, or it describes another network than BERT.
    """
    path = config_path(folder)
    with as_input_error(path):
        content = path.read_bytes()
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a JSON object")
    _require_bert(values, path)
    try:
        config = BertConfig(
            **{ours: int(values[theirs]) for ours, theirs in SIZE_NAMES.items()},
            dropout_rate=float(values.get("hidden_dropout_prob", BertConfig.dropout_rate)),
            normalize_first=False,
            activation=_activation(values, path),
            epsilon=float(values.get("layer_norm_eps", DEFAULT_EPSILON)),
        )
    except KeyError as error:
        raise InputError(f"{path}: {error} is missing") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: a size of the network is not a number ({error})") from None
    are_fractions = 0 <= config.dropout_rate < 1 and 0 < config.epsilon < 1
    if min(getattr(config, ours) for ours in SIZE_NAMES) < 1 or config.d_model % config.num_heads or not are_fractions:
        raise InputError(f"{path}: the sizes of the network are not possible")
    return CheckpointConfig(config, values, path)


def config_values(config: BertConfig) -> dict:
    """Return the values of a `config.json` for a post-norm network, without those of a head."""
    return {
        "model_type": "bert",
        **{theirs: getattr(config, ours) for ours, theirs in SIZE_NAMES.items()},
        "hidden_act": ACTIVATION_NAMES[config.activation][0],
        "layer_norm_eps": config.epsilon,
        "hidden_dropout_prob": config.dropout_rate,
        "attention_probs_dropout_prob": config.dropout_rate,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
    }


def label_values(metadata: Metadata) -> dict:
    """Return the values of a `config.json` for the labels of a classifier, and what only this project reads."""
    names = metadata.labels.names
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": MULTI_LABEL if metadata.labels.multi_label else "single_label_classification",
        OWN_VALUES: metadata.to_json(),
    }


def _require_bert(values: Mapping, path: Path) -> None:
    kind = values.get("model_type", "bert")
    if kind != "bert":
        raise InputError(f"{path}: a {kind} model; only BERT can be read (model_type bert)")
    for name, expected in (("position_embedding_type", "absolute"), ("is_decoder", False)):
        if (found := values.get(name, expected)) != expected:
            raise InputError(f"{path}: {name} is {found!r}; only {expected!r} can be read")


def _activation(values: Mapping, path: Path) -> str:
    name = values.get("hidden_act", "gelu")
    for ours, theirs in ACTIVATION_NAMES.items():
        if name in theirs:
            return ours
    known = ", ".join(theirs for names in ACTIVATION_NAMES.values() for theirs in names)
    raise InputError(f"{path}: the activation is {name!r}; only {known} can be read")
