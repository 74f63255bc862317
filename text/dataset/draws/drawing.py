"""Draws of rows: random ones like the original's, stratified ones, folds, and parts that contain each other."""

import numpy as np

from system.errors import InputError
from system.libraries import disable_telemetry
from text.dataset.labelled_texts import MIN_ROWS_OF_LABEL, LabelledTexts
from text.dataset.origins import DATASET, TEST

SPLIT_SEED = 42
VALIDATION_FRACTION = 0.1


def usable_rows(labelled: LabelledTexts, part: str) -> np.ndarray:
    """Return the usable rows of a part of a data set, see `text.dataset.origins`, as indices."""
    rows = labelled.origins.rows_of(part)
    return rows[labelled.usable[rows]]


def split_rows(
    labelled: LabelledTexts, test_size: float, seed: int = SPLIT_SEED, *, stratify: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the usable rows for training and for the test, as indices.

    If the test split has an official file, all rows of the data set itself are for training. Rows of an official file
    of the validation split are in neither split.

    The split of two labels without groups is that of the original: it is drawn over all rows before the unusable ones
    are left out, so it does not depend on which rows this project can use. With groups, with more labels, or with
    `stratify`, the test split has the same fraction of every group and label.

    Raises:
        InputError: there are too few rows.
    """
    usable = usable_rows(labelled, DATASET)
    if TEST in labelled.origins.names:
        return usable, usable_rows(labelled, TEST)
    if stratify or labelled.groups is not None or not labelled.label_set.is_binary:
        return split_by_strata(labelled, usable, test_size, seed)
    train, test = train_test_split(len(labelled.origins.rows_of(DATASET)), test_size, seed)
    return train[labelled.usable[train]], test[labelled.usable[test]]


def fold_rows(labelled: LabelledTexts, folds: int, fold: int, seed: int = SPLIT_SEED) -> tuple[np.ndarray, np.ndarray]:
    """Return the usable rows for training and for the test in one fold of a cross-validation, as indices.

    Every usable row is tested in one of the folds. Their sizes differ by one row at most, and so do their numbers of
    rows of each label; with groups, of each group and label.

    Args:
        labelled: the rows.
        folds: the number of folds.
        fold: the one to test, counted from 0.
        seed: seed of the draw.
    """
    rows = usable_rows(labelled, DATASET)
    is_tested = deal_out(strata_of(labelled)[rows], folds, seed) == fold
    return rows[~is_tested], rows[is_tested]


def deal_out(strata: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return the fold of each row, int64, (rows,), with about the same number of rows of each stratum in every fold.

    Args:
        strata: such as the label of each row, of any type, (rows,).
        num_folds: the number of folds.
        seed: seed of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    folds = np.empty(len(strata), np.int64)
    folds[order] = np.arange(len(strata)) % num_folds  # like cards, one stratum after the other
    return folds


def part_of_rows(labelled: LabelledTexts, rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return a fraction of some rows, with about that fraction of each label, or of each group and label.

    With the same seed a larger part contains a smaller one. All labels of the rows occur in it, for which it may have a
    few rows more than the fraction. The order of the rows is kept.

    Args:
        labelled: the data set.
        rows: some of its rows, as indices.
        fraction: the fraction, above 0 and below 1.
        seed: seed of the draw.
    """
    if not len(rows):
        return rows
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(rows)
    strata, labels = strata_of(labelled)[shuffled], labelled.labels[shuffled]
    # The rows of a stratum follow each other at equal distances (systematic sampling), so any beginning has its share.
    positions = np.empty(len(rows))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        positions[members] = (np.arange(len(members)) + generator.random()) / len(members)
    has_label = labels == 1 if labelled.label_set.multi_label else labels[:, None] == np.unique(labels)
    first = np.unique(has_label.argmax(axis=0)[has_label.any(axis=0)])
    positions[first] = -1
    count = max(round(fraction * len(rows)), len(first))
    return rows[np.isin(rows, shuffled[np.argsort(positions, kind="stable")[:count]])]


def missing_labels(labelled: LabelledTexts, rows: np.ndarray) -> list[int]:
    """Return the labels that none of the rows has."""
    labels = labelled.labels[rows]
    found = np.flatnonzero((labels == 1).any(axis=0)) if labelled.label_set.multi_label else np.unique(labels)
    return np.setdiff1d(np.arange(len(labelled.label_set.names)), found).tolist()


def split_by_strata(
    labelled: LabelledTexts, rows: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows by stratum as `stratified_split` does; if a text may have several labels, the kept rows have all."""
    kept, set_aside = stratified_split(strata_of(labelled), rows, fraction, seed)
    if not labelled.label_set.multi_label:
        return kept, set_aside
    # All rows of a label may belong to strata of rarer labels, and be set aside by chance.
    for label in missing_labels(labelled, kept):
        candidates = np.flatnonzero(labelled.labels[set_aside, label] == 1)
        if len(candidates) and len(set_aside) > 1 and label in missing_labels(labelled, kept):
            kept, set_aside = np.append(kept, set_aside[candidates[0]]), np.delete(set_aside, candidates[0])
    return rows[np.isin(rows, kept)], set_aside


def strata_of(labelled: LabelledTexts) -> np.ndarray:
    """Return what to stratify by, for each row: its label, or its group and label.

    Of several labels it is the rarest one, because the others are frequent enough to be everywhere.
    """
    labels = labelled.labels
    if labelled.label_set.multi_label:
        counts = (labels == 1).sum(axis=0)
        rarest = np.where(labels == 1, counts, np.iinfo(counts.dtype).max).argmin(axis=1)
        labels = np.where((labels == 1).any(axis=1), rarest, len(counts))  # the last stratum: no label
    if labelled.groups is None:
        return labels
    strata = np.array([f"{group}\t{label}" for group, label in zip(labelled.groups, labels, strict=True)])
    if not labelled.label_set.is_binary:
        # Too few rows of a group and label for three splits: those of all groups may be enough.
        names, positions, counts = np.unique(strata[labelled.usable], return_inverse=True, return_counts=True)
        is_rare = np.zeros(len(strata), bool)
        is_rare[labelled.usable] = counts[positions] < MIN_ROWS_OF_LABEL
        strata = np.where(is_rare, labels.astype(str), strata)
    return strata


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
