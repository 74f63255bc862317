"""The training, validation and test splits of a data set, as texts and as integers."""

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from system.errors import InputError
from system.libraries import disable_telemetry
from text.dataset.labelled_texts import (
    MIN_ROWS_OF_LABEL,
    LabelledTexts,
    LabelOptions,
    label_text,
    read_label_map,
)
from text.dataset.options import DataOptions
from text.labels import SENTIMENT, LabelSet
from text.sources import read_labelled, source_name
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import Windows, encode_windows

SPLIT_SEED = 42
VALIDATION_FRACTION = 0.1
LABELS_SHOWN = 6


@dataclass(frozen=True)
class Split:
    """The usable rows of one split of a data set.

    Attributes:
        texts: the texts of the data set, unchanged.
        targets: the targets of the network, float32, (texts, outputs); those of a teacher are probabilities.
        windows: the texts as inputs of the network.
        groups: the values of the group column, (texts,); None without such a column.
        label_set: the labels.
    """

    texts: list[str]
    targets: np.ndarray
    windows: Windows
    groups: np.ndarray | None = None
    label_set: LabelSet = SENTIMENT

    @property
    def labels(self) -> np.ndarray:
        """The index of each text's label, (texts,)."""
        return self.label_set.of_targets(self.targets)


@dataclass(frozen=True)
class Splits:
    """A data set and its three splits."""

    labelled: LabelledTexts
    train: Split
    validation: Split
    test: Split

    @property
    def label_set(self) -> LabelSet:
        """The labels of the data set."""
        return self.train.label_set


def load_splits(
    options: DataOptions, tokenizer: Tokenizer, max_seq_len: int, *, split_seed: int = SPLIT_SEED
) -> Splits:
    """Return the three splits of a data set. A tenth of the training rows is for validation.

    Args:
        options: the data set and how to read and split it.
        tokenizer: makes the windows, see `text.tokens.windows.encode_windows`.
        max_seq_len: tokens per window.
        split_seed: seed of the draws.

    Raises:
        InputError: the data cannot be read, or a split lacks one of the labels.
    """
    labelled = read_rows(options)
    try:
        rows_of_splits = _rows_of_splits(labelled, options.test_size, options.stratify, split_seed)
    except InputError as error:
        raise InputError(f"{labelled.name}: {error}; {labelled.explain_shortage()}") from error
    return Splits(
        labelled, *(_split(labelled, rows, tokenizer, max_seq_len, options.windows) for rows in rows_of_splits)
    )


def read_rows(options: DataOptions) -> LabelledTexts:
    """Read all rows of a data set.

    Raises:
        InputError: the data set or the file of `label_map` cannot be used.
    """
    names = tuple(label_text(name) or "" for name in options.labels)
    label_options = LabelOptions(names, read_label_map(options.label_map) if options.label_map else {})
    return read_labelled(
        options.dataset, options.text_column, options.label_column, options.group_column, label_options
    )


def _rows_of_splits(
    labelled: LabelledTexts, test_size: float, stratify: bool, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the usable rows for training, for validation and for the test, as indices."""
    train, test = split_rows(labelled, test_size, seed, stratify=stratify)
    train, validation = stratified_split(_strata(labelled), train, VALIDATION_FRACTION, seed)
    for name, rows in (("training", train), ("validation", validation), ("test", test)):
        missing = set(range(len(labelled.label_set.names))) - set(labelled.labels[rows].tolist())
        if missing:
            lacked = "one of the two labels" if labelled.label_set.is_binary else labelled.label_set.name(min(missing))
            raise InputError(f"the {name} split ({len(rows):,} rows) lacks {lacked}")
    return train, validation, test


def split_rows(
    labelled: LabelledTexts, test_size: float, seed: int = SPLIT_SEED, *, stratify: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the usable rows for training and for the test, as indices.

    The split of two labels without groups is that of the original: it is drawn over all rows before the unusable ones
    are left out, so it does not depend on which rows this project can use. With groups, with more labels, or with
    `stratify`, the test split has the same fraction of every group and label.

    Raises:
        InputError: there are too few rows.
    """
    if stratify or labelled.groups is not None or not labelled.label_set.is_binary:
        return stratified_split(_strata(labelled), np.flatnonzero(labelled.usable), test_size, seed)
    train, test = train_test_split(len(labelled.texts), test_size, seed)
    return train[labelled.usable[train]], test[labelled.usable[test]]


def _strata(labelled: LabelledTexts) -> np.ndarray:
    """Return what to stratify by, for each row: its label, or its group and label."""
    if labelled.groups is None:
        return labelled.labels
    strata = np.array([f"{group}\t{label}" for group, label in zip(labelled.groups, labelled.labels, strict=True)])
    if not labelled.label_set.is_binary:
        # Too few rows of a group and label for three splits: those of all groups may be enough.
        names, positions, counts = np.unique(strata[labelled.usable], return_inverse=True, return_counts=True)
        is_rare = np.zeros(len(strata), bool)
        is_rare[labelled.usable] = counts[positions] < MIN_ROWS_OF_LABEL
        strata = np.where(is_rare, labelled.labels.astype(str), strata)
    return strata


def _split(
    labelled: LabelledTexts,
    rows: np.ndarray,
    tokenizer: Tokenizer,
    max_seq_len: int,
    window_settings: WindowSettings,
) -> Split:
    texts = [labelled.texts[row] for row in rows]
    return Split(
        texts,
        labelled.label_set.targets(labelled.labels[rows]),
        encode_windows(tokenizer, texts, max_seq_len, window_settings),
        None if labelled.groups is None else np.array(labelled.groups)[rows],
        labelled.label_set,
    )


def print_splits(splits: Splits) -> None:
    """Print how many texts each split has, and which rows of the data set are unusable."""
    print(f"{source_name(splits.labelled.name)}: {splits.labelled.describe_problems()}")
    for name, split in (("training", splits.train), ("validation", splits.validation), ("test", splits.test)):
        print(
            f"{name}: {len(split.texts):,} texts, {_fractions(split)}, "
            f"{len(split.windows.input_ids):,} windows, {split.windows.is_truncated.sum():,} texts truncated"
            f"{_unread(split)}"
        )


def _unread(split: Split) -> str:
    """Return which fraction of the tokens no window holds, if there are any."""
    fraction = split.windows.unread_fraction
    if not fraction:
        return ""
    return (
        f", {fraction:.1%} of the tokens not read" if fraction >= 0.001 else ", less than 0.1% of the tokens not read"
    )


def _fractions(split: Split) -> str:
    """Return the fraction of the positive texts, or of the texts of each label where there are other labels."""
    if split.label_set == SENTIMENT:
        return f"{split.labels.mean():.1%} positive"
    fractions = np.bincount(split.labels, minlength=len(split.label_set.names)) / len(split.labels)
    most_frequent = np.argsort(-fractions, kind="stable")[:LABELS_SHOWN]
    shown = ", ".join(f"{fractions[label]:.1%} {split.label_set.names[label]}" for label in most_frequent)
    return shown + (", …" if len(fractions) > LABELS_SHOWN else "")


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
