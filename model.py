"""The mini-BERT: its configuration, its builders and the file that it lives in; run as a script, the basic training."""

if __name__ == "__main__":
    from text.commands import quiet_imports

    # Keras finds the classes below by name, so they must exist once: in the module `model`, not here as well.
    with quiet_imports():
        from model import main

    raise SystemExit(main())

import argparse
import dataclasses
import functools
import os
import random
import textwrap
from pathlib import Path

import keras
from keras import layers, ops

from layers import PACKAGE, BertEmbedding, MaskedLMHead, MaskedMeanPooling, TransformerEncoder
from text.commands import InputError, exits_with_status, first_line, positive_float, positive_int
from text.reading.files import check_writable, keep_previous, replace_atomically
from text.reading.readers import LabelledTexts, source_name
from text.windows import WindowSettings

MAX_SEQ_LEN = 64
BATCH_SIZE = 32
EPOCHS = 15
LEARNING_RATE = 2e-5  # of pre-trained weights, which stay frozen here
HEAD_LEARNING_RATE = 1e-2
TEST_SIZE = 1 / 6

PRETRAINED_PATH = "mini_bert_zh_hk.keras"
CLASSIFIER_PATH = "mini_bert_sentiment_classifier.keras"
DATASET = "XiangPan/ChnSentiCorp_htl_8k"
PADDING_ID = 0
POSITIVE_THRESHOLD = 0.7


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The sizes of the network. Dropout is in training alone; a model may be trained on with another rate."""

    vocab_size: int = 21_128
    max_seq_len: int = MAX_SEQ_LEN
    d_model: int = 64
    num_layers: int = 2
    num_heads: int = 4
    dff: int = 256
    type_vocab_size: int = 2
    dropout_rate: float = 0.1
    normalize_first: bool = True


@keras.saving.register_keras_serializable(package=PACKAGE)
class TokenizerAsset(layers.Layer):
    """Keeps the text of `tokenizer.json` inside the model file. Is part of the model, but not of its graph."""

    FILE_NAME = "tokenizer.json"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.json = ""
        self.built = True

    def save_assets(self, dir_path):
        Path(dir_path, self.FILE_NAME).write_text(self.json, encoding="utf-8", newline="\n")

    def load_assets(self, dir_path):
        # Not read_text, which would turn a carriage return inside the file into a line end.
        self.json = Path(dir_path, self.FILE_NAME).read_bytes().decode("utf-8")


class BertModel(keras.Model):
    """What the two models share: configuration, tokenizer and metadata, written into one `.keras` file.

    Attributes:
        config: `BertConfig`.
        tokenizer_json: the tokenizer that the model was trained with, as the text of a `tokenizer.json`.
        metadata: JSON values about the model: its data, its figures, how its answers are to be read.
    """

    def __init__(self, inputs, outputs, config, tokenizer_json, metadata, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.config = config
        self.tokenizer_asset = TokenizerAsset(name="tokenizer")
        self.tokenizer_asset.json = tokenizer_json
        self.metadata = metadata or {}

    @property
    def tokenizer_json(self) -> str:
        return self.tokenizer_asset.json

    def get_config(self):
        return {"config": dataclasses.asdict(self.config), "metadata": dict(self.metadata), "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config | {"config": BertConfig(**config["config"])})


@keras.saving.register_keras_serializable(package=PACKAGE)
class BertMaskedLM(BertModel):
    """The pre-training model: guesses the tokens at `masked_positions` (int32, (batch, predictions))."""

    def __init__(self, config: BertConfig, tokenizer_json="", metadata=None, name="bert_masked_lm"):
        backbone = build_backbone(config)
        masked_positions = keras.Input((None,), dtype="int32", name="masked_positions")
        head = MaskedLMHead(config.vocab_size, config.d_model, name="masked_lm_head")
        head.tie(backbone.get_layer("bert_embedding"))
        super().__init__(
            {**backbone.input, "masked_positions": masked_positions},
            head(backbone.output["sequence_output"], masked_positions),
            config,
            tokenizer_json,
            metadata,
            name=name,
        )


@keras.saving.register_keras_serializable(package=PACKAGE)
class BertClassifier(BertModel):
    """The sentiment model: the probability, (batch, 1), that a text is positive.

    Args:
        unfreeze: how much beside the head is trained: a number of encoders, counted from the top, or "all".

    Raises:
        InputError: there are fewer encoders than are to be unfrozen.
    """

    def __init__(self, config: BertConfig, tokenizer_json="", metadata=None, unfreeze=0, name="bert_classifier"):
        if unfreeze != "all" and not 0 <= unfreeze <= config.num_layers:
            raise InputError(f"{unfreeze} encoders cannot be unfrozen: the model has {config.num_layers}")
        backbone = build_backbone(config)
        pooled = MaskedMeanPooling(name="pooled_output")(
            backbone.output["sequence_output"], backbone.output["padding_mask"]
        )
        # float32 whatever the precision of the rest: 16 bits would round probabilities near 1 to 1.
        head = layers.Dense(1, activation="sigmoid", dtype="float32", name="classification_output")
        super().__init__(backbone.input, head(pooled), config, tokenizer_json, metadata, name=name)
        self.unfreeze = unfreeze
        frozen = [] if unfreeze == "all" else backbone_layers(self)[: 1 + config.num_layers - unfreeze]
        for layer in frozen:
            layer.trainable = False

    def get_config(self):
        return super().get_config() | {"unfreeze": self.unfreeze}


def build_backbone(config: BertConfig) -> keras.Model:
    """Returns the network without a head.

    Inputs: a dict of `input_ids` and `token_type_ids`, int32, (batch, max_seq_len).
    Outputs: a dict of `sequence_output`, (batch, max_seq_len, d_model), and `padding_mask`, bool,
    (batch, max_seq_len), True at real tokens.
    """
    inputs = {
        name: keras.Input((config.max_seq_len,), dtype="int32", name=name) for name in ("input_ids", "token_type_ids")
    }
    padding_mask = ops.not_equal(inputs["input_ids"], PADDING_ID)
    sequence = BertEmbedding(
        config.vocab_size,
        config.max_seq_len,
        config.d_model,
        config.type_vocab_size,
        config.dropout_rate,
        name="bert_embedding",
    )(inputs["input_ids"], inputs["token_type_ids"])
    for number in range(config.num_layers):
        sequence = TransformerEncoder(
            config.d_model,
            config.num_heads,
            config.dff,
            config.dropout_rate,
            config.normalize_first,
            name=f"transformer_encoder_{number}" if number else "transformer_encoder",
        )(sequence, padding_mask)
    return keras.Model(inputs, {"sequence_output": sequence, "padding_mask": padding_mask}, name="bert_backbone")


def backbone_layers(model: keras.Model) -> list[layers.Layer]:
    """Returns the layers with pre-trained weights: the embedding, then the encoders from the bottom up."""
    return [layer for layer in model.layers if isinstance(layer, BertEmbedding | TransformerEncoder)]


def classifier_from_pretrained(
    pretrained: BertModel, unfreeze: int | str = 0, dropout_rate: float = BertConfig.dropout_rate
) -> BertClassifier:
    """Returns a classifier with the backbone and the tokenizer of `pretrained` and a fresh head.

    Args:
        unfreeze: see `BertClassifier`.
        dropout_rate: in training; pre-training may have done without dropout, a few thousand reviews may not.
    """
    config = dataclasses.replace(pretrained.config, dropout_rate=dropout_rate)
    classifier = BertClassifier(config, pretrained.tokenizer_json, unfreeze=unfreeze)
    copy_backbone(pretrained, classifier)
    return classifier


def copy_backbone(source: BertModel, target: BertModel) -> None:
    """Gives the embedding and the encoders of `target` the weights of those of `source`."""
    for source_layer, target_layer in zip(backbone_layers(source), backbone_layers(target), strict=True):
        target_layer.set_weights(source_layer.get_weights())


def save_model(model: BertModel, path: str | os.PathLike) -> None:
    """Writes the model to one `.keras` file, whole or not at all, without the state of its optimizer."""
    bare = type(model).from_config(model.get_config())
    bare.tokenizer_asset.json = model.tokenizer_json
    bare.set_weights(model.get_weights())
    with replace_atomically(path) as temporary:
        bare.save(temporary)


def save_classifier(
    classifier: BertClassifier,
    path: str | os.PathLike,
    labelled: LabelledTexts,
    assessment: dict,
    windows: WindowSettings,
) -> None:
    """Writes the classifier, with how to read its answers; an earlier file is kept as `NAME.previous.keras`.

    Args:
        labelled: what it was trained and tested on.
        assessment: its test and its calibration, as `evaluation.assessment.assess` returns them.
        windows: how it reads a text.
    """
    classifier.metadata = {
        "labels": ["负面", "正面"],
        **assessment["calibration"],
        "windows": dataclasses.asdict(windows),
        "data": {"name": source_name(labelled.name), "rows": len(labelled.texts), "sha256": labelled.sha256},
        "test": assessment["test"],
    }
    keep_previous(path)
    save_model(classifier, path)


def load_model(path: str | os.PathLike, expected: type[BertModel] = BertModel) -> BertModel:
    """Returns the model of a `.keras` file that `save_model` wrote.

    Raises:
        InputError: there is no such file, it is damaged, or it holds something other than `expected`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such model file; {_how_to_make(expected)}")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # A damaged file fails in as many ways as it has parts: with NotImplementedError and EOFError, for instance.
        reason = textwrap.shorten(first_line(error), 160, placeholder="…")
        raise InputError(
            f"{path}: not a model file of this project, or a damaged one ({reason}); {_how_to_make(expected)}"
        ) from None
    if not isinstance(model, expected):
        raise InputError(f"{path}: holds a {type(model).__name__}, not a {expected.__name__}; {_how_to_make(expected)}")
    return model


def _how_to_make(expected: type[BertModel]) -> str:
    script = "fine_tuning.py" if expected is BertClassifier else "pretrain.py"
    return f"`python {script}` makes one"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Trains the head of the sentiment classifier: the basic script. fine_tuning.py does more.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--dataset", default=DATASET, metavar="SOURCE", help="a file, a hub data set, or sample")
    parser.add_argument("--text-column", metavar="NAME", help="column of the text; found by itself if usual")
    parser.add_argument("--label-column", metavar="NAME", help="column of the label; found by itself if usual")
    parser.add_argument("--pretrained", default=PRETRAINED_PATH, metavar="FILE", help="model to start from")
    parser.add_argument("--output", default=CLASSIFIER_PATH, metavar="FILE", help="where the model goes")
    parser.add_argument("--epochs", type=positive_int, default=EPOCHS, help="times to go through the data")
    parser.add_argument("--batch-size", type=positive_int, default=BATCH_SIZE, help="reviews a batch")
    parser.add_argument("--head-learning-rate", type=positive_float, default=HEAD_LEARNING_RATE, help="of the head")
    return parser


@exits_with_status
def main(argv=None) -> None:
    args = build_parser().parse_args(argv)
    from evaluation.assessment import assess, print_assessment
    from serving.runtimes.onnx_export import export_onnx
    from text.reviews import load_reviews, print_reviews
    from text.tokenizer import tokenizer_from_json
    from training.classification import FineTuningPlan, predict_probabilities, train_classifier

    check_writable(args.output)
    classifier = classifier_from_pretrained(load_model(args.pretrained))
    reviews = load_reviews(
        args.dataset,
        tokenizer_from_json(classifier.tokenizer_json),
        classifier.config.max_seq_len,
        test_size=TEST_SIZE,
        text_column=args.text_column,
        label_column=args.label_column,
    )
    print_reviews(reviews)
    plan = FineTuningPlan(
        args.epochs, args.batch_size, LEARNING_RATE, args.head_learning_rate, seed=random.randrange(2**31)
    )
    train_classifier(classifier, reviews, plan)
    assessment = assess(functools.partial(predict_probabilities, classifier), reviews, POSITIVE_THRESHOLD)
    print_assessment(assessment, source_name(reviews.labelled.name))
    save_classifier(classifier, args.output, reviews.labelled, assessment, WindowSettings())
    export_onnx(args.output)
    print(f"Model saved to {args.output}")
