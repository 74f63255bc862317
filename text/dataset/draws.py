"""The rows of each split of a data set: the original's draw, draws by label, folds, and official files."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from system.errors import InputError
from system.libraries import disable_telemetry
from text.dataset.duplicates import Rows, describe_duplicates, drop_duplicates, leave_out_evaluated
from text.dataset.labelled_texts import LABELS_SHOWN, MIN_ROWS_OF_LABEL, LabelledTexts
from text.dataset.labels.corrections import Corrections, corrected
from text.dataset.options import DataOptions
from text.dataset.origins import DATASET, TEST, VALIDATION

SPLIT_SEED = 42
VALIDATION_FRACTION = 0.1


class SplitRows(NamedTuple):
    """The usable rows of each split of a data set, as indices, and lines about texts that occur more than once.

    `labels` are those of all rows as corrected, otherwise as in `text.dataset.labelled_texts.LabelledTexts`.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    duplicates: tuple[str, ...]
    labels: np.ndarray

    @property
    def by_split(self) -> Rows:
        """The rows of the three splits, by their names."""
        return {"training": self.train, "validation": self.validation, "test": self.test}


def rows_of_splits(labelled: LabelledTexts, options: DataOptions, seed: int = SPLIT_SEED) -> SplitRows:
    """Return the usable rows for training, for validation and for the test, without duplicates if so desired.

    Args:
        labelled: the rows, as `text.dataset.splits.read_rows` returns them.
        options: how to split them.
        seed: seed of the draws.

    Raises:
        InputError: there are too few rows, or a split lacks one of the labels.
    """
    return rows_of_sets([labelled], options, seed)[0]


def rows_of_sets(
    sets: Sequence[LabelledTexts],
    options: DataOptions,
    seed: int = SPLIT_SEED,
    *,
    excluded: Iterable[str] | None = None,
    corrections: Corrections | None = None,
) -> list[SplitRows]:
    """Return the same for several sets, each of which is split on its own.

    Args:
        sets: the data set itself, and further sets; these have no folds and may lack labels.
        options: how to split them.
        seed: seed of the draws.
        excluded: texts that are left out of training and validation, as are the test texts of all sets; None for
            neither.
        corrections: the labels to correct after the draws, which are the same with and without them.

    Raises:
        InputError: there are too few rows, or a split of the first set lacks one of the labels.
    """
    sets = list(sets)
    fold = "" if options.folds is None else f"fold {options.fold} of {options.folds}: "
    rows_of_each, lines_of_each = [], []
    for number, labelled in enumerate(sets):
        is_first = number == 0
        with _explained_shortage(labelled, fold if is_first else ""):
            rows = _drawn_rows(labelled, options, seed, in_folds=is_first and options.folds is not None)
            sets[number] = labelled = corrected(labelled, rows, corrections)
            rows, lines = drop_duplicates(labelled, rows) if options.drop_duplicates else (rows, [])
        rows_of_each.append(rows)
        lines_of_each.append(lines)
    if excluded is not None:
        rows_of_each, left_out = leave_out_evaluated(sets, rows_of_each, excluded)
        lines_of_each = [[*lines, line] for lines, line in zip(lines_of_each, left_out, strict=True)]
    with _explained_shortage(sets[0], fold):
        _require_labels(sets[0], rows_of_each[0], lines_of_each[0])
    if not options.drop_duplicates:
        for labelled, rows, lines in zip(sets, rows_of_each, lines_of_each, strict=True):
            lines += describe_duplicates(labelled, rows)
    return [
        SplitRows(*rows.values(), tuple(lines), labelled.labels)
        for labelled, rows, lines in zip(sets, rows_of_each, lines_of_each, strict=True)
    ]


@contextlib.contextmanager
def _explained_shortage(labelled: LabelledTexts, fold: str) -> Iterator[None]:
    """Add to an error the name of the set, the fold, and why its usable rows are so few."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{labelled.name}: {fold}{error}; {labelled.explain_shortage()}") from error


def _drawn_rows(labelled: LabelledTexts, options: DataOptions, seed: int, *, in_folds: bool) -> Rows:
    if in_folds:
        train, test = fold_rows(labelled, options.folds, options.fold, seed)
    else:
        train, test = split_rows(labelled, options.test_size, seed, stratify=options.stratify)
    if VALIDATION in labelled.origins.names:
        validation = _usable_rows(labelled, VALIDATION)
    else:
        train, validation = _stratified_split(labelled, train, VALIDATION_FRACTION, seed)
    return {"training": train, "validation": validation, "test": test}


def _require_labels(labelled: LabelledTexts, rows: Rows, lost: Sequence[str]) -> None:
    """Require all labels in the training split, and in the others if a text has one label.

    An official file need have only two of them, because the user cannot change it; one, if a text may have several.

    Args:
        lost: lines about the texts that the splits have lost, for the error message.
    """
    label_set = labelled.label_set
    for name, of_split in rows.items():
        missing, official = _missing_labels(labelled, of_split), labelled.origins.names.get(name)
        least = len(label_set.names)
        if name != "training" and label_set.multi_label:
            least = 0 if official is None else 1
        elif official is not None:
            least = 2
        if len(of_split) and len(label_set.names) - len(missing) >= least:
            continue
        if len(missing) == len(label_set.names):
            lacked = f"all labels ({', '.join(label_set.names[:LABELS_SHOWN])})"
        else:
            lacked = "one of the two labels" if label_set.is_binary else label_set.names[min(missing)]
        rows_of_split = f"{len(of_split):,} rows" + (f" of {official}" if official else "")
        raise InputError("; ".join([f"the {name} split ({rows_of_split}) lacks {lacked}", *lost]))


def _usable_rows(labelled: LabelledTexts, part: str) -> np.ndarray:
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
    usable = _usable_rows(labelled, DATASET)
    if TEST in labelled.origins.names:
        return usable, _usable_rows(labelled, TEST)
    if stratify or labelled.groups is not None or not labelled.label_set.is_binary:
        return _stratified_split(labelled, usable, test_size, seed)
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
    rows = _usable_rows(labelled, DATASET)
    shuffled = np.random.default_rng(seed).permutation(rows)
    by_stratum = shuffled[np.argsort(strata_of(labelled)[shuffled], kind="stable")]
    # Dealt out like cards, one stratum after the other.
    test = np.sort(by_stratum[fold::folds])
    return np.setdiff1d(rows, test, assume_unique=True), test


def _missing_labels(labelled: LabelledTexts, rows: np.ndarray) -> list[int]:
    """Return the labels that none of the rows has."""
    labels = labelled.labels[rows]
    found = np.flatnonzero((labels == 1).any(axis=0)) if labelled.label_set.multi_label else np.unique(labels)
    return np.setdiff1d(np.arange(len(labelled.label_set.names)), found).tolist()


def _stratified_split(
    labelled: LabelledTexts, rows: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows by `strata_of` as `stratified_split` does; with several labels a text, the kept rows have all."""
    kept, set_aside = stratified_split(strata_of(labelled), rows, fraction, seed)
    if not labelled.label_set.multi_label:
        return kept, set_aside
    # All rows of a label may belong to strata of rarer labels, and be set aside by chance.
    for label in _missing_labels(labelled, kept):
        candidates = np.flatnonzero(labelled.labels[set_aside, label] == 1)
        if len(candidates) and len(set_aside) > 1 and label in _missing_labels(labelled, kept):
            kept, set_aside = np.append(kept, set_aside[candidates[0]]), np.delete(set_aside, candidates[0])
    return rows[np.isin(rows, kept)], set_aside


def strata_of(labelled: LabelledTexts) -> np.ndarray:
    """Return what to stratify by, for each row, (rows,): its label, or its group and label.

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
