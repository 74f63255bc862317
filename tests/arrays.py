"""Arrays in the form that the project uses, made of probabilities that a test writes down."""

import numpy as np


def two_columns(positive) -> np.ndarray:
    """Return the probabilities of both labels, (texts, 2), from those of the second one, (texts,)."""
    positive = np.asarray(positive, float)
    return np.stack([1 - positive, positive], axis=-1)


def logits_of(positive) -> np.ndarray:
    """Return the logits, (texts, 1), of probabilities of the second label, (texts,), between 0 and 1."""
    positive = np.asarray(positive, float)
    return (np.log(positive) - np.log1p(-positive))[:, None]
