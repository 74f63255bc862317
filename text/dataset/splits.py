"""The training, validation and test splits of a data set, as texts and as integers."""

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from text.cleaning import cleaned_texts, cleanings_of
from text.dataset.draws import SPLIT_SEED, rows_of_splits
from text.dataset.labelled_texts import (
    LabelledTexts,
    LabelOptions,
    label_text,
    read_label_map,
)
from text.dataset.options import DataOptions
from text.dataset.origins import TEST
from text.labels import SENTIMENT, SEPARATOR, LabelSet
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
        """The index of each text's label, (texts,), or 1 where it has a label, else 0, (texts, labels)."""
        return self.label_set.of_targets(self.targets)


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
    label_options = LabelOptions(
        tuple(label_text(name) or "" for name in options.labels),
        read_label_map(options.label_map) if options.label_map else {},
        options.multi_label,
        SEPARATOR if options.label_separator is None else options.label_separator,
        tuple(options.label_columns),
    )
    return read_labelled(
        options.dataset,
        options.text_column,
        options.label_column,
        options.group_column,
        label_options,
        validation_source=options.validation_dataset,
        test_source=options.test_dataset,
    )


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
    if described := labelled.describe_rare_labels():
        print(described)
    for name, split in (("training", splits.train), ("validation", splits.validation), ("test", splits.test)):
        print(
            f"{name}: {len(split.texts):,} texts, {_fractions(split)}, "
            f"{len(split.windows.input_ids):,} windows, {split.windows.is_truncated.sum():,} texts truncated"
            + _unread(split.windows)
            + _counted_blank(split.windows)
        )
    for line in splits.duplicates:
        print(line)


def _counted_blank(windows: Windows) -> str:
    """Return how many texts have no token, such as those that --clean empties; "" if all have one."""
    count = (windows.num_tokens == 0).sum()
    return f", {count:,} without a token" if count else ""


def _unread(windows: Windows) -> str:
    """Return which fraction of the tokens no window holds, if there are any."""
    fraction = windows.unread_fraction
    if not fraction:
        return ""
    return (
        f", {fraction:.1%} of the tokens not read" if fraction >= 0.001 else ", less than 0.1% of the tokens not read"
    )


def _fractions(split: Split) -> str:
    """Return the fraction of the positive texts, or of the texts of each label, or of none, where there are others."""
    if split.label_set == SENTIMENT:
        return f"{split.labels.mean():.1%} positive"
    if split.label_set.multi_label:
        fractions = split.labels.mean(axis=0)
        unlabelled = f", {(split.labels.sum(axis=1) == 0).mean():.1%} without a label"
    else:
        fractions = np.bincount(split.labels, minlength=len(split.label_set.names)) / len(split.labels)
        unlabelled = ""
    most_frequent = np.argsort(-fractions, kind="stable")[:LABELS_SHOWN]
    shown = ", ".join(f"{fractions[label]:.1%} {split.label_set.names[label]}" for label in most_frequent)
    return shown + (", …" if len(fractions) > LABELS_SHOWN else "") + unlabelled
