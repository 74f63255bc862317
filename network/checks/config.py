"""The `config.json` of a `.keras` file: its class, its options and the sizes of its network."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from layers import ACTIVATIONS, PACKAGE
from network.backbone import BertConfig
from network.checks.limits import MOST, MOST_ATTENTION
from network.heads import POOLING_LAYERS
from network.metadata import Metadata
from text.labels import LabelSet

CLASSIFIER, MASKED_LM = "BertClassifier", "BertMaskedLM"
MODULES = ("network.bert", "model")  # the second one in files from before the rooms
PARTS = {"module", "class_name", "registered_name", "config", "build_config", "compile_config"}
OPTIONS = {
    CLASSIFIER: {"config", "metadata", "name", "unfreeze", "pooling", "head_dropout_rate"},
    MASKED_LM: {"config", "metadata", "name", "next_sentence"},
}


class DescribedModel(NamedTuple):
    """What a `config.json` says.

    Attributes:
        config: the sizes of the network.
        labels: the labels of a classifier; None for a pre-training model.
        has_pooler: whether the classifier pools with the pooler of BERT.
        next_sentence: whether the pre-training model has a second head.
    """

    config: BertConfig
    labels: LabelSet | None
    has_pooler: bool
    next_sentence: bool


def described_model(content: bytes, where: str) -> DescribedModel:
    """Return the model that a `config.json` describes, after checking that it is one of ours.

    Args:
        content: the content of the file.
        where: the model's file, for the message of an InputError.

    Raises:
        InputError: its metadata cannot be used.
        ValueError: anything else cannot be used.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its config.json is not JSON ({error})") from None
    _require_object(values, PARTS, "its config.json")
    kind = values.get("class_name")
    if not isinstance(kind, str) or kind not in OPTIONS:
        raise ValueError(f"it contains a {str(kind)[:80]}")
    # Keras looks for the registered name first, and imports the module only if there is none.
    if values.get("registered_name") != f"{PACKAGE}>{kind}" or values.get("module") not in MODULES:
        raise ValueError(f"it contains a {kind} of another program")
    options = values.get("config")
    _require_object(options, OPTIONS[kind], f"the config of its {kind}")
    config = _checked_sizes(options.get("config"))
    metadata = options.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise ValueError("its metadata are no JSON object")
    _require(isinstance(options.get("name", ""), str), "name", options.get("name"), "a text")
    if kind == MASKED_LM:
        next_sentence = options.get("next_sentence", False)
        _require(isinstance(next_sentence, bool), "next_sentence", next_sentence, "true or false")
        return DescribedModel(config, None, False, next_sentence)
    _check_classifier(options, config)
    labels = Metadata.from_json(metadata or {}, where).labels
    return DescribedModel(config, labels, options.get("pooling") == "pooler", False)


def _checked_sizes(values: object) -> BertConfig:
    """Return the sizes of a network, after checking that they are possible and not excessive."""
    _require_object(values, set(BertConfig.__dataclass_fields__), "the sizes of its network")
    for name, most in MOST.items():
        size = values.get(name, getattr(BertConfig, name))
        _require(type(size) is int and 1 <= size <= most, name, size, f"a whole number from 1 to {most:,}")
    config = BertConfig(**values)
    _require(not config.d_model % config.num_heads, "num_heads", config.num_heads, "a divisor of d_model")
    scores = config.num_heads * config.max_seq_len**2
    _require(scores <= MOST_ATTENTION, "max_seq_len", config.max_seq_len, f"less, with {config.num_heads} heads")
    rate, epsilon = config.dropout_rate, config.epsilon
    _require(_is_number(rate) and 0 <= rate < 1, "dropout_rate", rate, "a number from 0, below 1")
    _require(_is_number(epsilon) and 0 < epsilon < 1, "epsilon", epsilon, "a number between 0 and 1")
    _require(type(config.normalize_first) is bool, "normalize_first", config.normalize_first, "true or false")
    _require(config.activation in ACTIVATIONS, "activation", config.activation, f"one of {', '.join(ACTIVATIONS)}")
    return config


def _check_classifier(options: Mapping, config: BertConfig) -> None:
    unfreeze, rate = options.get("unfreeze", 0), options.get("head_dropout_rate", 0)
    is_count = type(unfreeze) is int and 0 <= unfreeze <= config.num_layers
    _require(is_count or unfreeze == "all", "unfreeze", unfreeze, "a number of its encoders, or all")
    _require(_is_number(rate) and 0 <= rate < 1, "head_dropout_rate", rate, "a number from 0, below 1")
    pooling = options.get("pooling", "mean")
    is_known = isinstance(pooling, str) and pooling in POOLING_LAYERS
    _require(is_known, "pooling", pooling, f"one of {', '.join(POOLING_LAYERS)}")


def _require_object(values: object, known: set[str], what: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{what} is no JSON object")
    if unknown := values.keys() - known:
        raise ValueError(f"{what} has {min(unknown)[:80]!r}, which no model has")


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"its config.json has {name} {str(value)[:80]}, but it must be {expected}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
