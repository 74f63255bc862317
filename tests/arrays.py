"""Arrays in the form that the project has them, made of what a test writes down."""

import numpy as np


def two_columns(positive) -> np.ndarray:
    """The probabilities of both labels, (texts, 2), from those of the second one, (texts,)."""
    positive = np.asarray(positive, float)
    return np.stack([1 - positive, positive], axis=-1)


def logits_of(positive) -> np.ndarray:
    """The logits, (texts, 1), of probabilities of the second label, (texts,), within 0..1 but not at its ends."""
    positive = np.asarray(positive, float)
    return (np.log(positive) - np.log1p(-positive))[:, None]
