"""The calibration of a classifier on its validation split: a temperature, and thresholds where there are any."""

from typing import NamedTuple

import numpy as np

from evaluation.metrics import log_loss
from evaluation.multi_label import best_thresholds
from text.labels import LabelSet

TEMPERATURES = (0.2, 5.0)
# Standard deviation of the logarithm of the temperature before any text is seen: two times in three it is between 0.6
# and 1.6. With 20 texts this lowers the log-loss of the others by 0.03, with 300 it changes nothing.
TEMPERATURE_DEVIATION = 0.5


class Calibration(NamedTuple):
    """The calibration of a model.

    Attributes:
        temperature: the number that logits are divided by.
        threshold: the lowest probability of the second label, after that division, with which a text gets it; if a
            text may have several labels, that of each label; None for more than two labels.
    """

    temperature: float
    threshold: float | tuple[float, ...] | None


def calibrate(label_set: LabelSet, labels: np.ndarray, logits: np.ndarray) -> Calibration:
    """Return the most probable temperature, given a validation split, and the threshold with the best macro-F1 on it.

    Few texts hardly move the temperature from 1; of many it is the one with the lowest log-loss. More than two labels
    have no threshold. If a text may have several labels, each has its own threshold.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2.

    Args:
        label_set: turns logits into probabilities.
        labels: (texts,), the index of each text's label; or 1 where a text has a label, else 0, (texts, labels).
        logits: (texts, outputs).
    """
    temperature = _best_temperature(label_set, labels, logits)
    if not label_set.is_binary and not label_set.multi_label:
        return Calibration(temperature, None)
    probabilities = label_set.probabilities(logits / temperature)
    if label_set.multi_label:
        return Calibration(temperature, best_thresholds(labels, probabilities))
    return Calibration(temperature, _best_threshold(labels, probabilities[:, 1]))


def _best_temperature(label_set: LabelSet, labels: np.ndarray, logits: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        probabilities = label_set.probabilities(logits / np.exp(log_temperature))
        of_prior = (log_temperature / TEMPERATURE_DEVIATION) ** 2 / 2
        return log_loss(labels, probabilities) + of_prior / np.size(labels)

    return round(float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x)), 4)


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the threshold, halfway between two texts, with the best macro-F1; of several the nearest to 0.5.

    Args:
        labels: (texts,).
        probabilities: (texts,), of the second label.
    """
    different = np.unique(np.append(probabilities, 0.5))
    candidates = np.append((different[1:] + different[:-1]) / 2, 0.5)
    candidates = np.unique(np.round(candidates[(candidates > 0.1) & (candidates < 0.9)], 3))
    is_second, is_predicted = np.asarray(labels)[:, None] == 1, probabilities[:, None] >= candidates
    macro_f1 = (_f1(is_second, is_predicted) + _f1(~is_second, ~is_predicted)) / 2
    return float(min(zip(macro_f1, candidates, strict=True), key=lambda pair: (-pair[0], abs(pair[1] - 0.5)))[1])


def _f1(truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the F1, (thresholds,), of bool predictions, (texts, thresholds), against the truth, (texts, 1)."""
    return 2 * (truth & predictions).sum(axis=0) / np.maximum(truth.sum() + predictions.sum(axis=0), 1)
