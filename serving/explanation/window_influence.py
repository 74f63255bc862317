"""Find the windows of a long text that decided its label.

A text gets a label if its log-odds, which combine those of its windows, reach the threshold. So the decision can be
divided among the windows: the part of each is its weight, times how far its own log-odds lie above the threshold. If
the most probable of more than two labels is chosen, the logit of the strongest other label takes the place of the
threshold. The weight is the derivative of the text's logit with respect to the window's: the weight in the mean for
"mean" and "harmonic", 1 for the highest window and 0 for the others for "max", and between the two for "logsumexp". For
"mean" and "harmonic" the parts add up to the distance of the whole text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.prediction import Prediction
from serving.predictor import Predictor, Reading
from system.output.display import shorten
from text.labels import LabelSet
from text.tokens.windows import Windows

MOST_SHOWN = 5
EXCERPT_WIDTH = 60  # terminal columns
LOWEST_THRESHOLD = 1e-6  # used for 0, whose log-odds are infinite; 1 minus it for 1


@dataclass(frozen=True, slots=True)
class InfluentialWindow:
    """A window of a text, and its part in the decision.

    Attributes:
        label: the name of the label whose decision is divided.
        start: the position of the first character in the text.
        end: the position after the last character.
        excerpt: the beginning of the window, on one line.
        probability: the probability of the label if the window were the whole text.
        share: the part of the window, -1..1; positive if the window speaks for the label, negative if it speaks against
            it. The absolute shares of all windows of a text sum to 1.
    """

    label: str
    start: int
    end: int
    excerpt: str
    probability: float
    share: float


def influential_windows(
    predictor: Predictor, prediction: Prediction, label: str | None = None
) -> list[InfluentialWindow]:
    """Return the windows with a part in a decision, at most `MOST_SHOWN`, the most influential first.

    Args:
        predictor: the model that made the prediction.
        prediction: the prediction for a text.
        label: the name of the label whose decision is divided; None: the predicted one, the most probable of several,
            or, without one, the most probable of all.

    Returns:
        The windows; none for a text without a prediction and for one with a single window.
    """
    reading = None if prediction.problem else predictor.read(prediction.text)
    if reading is None or len(reading.spans) < 2:
        return []
    labels, index = predictor.labels, _label_to_divide(predictor.labels, prediction, label)
    raw_logits = predictor.window_logits(reading.windows.input_ids).astype(np.float64)
    logits = raw_logits / predictor.temperature
    if labels.activation == "softmax":
        (text_logits,) = reading.windows.document_logits(raw_logits) / predictor.temperature
        distances = _distances_from_others(reading.windows, index, logits, text_logits)
    else:
        distances = _distances_from_threshold(labels, predictor.threshold, index, logits)
    weights = _weights(reading.windows, raw_logits[:, 0 if labels.is_binary else index])
    parts = weights * distances
    total = np.abs(parts).sum()
    probabilities = labels.probabilities(logits)[:, index]
    order = np.argsort(-np.abs(parts), kind="stable")[:MOST_SHOWN].tolist()
    influential = [window for window in order if parts[window]]
    places = [characters_of(reading, window) for window in influential]
    return [
        InfluentialWindow(
            label=labels.names[index],
            start=start,
            end=end,
            excerpt=_excerpt(prediction.text[start:end]),
            probability=float(probabilities[window]),
            share=float(parts[window] / total),
        )
        for window, (start, end) in zip(influential, places, strict=True)
    ]


def characters_of(reading: Reading, window: int) -> tuple[int, int]:
    """Return the positions of the first character of a window and after its last one."""
    first, end = reading.spans[window]
    return reading.offsets[first][0], reading.offsets[end - 1][1]


def _excerpt(text: str) -> str:
    # `shorten` takes quadratic time; no excerpt needs more than this.
    return shorten(" ".join(text.split())[: 3 * EXCERPT_WIDTH], EXCERPT_WIDTH)


def _label_to_divide(labels: LabelSet, prediction: Prediction, label: str | None) -> int:
    if label is not None:
        return labels.names.index(label)
    candidates = [labels.names.index(name) for name in prediction.labels] or range(len(labels.names))
    return max(candidates, key=lambda index: prediction.probabilities[index])


def _weights(windows: Windows, logits: np.ndarray) -> np.ndarray:
    """Return the derivative of a text's logit with respect to the logits of its windows, (windows,)."""
    if windows.aggregate == "max":
        return (np.arange(len(logits)) == logits.argmax()).astype(np.float64)
    if windows.aggregate == "logsumexp":
        exponentials = windows.weights * np.exp(logits - logits.max())
        return exponentials / exponentials.sum()
    return windows.weights.astype(np.float64)


def _distances_from_threshold(
    labels: LabelSet, threshold: float | tuple[float, ...], label: int, logits: np.ndarray
) -> np.ndarray:
    """Return how far the log-odds of a label lie above its threshold in each window, (windows,).

    Args:
        labels: the labels of the model.
        threshold: as in `Predictor`.
        label: the index of the label.
        logits: the logits of the windows after calibration, (windows, outputs).
    """
    lowest = threshold[label] if labels.multi_label else threshold if label == 1 else 1 - threshold
    lowest = min(max(lowest, LOWEST_THRESHOLD), 1 - LOWEST_THRESHOLD)
    return labels.log_odds(logits, label) - np.log(lowest / (1 - lowest))


def _distances_from_others(windows: Windows, label: int, logits: np.ndarray, text_logits: np.ndarray) -> np.ndarray:
    """Return how far the logit of a label lies above that of the text's strongest other label, (windows,).

    Args:
        windows: the windows of a text.
        label: the index of the label.
        logits: their logits after calibration, (windows, outputs).
        text_logits: those of the text, (outputs,).
    """
    others = text_logits.copy()
    others[label] = -np.inf
    strongest = others.argmax()
    # In a mean both labels have the same weights; otherwise the windows of the other label have weights of their own.
    is_mean = windows.aggregate in ("mean", "harmonic")
    return logits[:, label] - (logits[:, strongest] if is_mean else text_logits[strongest])
