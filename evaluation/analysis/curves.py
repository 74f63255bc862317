"""What a choice costs: precision and recall at every threshold, and accuracy at every coverage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

POINTS = 200  # of a curve, more than a picture shows
THRESHOLDS = np.arange(101) / 100


class ThresholdCurve(NamedTuple):
    """The metrics of one label at some thresholds, (thresholds,); NaN where precision has no text."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


class PrecisionRecall(NamedTuple):
    """Points of a precision-recall curve, with growing recall, (points,), and the average precision of all points."""

    recall: np.ndarray
    precision: np.ndarray
    average_precision: float


class Coverage(NamedTuple):
    """What remains if a model abstains from the texts with the lowest confidence.

    Attributes:
        coverage: the fraction of texts that get a decision, growing, (points,).
        accuracy: the fraction of right decisions among them, (points,).
        lowest: the lowest confidence among them, (points,).
    """

    coverage: np.ndarray
    accuracy: np.ndarray
    lowest: np.ndarray


def threshold_curve(
    has_label: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray = THRESHOLDS
) -> ThresholdCurve:
    """Return the metrics of a label at each of some thresholds.

    Args:
        has_label: whether a text has the label, bool, (texts,).
        probabilities: of the label, (texts,). A text gets it from the threshold on.
        thresholds: (thresholds,).
    """
    predicted, correct = _at_least(probabilities, thresholds), _at_least(probabilities[has_label], thresholds)
    with np.errstate(invalid="ignore"):
        precision = correct / predicted
    recall = correct / max(has_label.sum(), 1)
    return ThresholdCurve(precision, recall, 2 * correct / np.maximum(has_label.sum() + predicted, 1))


def _at_least(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the number of values that are at least a threshold, for each, (thresholds,)."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="left")


def precision_recall(has_label: np.ndarray, probabilities: np.ndarray) -> PrecisionRecall:
    """Return the precision-recall curve of a label, from the text with the highest probability to all texts.

    The average precision is the mean of the precisions at each threshold, weighted with the growth of the recall.

    Args:
        has_label: whether a text has the label, bool, (texts,); for at least one it is true.
        probabilities: of the label, (texts,).
    """
    order = np.argsort(-probabilities, kind="stable")
    descending, correct = probabilities[order], np.cumsum(has_label[order])
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))  # no threshold divides equal ones
    precision, recall = correct[ends] / (ends + 1), correct[ends] / correct[-1]
    average = float(np.sum(np.diff(recall, prepend=0) * precision))
    shown = _spread(recall)
    return PrecisionRecall(recall[shown], precision[shown], average)


def coverage_curve(confidences: np.ndarray, is_right: np.ndarray) -> Coverage:
    """Return the accuracy at each coverage.

    Args:
        confidences: of the decisions, (texts,).
        is_right: whether each is right, bool, (texts,).
    """
    order = np.argsort(-confidences, kind="stable")
    descending, right = confidences[order], np.cumsum(is_right[order])
    ends = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    coverage, accuracy = (ends + 1) / len(order), right[ends] / (ends + 1)
    shown = _spread(coverage)
    return Coverage(coverage[shown], accuracy[shown], descending[ends][shown])


def _spread(growing: np.ndarray) -> np.ndarray:
    """Return the indices of at most about `POINTS` values, spread evenly from the lowest to the highest."""
    wanted = np.linspace(growing[0], growing[-1], POINTS)
    return np.unique(np.append(np.searchsorted(growing, wanted, side="left"), len(growing) - 1))
