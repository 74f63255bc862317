"""The splits of a data set: labelled texts that are read, split, and turned into integers."""

import csv
import os
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from system.errors import InputError
from system.files import write_atomically
from system.libraries import disable_telemetry
from text.labels import SENTIMENT
from text.sources import LabelledTexts, read_labelled, source_name
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import Windows, encode_windows

SPLIT_SEED = 42
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """The usable rows of one split of a data set.

    Attributes:
        texts: as they stand in the data set.
        targets: float32, (texts, outputs), what the network's outputs should be; from a teacher its probabilities.
        windows: the texts as the network reads them.
        groups: (n,), what stands in the group column; None where none was named.
    """

    texts: list[str]
    targets: np.ndarray
    windows: Windows
    groups: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """The index of each text's label, (texts,)."""
        return SENTIMENT.of_targets(self.targets)


@dataclass(frozen=True)
class Splits:
    """A data set and its three splits."""

    labelled: LabelledTexts
    train: Split
    validation: Split
    test: Split


def load_splits(
    source: str | os.PathLike,
    tokenizer: Tokenizer,
    max_seq_len: int,
    *,
    test_size: float,
    window_settings: WindowSettings | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    split_seed: int = SPLIT_SEED,
) -> Splits:
    """Return the three splits of a data set; a tenth of the training rows is for validation.

    Args:
        window_settings: see `text.tokens.windows.encode_windows`.

    Raises:
        InputError: the data cannot be read, or a part of it lacks one of the two labels.
    """
    labelled = read_labelled(source, text_column, label_column, group_column)
    train, test = split_rows(labelled, test_size, split_seed)
    train, validation = stratified_split(_strata(labelled), train, VALIDATION_SHARE, split_seed)
    parts = {"training": train, "validation": validation, "test": test}
    for name, rows in parts.items():
        if len(np.unique(labelled.labels[rows])) < 2:
            raise InputError(f"{labelled.name}: the {name} part, {len(rows)} rows, lacks one of the two labels")
    return Splits(
        labelled, *(_split(labelled, rows, tokenizer, max_seq_len, window_settings) for rows in parts.values())
    )


def split_rows(labelled: LabelledTexts, test_size: float, seed: int = SPLIT_SEED) -> tuple[np.ndarray, np.ndarray]:
    """Returns the usable rows for training and those for the test, as indices.

    Without groups they are split as the original splits them: over all rows, before those that cannot be used are left
    out, so that the split does not depend on what this project takes for usable. With groups both parts have the same
    share of every group and label.
    """
    if labelled.groups is not None:
        return stratified_split(_strata(labelled), np.flatnonzero(labelled.usable), test_size, seed)
    train, test = train_test_split(len(labelled.texts), test_size, seed)
    return train[labelled.usable[train]], test[labelled.usable[test]]


def _strata(labelled: LabelledTexts) -> np.ndarray:
    if labelled.groups is None:
        return labelled.labels
    return np.array([f"{group}\t{label}" for group, label in zip(labelled.groups, labelled.labels, strict=True)])


def _split(labelled: LabelledTexts, rows: np.ndarray, tokenizer, max_seq_len, window_settings) -> Split:
    texts = [labelled.texts[row] for row in rows]
    return Split(
        texts,
        SENTIMENT.targets(labelled.labels[rows]),
        encode_windows(tokenizer, texts, max_seq_len, window_settings),
        None if labelled.groups is None else np.array(labelled.groups)[rows],
    )


def print_splits(splits: Splits) -> None:
    """Print how many rows each split has, and which rows cannot be used."""
    print(f"{source_name(splits.labelled.name)}: {splits.labelled.describe_problems()}")
    for name, part in (("training", splits.train), ("validation", splits.validation), ("test", splits.test)):
        print(
            f"{name}: {len(part.texts):,} reviews, {part.labels.mean():.1%} positive, "
            f"{len(part.windows.input_ids):,} windows, {part.windows.is_truncated.sum():,} reviews truncated"
        )


def train_test_split(count: int, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled row indices `(train, test)`, int64, of `count` rows; `test_size` is the share to test on.

    Drawn by `datasets.Dataset.train_test_split` itself, so that it stays the split of the original.
    Raises InputError where the rows are too few or the share is none.
    """
    disable_telemetry()
    from datasets import Dataset

    rows = Dataset.from_dict({"row": np.arange(count)})
    try:
        parts = rows.train_test_split(test_size=test_size, shuffle=True, seed=seed)
    except ValueError as error:
        raise InputError(f"{count} rows cannot be split into training and test rows: {error}") from error
    train, test = (np.asarray(parts[name][:]["row"], dtype=np.int64) for name in ("train", "test"))
    return train, test


def stratified_split(
    labels: np.ndarray, indices: np.ndarray, share: float = 0.1, seed: int = 42
) -> tuple[np.ndarray, np.ndarray]:
    """`indices` in two parts, `(kept, set aside)`: `share` of the rows of every label are set aside.

    `labels`, of any kind, has shape `(n,)`, and `indices` are some of its rows, whose order is kept. A label with two
    rows or more has at least one in each part. Raises InputError where no label has two.
    """
    indices = np.asarray(indices)
    generator = np.random.default_rng(seed)
    is_set_aside = np.zeros(len(indices), dtype=bool)
    for label in np.unique(labels[indices]):
        positions = generator.permutation(np.flatnonzero(labels[indices] == label))
        wanted = min(max(round(share * len(positions)), 1), len(positions) - 1)
        is_set_aside[positions[:wanted]] = True
    if not is_set_aside.any():
        raise InputError(f"{len(indices)} rows are too few to set some of them aside")
    return indices[~is_set_aside], indices[is_set_aside]


def write_rows(labelled: LabelledTexts, rows: np.ndarray, path: str | os.PathLike) -> None:
    """Writes some rows to a CSV file with the columns text and label, and group where there are groups."""
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label", *(["group"] if labelled.groups else [])])
        for row in rows:
            group = [labelled.groups[row]] if labelled.groups else []
            writer.writerow([labelled.texts[row], labelled.labels[row], *group])
