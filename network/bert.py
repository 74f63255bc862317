"""The models made of the backbone and a head: the pre-training model and the classifier."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
from keras import KerasTensor, layers

from layers import PACKAGE, BertEmbedding
from network.backbone import BertConfig, backbone_layers, backbone_of_any_length, build_backbone, copy_backbone
from network.heads import (
    MASKED_LM_HEAD,
    NEXT_SENTENCE_HEAD,
    POOLING_LAYERS,
    ClassificationLogits,
    MaskedLMHead,
    NextSentenceHead,
)
from system.errors import InputError
from text.labels import SENTIMENT, LabelSet


@keras.saving.register_keras_serializable(package=PACKAGE)
class TokenizerAsset(layers.Layer):
    """A layer that keeps the content of `tokenizer.json` in the model file; part of the model, but not of its graph."""

    FILE_NAME = "tokenizer.json"

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.json = ""
        self.built = True

    def save_assets(self, dir_path: str) -> None:
        Path(dir_path, self.FILE_NAME).write_text(self.json, encoding="utf-8", newline="\n")

    def load_assets(self, dir_path: str) -> None:
        # Not read_text, which would replace a carriage return in the file with a line end.
        self.json = Path(dir_path, self.FILE_NAME).read_bytes().decode("utf-8")


class BertModel(keras.Model):
    """The base class of the two models, which keeps sizes, tokenizer and metadata in one `.keras` file.

    Attributes:
        config: the sizes of the network.
        tokenizer_json: the tokenizer that the model was trained with, as the content of a `tokenizer.json`.
        metadata: JSON values about the model: its training data, its metrics, how to interpret its outputs.
    """

    def __init__(
        self,
        inputs: dict[str, KerasTensor],
        outputs: KerasTensor | dict[str, KerasTensor],
        config: BertConfig,
        tokenizer_json: str,
        metadata: dict | None,
        **kwargs: Any,
    ):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.config = config
        self.tokenizer_asset = TokenizerAsset(name="tokenizer")
        self.tokenizer_asset.json = tokenizer_json
        self.metadata = metadata or {}

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer that the model was trained with, as the content of a `tokenizer.json`."""
        return self.tokenizer_asset.json

    def get_config(self) -> dict:
        return {"config": dataclasses.asdict(self.config), "metadata": dict(self.metadata), "name": self.name}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> BertModel:
        return cls(**config | {"config": BertConfig(**config["config"])})


@keras.saving.register_keras_serializable(package=PACKAGE)
class BertMaskedLM(BertModel):
    """The pre-training model, which predicts the tokens at `masked_positions` (int32, (batch, predictions)).

    Args:
        config: the sizes of the network.
        tokenizer_json: see `BertModel`.
        metadata: see `BertModel`.
        next_sentence: whether it has a second head, `NextSentenceHead`. Its output is then a dict of the logits of both
            tasks, "masked_lm" and "next_sentence".
        name: the name of the model.
    """

    def __init__(
        self,
        config: BertConfig,
        tokenizer_json: str = "",
        metadata: dict | None = None,
        next_sentence: bool = False,
        name: str = "bert_masked_lm",
    ):
        backbone = build_backbone(config)
        masked_positions = keras.Input((None,), dtype="int32", name="masked_positions")
        head = masked_lm_head(config, backbone.get_layer("bert_embedding"))
        sequence = backbone.output["sequence_output"]
        outputs = head(sequence, masked_positions)
        if next_sentence:
            next_sentence_head = NextSentenceHead(config.d_model, name=NEXT_SENTENCE_HEAD)
            outputs = {"masked_lm": outputs, "next_sentence": next_sentence_head(sequence)}
        super().__init__(
            {**backbone.input, "masked_positions": masked_positions},
            outputs,
            config,
            tokenizer_json,
            metadata,
            name=name,
        )
        self.next_sentence = next_sentence

    def get_config(self) -> dict:
        return super().get_config() | {"next_sentence": self.next_sentence}

    @property
    def masked_lm_output(self) -> KerasTensor:
        """The symbolic output of masked language modelling, whether there is a second one or not."""
        return self.output["masked_lm"] if self.next_sentence else self.output


@keras.saving.register_keras_serializable(package=PACKAGE)
class BertClassifier(BertModel):
    """The classifier, which returns the probabilities of a window's labels, (batch, outputs); see `LabelSet`.

    The project itself uses logits: see `logits_model`.

    Args:
        config: the sizes of the network.
        tokenizer_json: see `BertModel`.
        metadata: see `BertModel`; its "labels" are the names of the labels, by default those of sentiment, and its
            "multi_label" says whether a text may have several of them.
        unfreeze: what to train besides the head: a number of encoders, counted from the top, or "all".
        name: the name of the model.
        pooling: the vector of a window: "mean" or "max" over its tokens, "cls", that of its first token, or "pooler",
            that of its first token after the pooler of BERT. Files without it have "mean".
        head_dropout_rate: fraction of the values of that vector dropped in training. Files without it have 0.

    Raises:
        InputError: the model has fewer encoders than `unfreeze`, or the pooling is unknown.
    """

    def __init__(
        self,
        config: BertConfig,
        tokenizer_json: str = "",
        metadata: dict | None = None,
        unfreeze: int | str = 0,
        name: str = "bert_classifier",
        *,
        pooling: str = "mean",
        head_dropout_rate: float = 0.0,
    ):
        if unfreeze != "all" and not 0 <= unfreeze <= config.num_layers:
            raise InputError(f"cannot unfreeze {unfreeze} encoders: the model has {config.num_layers}")
        if pooling not in POOLING_LAYERS:
            raise InputError(f"unknown pooling {pooling!r}: use one of {', '.join(POOLING_LAYERS)}")
        backbone = build_backbone(config)
        pooled = POOLING_LAYERS[pooling](name="pooled_output")(
            backbone.output["sequence_output"], backbone.output["padding_mask"]
        )
        if head_dropout_rate:  # without dropout the layers are those of all earlier files
            pooled = layers.Dropout(head_dropout_rate, name="head_dropout")(pooled)
        # float32 in every precision, because 16 bits would round probabilities near 1 to 1.
        labels = _label_set_of(metadata or {})
        head = layers.Dense(labels.num_outputs, labels.activation, dtype="float32", name="classification_output")
        super().__init__(backbone.input, head(pooled), config, tokenizer_json, metadata, name=name)
        self.unfreeze = unfreeze
        self.pooling = pooling
        self.head_dropout_rate = head_dropout_rate
        frozen = [] if unfreeze == "all" else backbone_layers(self)[: 1 + config.num_layers - unfreeze]
        if unfreeze == 0:
            frozen.append(self.get_layer("pooled_output"))
        for layer in frozen:
            layer.trainable = False

    @property
    def label_set(self) -> LabelSet:
        """The labels of the outputs."""
        return _label_set_of(self.metadata)

    def get_config(self) -> dict:
        return super().get_config() | {
            "unfreeze": self.unfreeze,
            "pooling": self.pooling,
            "head_dropout_rate": self.head_dropout_rate,
        }


def masked_lm_head(config: BertConfig, embedding: BertEmbedding) -> MaskedLMHead:
    """Return a new masked-LM head for a network, tied to its embedding and in its precision."""
    head = MaskedLMHead(
        config.vocab_size,
        config.d_model,
        activation=config.head_activation,
        epsilon=config.epsilon,
        name=MASKED_LM_HEAD,
        dtype=embedding.dtype_policy,
    )
    head.tie(embedding)
    return head


def _label_set_of(metadata: dict) -> LabelSet:
    return LabelSet(tuple(metadata.get("labels", SENTIMENT.names)), metadata.get("multi_label", False))


def logits_model(classifier: BertClassifier, *, any_length: bool = False) -> keras.Model:
    """Return a model that shares the weights of `classifier` and returns logits, float32, (batch, outputs).

    In training, the dropout of the head acts on its input as it does in `classifier`.

    Args:
        classifier: the classifier.
        any_length: whether the inputs may have any length up to that of `classifier`, from batch to batch. Padding
            does not change the logits, so short texts need not be filled up.
    """
    if any_length:
        backbone = backbone_of_any_length(classifier)
        return keras.Model(backbone.input, logits_of(classifier, backbone), name="classification_logits")
    head = classifier.get_layer("classification_output")
    return keras.Model(classifier.input, ClassificationLogits(head)(head.input), name="classification_logits")


def logits_of(classifier: BertClassifier, backbone: keras.Model) -> KerasTensor:
    """Return the symbolic logits of a classifier for the output of a backbone, float32, (batch, outputs).

    Args:
        classifier: the classifier, whose head computes them.
        backbone: its network without the head, see `network.backbone.backbone_of_any_length`.
    """
    pooled = classifier.get_layer("pooled_output")(backbone.output["sequence_output"], backbone.output["padding_mask"])
    if classifier.head_dropout_rate:
        pooled = classifier.get_layer("head_dropout")(pooled)
    return ClassificationLogits(classifier.get_layer("classification_output"))(pooled)


def classifier_from_pretrained(
    pretrained: BertModel,
    unfreeze: int | str = 0,
    dropout_rate: float = BertConfig.dropout_rate,
    labels: LabelSet = SENTIMENT,
    *,
    pooling: str = "mean",
    head_dropout_rate: float = 0.0,
) -> BertClassifier:
    """Build a classifier with the backbone and the tokenizer of `pretrained` and a new head.

    With the pooling "pooler" it gets the pooler of `pretrained` too, or a new one if there is none.

    Args:
        pretrained: the model to start from.
        unfreeze: see `BertClassifier`.
        dropout_rate: fraction of the values dropped in training. Pre-training may need no dropout, but fine-tuning on
            a few thousand texts does.
        labels: the labels of the new head.
        pooling: see `BertClassifier`.
        head_dropout_rate: see `BertClassifier`.
    """
    config = dataclasses.replace(pretrained.config, dropout_rate=dropout_rate)
    classifier = BertClassifier(
        config,
        pretrained.tokenizer_json,
        labels.to_json(),
        unfreeze=unfreeze,
        pooling=pooling,
        head_dropout_rate=head_dropout_rate,
    )
    copy_backbone(pretrained, classifier)
    copy_pooler(pretrained, classifier)
    return classifier


def copy_pooler(source: BertModel, target: BertModel) -> None:
    """Copy the weights of the pooler of `source` to that of `target`, if both have one."""
    pooler, copied = pooler_of(source), pooler_of(target)
    if pooler is not None and copied is not None:
        copied.set_weights(pooler.get_weights())


def pooler_of(model: BertModel) -> layers.Dense | None:
    """Return the pooler of a model: a classifier may pool with it, a head for next sentences contains it.

    Returns:
        The dense layer with tanh, or None.
    """
    if isinstance(model, BertMaskedLM):
        return model.get_layer(NEXT_SENTENCE_HEAD).pooler if model.next_sentence else None
    return model.get_layer("pooled_output").dense if model.pooling == "pooler" else None
