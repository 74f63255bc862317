"""Random draws of rows: the original's, and one of the same fraction of every label."""

import numpy as np

from system.errors import InputError
from system.libraries import disable_telemetry

SPLIT_SEED = 42
VALIDATION_FRACTION = 0.1


def train_test_split(count: int, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled row indices, int64, for training and for the test.

    `datasets.Dataset.train_test_split` draws them, as in the original.

    Args:
        count: the number of rows.
        test_size: the fraction of the rows for the test.

    Raises:
        InputError: the fraction is out of range, or leaves no row for training.
    """
    if not 0 < test_size < 1:
        raise InputError(f"the test size must be above 0 and below 1, not {test_size:g}")
    disable_telemetry()
    from datasets import Dataset

    rows = Dataset.from_dict({"row": np.arange(count)})
    try:
        splits = rows.train_test_split(test_size=test_size, shuffle=True, seed=seed)
    except ValueError as error:  # its words name the parameters of scikit-learn
        raise InputError(
            f"a test size of {test_size:g} leaves none of {count:,} rows to train on; reduce it or add rows"
        ) from error
    train, test = (np.asarray(splits[name][:]["row"], dtype=np.int64) for name in ("train", "test"))
    return train, test


def stratified_split(
    labels: np.ndarray, indices: np.ndarray, fraction: float = VALIDATION_FRACTION, seed: int = SPLIT_SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into kept ones and ones that are set aside: the same fraction of every label.

    A label with two rows or more has at least one on each side.

    Args:
        labels: the labels of all rows, of any type, (rows,).
        indices: the rows to split. Their order is kept.
        fraction: the fraction to set aside.

    Returns:
        The indices of the kept rows, and of those set aside.

    Raises:
        InputError: no label has two rows.
    """
    indices = np.asarray(indices)
    generator = np.random.default_rng(seed)
    is_set_aside = np.zeros(len(indices), dtype=bool)
    for label in np.unique(labels[indices]):
        positions = generator.permutation(np.flatnonzero(labels[indices] == label))
        count = min(max(round(fraction * len(positions)), 1), len(positions) - 1)
        is_set_aside[positions[:count]] = True
    if not is_set_aside.any():
        raise InputError(f"{len(indices):,} rows are too few to split: none of their labels or groups has two")
    return indices[~is_set_aside], indices[is_set_aside]
