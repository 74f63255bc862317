"""The training, validation and test splits of a data set, as texts and as integers."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tokenizers import Tokenizer

from system.errors import InputError
from system.output.display import progress
from text.corpus import iter_texts
from text.dataset.draws.drawing import SPLIT_SEED
from text.dataset.draws.rows_of_splits import SplitRows, rows_of_sets
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.labels.corrections import Applied, effect_of, read_corrections
from text.dataset.labels.row_labels import label_options_of
from text.dataset.options import DataOptions
from text.dataset.origins import DATASET, OPTION_OF, TEST, VALIDATION, groups_of_sets, unique_names
from text.labels import SENTIMENT, LabelSet
from text.sources import Reading, read_further, read_labelled, source_name
from text.tokens.cleaning import cleaned_texts, cleanings_of
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import Windows, encode_windows

# Some rows of a set, and the labels and the groups of all of its rows.
_Part = tuple[LabelledTexts, np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Split:
    """The usable rows of one split of a data set, or of several sets.

    Attributes:
        texts: the texts of the data set, unchanged.
        targets: the targets of the network, float32, (texts, outputs); those of a teacher are probabilities.
        windows: the texts as inputs of the network.
        groups: the values of the group column, (texts,), or see `text.dataset.origins.groups_of_sets`; None for one set
            without such a column.
        label_set: the labels.
        rows: the indices of the texts in the data set, (texts,); None for texts of several sets or from elsewhere.
        cleaned: the texts as the tokenizer cleans them, for the baseline; None if it cleans nothing.
        text_weights: the weight of each text in the loss, float32, (texts,); None where all are 1.
        soft_targets: the probabilities of teachers to learn beside the targets, at the temperature of the training,
            float32, (texts, outputs); None for the targets alone.
        label_weight: the weight of the targets in the loss of a text, 0 to 1; the soft targets have the rest.
    """

    texts: list[str]
    targets: np.ndarray
    windows: Windows
    groups: np.ndarray | None = None
    label_set: LabelSet = SENTIMENT
    rows: np.ndarray | None = None
    cleaned: list[str] | None = None
    text_weights: np.ndarray | None = None
    soft_targets: np.ndarray | None = None
    label_weight: float = 1.0

    @property
    def labels(self) -> np.ndarray:
        """The index of each text's label, (texts,), or 1 where it has a label, else 0, (texts, labels)."""
        return self.label_set.of_targets(self.targets)


@dataclass(frozen=True)
class FurtherSet:
    """A set beside the data set itself, from `--also`.

    Attributes:
        labelled: its rows.
        num_train: the number of its texts in the training split of all sets.
        num_validation: the same for the validation split.
        test: its own test split.
    """

    labelled: LabelledTexts
    num_train: int
    num_validation: int
    test: Split


@dataclass(frozen=True)
class Splits:
    """A data set and its three splits.

    Attributes:
        labelled: the rows of the data set, with the labels of its source.
        train: the training texts, those of further sets too.
        validation: the validation texts, those of further sets too.
        test: the test texts of the data set itself.
        duplicates: lines about texts that occur more than once.
        further: the further sets, with their test texts.
        rows: the rows of each set, the data set itself first, with their corrected labels.
        corrections: the effect of corrected labels; None without a file of them.
    """

    labelled: LabelledTexts
    train: Split
    validation: Split
    test: Split
    duplicates: tuple[str, ...] = ()
    further: tuple[FurtherSet, ...] = ()
    rows: tuple[SplitRows, ...] = ()
    corrections: Applied | None = None

    @property
    def label_set(self) -> LabelSet:
        """The labels of the data set."""
        return self.train.label_set

    @property
    def sets(self) -> tuple[LabelledTexts, ...]:
        """The rows of each set, the data set itself first."""
        return self.labelled, *(each.labelled for each in self.further)

    @property
    def tests(self) -> tuple[Split, ...]:
        """The test splits of all sets that have test texts, that of the data set itself first."""
        return self.test, *(each.test for each in self.further if each.test.texts)

    @property
    def evaluated_texts(self) -> list[str]:
        """The texts of the validation split and of all test splits, from which nothing may be learnt."""
        return [text for split in (self.validation, *self.tests) for text in split.texts]

    @property
    def test_name(self) -> str:
        """The name of the source of the test split, for the report."""
        return self.labelled.origins.names.get(TEST, source_name(self.labelled.name))


def joined_text_weights(splits: Sequence[Split]) -> np.ndarray | None:
    """Return the weights of the texts of several splits, float32, (all texts,); None where all are 1."""
    if all(split.text_weights is None for split in splits):
        return None
    return np.concatenate(
        [
            np.ones(len(split.texts), np.float32) if split.text_weights is None else split.text_weights
            for split in splits
        ]
    )


def load_splits(
    options: DataOptions, tokenizer: Tokenizer, max_seq_len: int, *, split_seed: int = SPLIT_SEED
) -> Splits:
    """Return the three splits of a data set and its further sets. A tenth of the training rows is for validation.

    Args:
        options: the sets and how to read and split them.
        tokenizer: makes the windows, see `text.tokens.windows.encode_windows`.
        max_seq_len: tokens per window.
        split_seed: seed of the draws.

    Raises:
        InputError: the data cannot be read, or a split lacks one of the labels.
    """
    excluded = excluded_texts(options) if options.also or options.exclude else None
    labelled = read_rows(options)
    sets = (labelled, *read_further_sets(options, labelled))
    corrections = None
    if options.label_corrections:
        corrections = read_corrections(options.label_corrections, labelled.label_set, options.text_column)
    rows = rows_of_sets(sets, options, split_seed, excluded=excluded, corrections=corrections)
    labels, groups = [each.labels for each in rows], _groups(sets)

    def split(*parts: _Part) -> Split:
        return _split(parts, tokenizer, max_seq_len, options.windows)

    train = split(*zip(sets, [each.train for each in rows], labels, groups, strict=True))
    validation = split(*zip(sets, [each.validation for each in rows], labels, groups, strict=True))
    test, *further_tests = map(split, zip(sets, [each.test for each in rows], labels, groups, strict=True))
    further = tuple(
        FurtherSet(each, len(of_set.train), len(of_set.validation), test_of_set)
        for each, of_set, test_of_set in zip(sets[1:], rows[1:], further_tests, strict=True)
    )
    starts = [f"{name}: " for name in short_names(sets)] if further else [""]
    lines = [start + line for start, of_set in zip(starts, rows, strict=True) for line in of_set.duplicates]
    applied = effect_of(corrections, sets, [each.by_split for each in rows], labels) if corrections else None
    return Splits(labelled, train, validation, test, tuple(lines), further, tuple(rows), applied)


def read_rows(options: DataOptions) -> LabelledTexts:
    """Read all rows of a data set, without those of further sets.

    Raises:
        InputError: the data set or the file of `label_map` cannot be used.
    """
    return read_labelled(
        options.dataset,
        options.text_column,
        options.label_column,
        options.group_column,
        label_options_of(options),
        validation_source=options.validation_dataset,
        test_source=options.test_dataset,
        needs_groups=not options.also,
    )


def read_further_sets(options: DataOptions, labelled: LabelledTexts) -> tuple[LabelledTexts, ...]:
    """Read all rows of the further sets, whose labels are those of the data set itself.

    Raises:
        InputError: a set cannot be used, is named twice, or none has the column of the groups.
    """
    option_of = {os.path.realpath(options.dataset): OPTION_OF[DATASET]}
    for part, source in ((VALIDATION, options.validation_dataset), (TEST, options.test_dataset)):
        if source is not None:
            option_of[os.path.realpath(source)] = OPTION_OF[part]
    labels = label_options_of(options, labelled.label_set)
    reading = Reading(options.text_column, options.label_column, options.group_column, labels)
    further = []
    for source, weight in options.further_sources:
        path = os.path.realpath(source)
        if path in option_of:
            raise InputError(f"--also {source} is already the data of {option_of[path]}; name another source")
        option_of[path] = "--also"
        further.append(replace(read_further(source, reading), weight=weight))
    if options.also and options.group_column and all(each.groups is None for each in (labelled, *further)):
        raise InputError(f"no set has a column {options.group_column!r}; name another one with --group-column")
    return tuple(further)


def excluded_texts(options: DataOptions) -> Iterable[str]:
    """Return the texts of `exclude`, which are read once and in constant memory."""
    texts = iter_texts(options.exclude, options.text_column, or_usual=True, option="--exclude")
    return progress(texts, "reading --exclude", " texts")


def _groups(sets: Sequence[LabelledTexts]) -> list[np.ndarray | None]:
    """Return the group of each row of each set, (rows,); None for one set without groups."""
    if len(sets) == 1:
        return [None if each.groups is None else np.array(each.groups) for each in sets]
    return groups_of_sets([each.name for each in sets], [each.groups or [""] * len(each.texts) for each in sets])


def short_names(sets: Sequence[LabelledTexts]) -> list[str]:
    """Return the names of data sets for messages: without folders, unless two would be the same."""
    sources = [each.name for each in sets]
    return unique_names(sources, [source_name(source) for source in sources])


def _split(parts: Sequence[_Part], tokenizer: Tokenizer, max_seq_len: int, window_settings: WindowSettings) -> Split:
    """Return rows of one set, or of several, as a split.

    Args:
        parts: the rows of each set.
    """
    texts = [labelled.texts[row] for labelled, rows, *_ in parts for row in rows]
    weights = np.concatenate([np.full(len(rows), labelled.weight, np.float32) for labelled, rows, *_ in parts])
    label_set = parts[0][0].label_set
    return Split(
        texts,
        np.concatenate([label_set.targets(labels[rows]) for _, rows, labels, _ in parts]),
        encode_windows(tokenizer, progress(texts, "tokenizing", " texts", len(texts)), max_seq_len, window_settings),
        None if parts[0][3] is None else np.concatenate([groups[rows] for _, rows, _, groups in parts]),
        label_set,
        parts[0][1] if len(parts) == 1 else None,
        cleaned_texts(tokenizer, texts) if cleanings_of(tokenizer) else None,
        None if (weights == 1).all() else weights,
    )
