"""Compute between which tokens a model attends, and how much of each token reaches the vector that it classifies.

The flow is attention rollout: Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (2020), section 3.
Neither it nor the weights prove why a label was chosen; `serving.explanation.occlusion` measures what a word changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from serving.explanation.window_influence import characters_of, influential_windows
from serving.prediction import NO_LABEL, Prediction
from serving.predictor import Predictor, Reading
from serving.runtimes.selection import keras_file_of
from system.errors import InputError
from system.libraries import quiet_imports
from text.tokens.tokenizer import tokenizer_from_json

if TYPE_CHECKING:
    from network.bert import BertClassifier

# How the tokens of the top layer make the pooled vector, by the name of the pooling.
POOLING_DESCRIPTIONS = {
    "mean": "the mean of all tokens",
    "max": "the maximum of each feature over all tokens; a token counts by the features of which it has the maximum",
    "cls": "the vector of [CLS]",
    "pooler": "a dense layer on the vector of [CLS]",
}
FLOW = (
    "The share of each token in the vector that the model classifies, by attention rollout (Abnar and Zuidema, 2020): "
    "in each layer half of a vector stays at its token, and half comes from the tokens that it attends to, in the mean "
    "of the heads. That vector is {pooling}."
)
CAVEAT = (
    "Attention shows which tokens each layer reads, not why the model chose the label: other weights can lead to the "
    "same prediction. To measure what a word changes, leave it out, as --explain does."
)


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of each layer and head between the tokens of a window.

    Attributes:
        prediction: the prediction for the whole text.
        decision: the prediction on one line, such as "正面, probability of 正面 0.9932, confidence 0.9932".
        tokens: the pieces of the tokenizer, from [CLS] to [SEP].
        weights: float32, (layers, heads, length, length): how much a token, by row, reads of each token, by column.
            Each row sums to 1.
        rollout: float64, (length,): the share of each token in the pooled vector; sums to 1.
        pooling: how the model makes the pooled vector: "mean", "max", "cls" or "pooler".
        window: which part of the text this is; empty for the whole text.
    """

    prediction: Prediction
    decision: str
    tokens: list[str]
    weights: np.ndarray
    rollout: np.ndarray
    pooling: str
    window: str = ""

    @property
    def flow_note(self) -> str:
        """What the rollout is."""
        return FLOW.format(pooling=POOLING_DESCRIPTIONS[self.pooling])


def attention_of(predictor: Predictor, text: str) -> Attention:
    """Return the attention between the tokens of a text.

    Of a text of several windows it is that of the window with the largest part in the decision, the first one that
    `influential_windows` returns.

    Args:
        predictor: the model. Its attention is computed by Keras, from the `.keras` file of an `.onnx` file.
        text: the text.

    Raises:
        InputError: there is no prediction for the text, no `.keras` file with the weights of the model, or no Keras.
    """
    (prediction,) = predictor.predict([text])
    if prediction.problem:
        raise InputError(f"{prediction.problem}: {text!r}")
    classifier = _load_classifier(keras_file_of(predictor.model_path))
    reading = predictor.read(text)
    index, window = _window_to_show(predictor, prediction, reading)
    input_ids = reading.windows.input_ids[index]
    input_ids = input_ids[input_ids != 0]  # padding changes nothing
    weights, sequence = layer_attention(classifier, input_ids)
    tokenizer = tokenizer_from_json(classifier.tokenizer_json, where=str(predictor.model_path))
    return Attention(
        prediction,
        _decision(predictor, prediction),
        [tokenizer.id_to_token(token) for token in input_ids.tolist()],
        weights,
        rollout(weights, pooling_shares(classifier.pooling, sequence)),
        classifier.pooling,
        window,
    )


def layer_attention(classifier: BertClassifier, input_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the attention weights of all layers for one window, and the vectors that are pooled.

    Args:
        classifier: the model.
        input_ids: int32, (length,), without padding.

    Returns:
        float32, (layers, heads, length, length) and (length, d_model).
    """
    from keras import ops

    from network.backbone import backbone_layers

    embedding, *encoders = backbone_layers(classifier)
    sequence = embedding(input_ids[None], training=False)
    weights = []
    for encoder in encoders:
        attended = encoder.attention_normalization(sequence) if encoder.normalize_first else sequence
        _, scores = encoder.attention(attended, attended, return_attention_scores=True, training=False)
        weights.append(scores[0])
        sequence = encoder(sequence, training=False)
    return ops.convert_to_numpy(ops.stack(weights)), ops.convert_to_numpy(sequence[0])


def pooling_shares(pooling: str, sequence: np.ndarray) -> np.ndarray:
    """Return the share of each position in the pooled vector, float64, (length,); they sum to 1.

    "mean" takes the same share of all positions, "cls" and "pooler" take the first position alone, that of [CLS].
    "max" takes each feature from the position that has its maximum, so the share of a position is its fraction of the
    features.

    Args:
        pooling: its name.
        sequence: the vectors that are pooled, (length, d_model).

    Raises:
        InputError: the pooling has another name.
    """
    length, d_model = sequence.shape
    if pooling == "mean":
        return np.full(length, 1 / length)
    if pooling == "max":
        return np.bincount(sequence.argmax(axis=0), minlength=length) / d_model
    if pooling in ("cls", "pooler"):
        return np.eye(length)[0]
    raise InputError(f"the attention of a model with the pooling {pooling!r} cannot be followed to its pooled vector")


def rollout(weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the share of each token in the pooled vector, (length,): attention rollout, from the top layer down.

    In each layer one half of a vector comes from its own position, by the residual connection, and the other half from
    the positions that it attends to, by the mean of the heads. Abnar and Zuidema (2020), section 3.

    Args:
        weights: (layers, heads, length, length).
        shares: the share of each position of the top layer in the pooled vector, (length,).
    """
    for layer in weights[::-1].mean(axis=1, dtype=np.float64):
        shares = (shares + shares @ layer) / 2
    return shares


def _load_classifier(path: Path) -> BertClassifier:
    try:
        with quiet_imports():
            from network.bert import BertClassifier
            from network.model_file import load_model
    except ModuleNotFoundError as error:
        raise InputError(
            f"attention is computed by Keras, but {error.name} is not installed: run `pip install -r "
            "requirements.txt`, or set KERAS_BACKEND to an installed backend"
        ) from None
    return load_model(path, BertClassifier)


def _window_to_show(predictor: Predictor, prediction: Prediction, reading: Reading) -> tuple[int, str]:
    """Return the index of a window, and which part of the text it is."""
    num_windows = len(reading.spans)
    if num_windows == 1:
        return 0, ""
    places = [characters_of(reading, window) for window in range(num_windows)]
    windows = influential_windows(predictor, prediction)
    index = places.index((windows[0].start, windows[0].end)) if windows else 0
    start, end = places[index]
    return index, (
        f"Window {index + 1} of {num_windows}, characters {start}-{end} of {len(prediction.text)}: the window with the "
        "largest part in the decision"
    )


def _decision(predictor: Predictor, prediction: Prediction) -> str:
    names = predictor.labels.names
    shown = names[1] if predictor.labels.is_binary else names[int(np.argmax(prediction.probabilities))]
    return (
        f"{prediction.label or NO_LABEL}, probability of {shown} {prediction.probability:.4f}, "
        f"confidence {prediction.confidence:.4f}"
    )
