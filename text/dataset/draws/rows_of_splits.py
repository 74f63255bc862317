"""The rows of each split of a data set: drawn, or those of official files, without what must not be learnt."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from system.errors import InputError
from text.dataset.draws.drawing import (
    SPLIT_SEED,
    VALIDATION_FRACTION,
    fold_rows,
    missing_labels,
    part_of_rows,
    split_by_strata,
    split_rows,
    usable_rows,
)
from text.dataset.duplicates import Rows, describe_duplicates, drop_duplicates, leave_out_evaluated
from text.dataset.labelled_texts import LABELS_SHOWN, LabelledTexts
from text.dataset.labels.corrections import Corrections, corrected
from text.dataset.options import DataOptions
from text.dataset.origins import VALIDATION


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
    if options.train_fraction is not None:  # last, so that the other splits do not depend on it
        rows_of_each = [
            rows | {"training": part_of_rows(each, rows["training"], options.train_fraction, options.train_draw)}
            for each, rows in zip(sets, rows_of_each, strict=True)
        ]
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
        validation = usable_rows(labelled, VALIDATION)
    else:
        train, validation = split_by_strata(labelled, train, VALIDATION_FRACTION, seed)
    return {"training": train, "validation": validation, "test": test}


def _require_labels(labelled: LabelledTexts, rows: Rows, lost: Sequence[str]) -> None:
    """Require all labels in the training split, and in the others if a text has one label.

    An official file need have only two of them, because the user cannot change it; one, if a text may have several.

    Args:
        lost: lines about the texts that the splits have lost, for the error message.
    """
    label_set = labelled.label_set
    for name, of_split in rows.items():
        missing, official = missing_labels(labelled, of_split), labelled.origins.names.get(name)
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
