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


def random_ids(shape, vocab_size=1500) -> np.ndarray:
    """Return random windows of random lengths, int32, (windows, max_seq_len); 0 is padding."""
    generator = np.random.default_rng(0)
    ids = generator.integers(5, vocab_size, shape)
    lengths = generator.integers(1, shape[1] + 1, shape[0])
    return np.where(np.arange(shape[1]) < lengths[:, None], ids, 0).astype(np.int32)
