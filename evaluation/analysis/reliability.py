"""How honest the confidence of a model is: the expected calibration error.

Guo et al., "On Calibration of Modern Neural Networks" (2017), section 2: the texts are divided into 15 bins of equal
width by the confidence of their decisions; the error is the mean over the texts of the distance between the accuracy
and the mean confidence of their bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 15


class Reliability(NamedTuple):
    """The accuracy of decisions by their confidence.

    Attributes:
        error: the expected calibration error, 0..1.
        edges: the ends of the bins, (bins + 1,).
        counts: the number of decisions in each bin, (bins,).
        confidence: their mean confidence, (bins,); NaN in an empty bin.
        accuracy: the fraction of right ones, (bins,); NaN in an empty bin.
    """

    error: float
    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def lead(self) -> float:
        """The mean confidence minus the accuracy of all decisions; above 0 the model is too sure."""
        is_used = self.counts > 0
        return float(np.average((self.confidence - self.accuracy)[is_used], weights=self.counts[is_used]))


def reliability(confidences: np.ndarray, is_right: np.ndarray, bins: int = BINS) -> Reliability:
    """Return the expected calibration error, and what it is made of.

    Args:
        confidences: the probability of each decision to be right, 0..1, (decisions,).
        is_right: whether it is, bool, (decisions,).
        bins: the number of bins of equal width; the lower end of a bin does not belong to it.
    """
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bin_of, confidences, bins) / counts
        accuracy = np.bincount(bin_of, is_right, bins) / counts
    distance = np.nan_to_num(np.abs(accuracy - confidence))
    return Reliability(float(counts @ distance / counts.sum()), edges, counts, confidence, accuracy)
