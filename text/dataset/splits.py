"""The training, validation and test splits of a data set, as texts and as integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from system.errors import InputError
from text.cleaning import cleaned_texts, cleanings_of
from text.dataset.draws import SPLIT_SEED, VALIDATION_FRACTION, stratified_split, train_test_split
from text.dataset.duplicates import describe_duplicates, drop_duplicates
from text.dataset.labelled_texts import (
    MIN_ROWS_OF_LABEL,
    LabelledTexts,
    LabelOptions,
    label_text,
    read_label_map,
)
from text.dataset.options import DataOptions
from text.dataset.origins import DATASET, TEST, VALIDATION
from text.labels import SENTIMENT, LabelSet
from text.sources import read_labelled, source_name
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import Windows, encode_windows

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
        rows: the indices of the texts in the data set, (texts,); None for texts from elsewhere.
        cleaned: the texts as the tokenizer cleans them, for the baseline; None if it cleans nothing.
    """

    texts: list[str]
    targets: np.ndarray
    windows: Windows
    groups: np.ndarray | None = None
    label_set: LabelSet = SENTIMENT
    rows: np.ndarray | None = None
    cleaned: list[str] | None = None

    @property
    def labels(self) -> np.ndarray:
        """The index of each text's label, (texts,)."""
        return self.label_set.of_targets(self.targets)


class SplitRows(NamedTuple):
    """The usable rows of each split of a data set, as indices, and lines about texts that occur more than once."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    duplicates: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """A data set and its three splits.

    Attributes:
        duplicates: lines about texts that occur more than once.
    """

    labelled: LabelledTexts
    train: Split
    validation: Split
    test: Split
    duplicates: tuple[str, ...] = ()

    @property
    def label_set(self) -> LabelSet:
        """The labels of the data set."""
        return self.train.label_set

    @property
    def test_name(self) -> str:
        """The name of the source of the test split, for the report."""
        return self.labelled.origins.names.get(TEST, source_name(self.labelled.name))


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
    rows = rows_of_splits(labelled, options, split_seed)
    train, validation, test = (_split(labelled, each, tokenizer, max_seq_len, options.windows) for each in rows[:3])
    return Splits(labelled, train, validation, test, rows.duplicates)


def read_rows(options: DataOptions) -> LabelledTexts:
    """Read all rows of a data set.

    Raises:
        InputError: the data set or the file of `label_map` cannot be used.
    """
    names = tuple(label_text(name) or "" for name in options.labels)
    label_options = LabelOptions(names, read_label_map(options.label_map) if options.label_map else {})
    return read_labelled(
        options.dataset,
        options.text_column,
        options.label_column,
        options.group_column,
        label_options,
        validation_source=options.validation_dataset,
        test_source=options.test_dataset,
    )


def rows_of_splits(labelled: LabelledTexts, options: DataOptions, seed: int = SPLIT_SEED) -> SplitRows:
    """Return the usable rows for training, for validation and for the test, without duplicates if so desired.

    Args:
        labelled: the rows, as `read_rows` returns them.
        options: how to split them.
        seed: seed of the draws.

    Raises:
        InputError: there are too few rows, or a split lacks one of the labels.
    """
    try:
        train, test = split_rows(labelled, options.test_size, seed, stratify=options.stratify)
        validation = _official_rows(labelled, VALIDATION)
        if validation is None:
            train, validation = stratified_split(_strata(labelled), train, VALIDATION_FRACTION, seed)
        rows = {"training": train, "validation": validation, "test": test}
        if options.drop_duplicates:
            rows, lines = drop_duplicates(labelled, rows)
        else:
            lines = describe_duplicates(labelled, rows)
        _require_labels(labelled, rows)
    except InputError as error:
        raise InputError(f"{labelled.name}: {error}; {labelled.explain_shortage()}") from error
    return SplitRows(*rows.values(), tuple(lines))


def _require_labels(labelled: LabelledTexts, rows: Mapping[str, np.ndarray]) -> None:
    """Require all labels in every split, but only two of them in an official file, which the user cannot change."""
    for name, of_split in rows.items():
        found = set(labelled.labels[of_split].tolist())
        missing = set(range(len(labelled.label_set.names))) - found
        official = labelled.origins.names.get(name)
        if missing and not (official and len(found) > 1):
            lacked = "one of the two labels" if labelled.label_set.is_binary else labelled.label_set.name(min(missing))
            rows_of_split = f"{len(of_split):,} rows" + (f" of {official}" if official else "")
            raise InputError(f"the {name} split ({rows_of_split}) lacks {lacked}")


def _official_rows(labelled: LabelledTexts, part: str) -> np.ndarray | None:
    """Return the usable rows of the official file of a split, as indices; None without such a file."""
    rows = labelled.origins.rows_of(part)
    return rows[labelled.usable[rows]] if part in labelled.origins.names else None


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
    to_split = labelled.origins.rows_of(DATASET)
    usable = to_split[labelled.usable[to_split]]
    official = _official_rows(labelled, TEST)
    if official is not None:
        return usable, official
    if stratify or labelled.groups is not None or not labelled.label_set.is_binary:
        return stratified_split(_strata(labelled), usable, test_size, seed)
    train, test = train_test_split(len(to_split), test_size, seed)
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
        rows,
        cleaned_texts(tokenizer, texts) if cleanings_of(tokenizer) else None,
    )


def print_splits(splits: Splits) -> None:
    """Print how many texts each split has, which rows are unusable, and which texts occur more than once."""
    labelled = splits.labelled
    print(f"{source_name(labelled.name)}: {labelled.describe_problems()}")
    for part, name in list(labelled.origins.names.items())[1:]:
        print(f"{name}: {labelled.describe_problems(part=part)}")
    for name, split in (("training", splits.train), ("validation", splits.validation), ("test", splits.test)):
        print(
            f"{name}: {len(split.texts):,} texts, {_fractions(split)}, "
            f"{len(split.windows.input_ids):,} windows, {split.windows.is_truncated.sum():,} texts truncated"
            + _counted_blank(split.windows)
        )
    for line in splits.duplicates:
        print(line)


def _counted_blank(windows: Windows) -> str:
    """Return how many texts have no token, such as those that --clean empties; "" if all have one."""
    count = (windows.num_tokens == 0).sum()
    return f", {count:,} without a token" if count else ""


def _fractions(split: Split) -> str:
    """Return the fraction of the positive texts, or of the texts of each label where there are other labels."""
    if split.label_set == SENTIMENT:
        return f"{split.labels.mean():.1%} positive"
    fractions = np.bincount(split.labels, minlength=len(split.label_set.names)) / len(split.labels)
    most_frequent = np.argsort(-fractions, kind="stable")[:LABELS_SHOWN]
    shown = ", ".join(f"{fractions[label]:.1%} {split.label_set.names[label]}" for label in most_frequent)
    return shown + (", …" if len(fractions) > LABELS_SHOWN else "")
