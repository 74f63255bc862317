"""The texts on which a model is tested, with the labels of the model; and those that the baseline learns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evaluation.baseline import TestedBaseline, baseline_test_logits
from system.errors import InputError, first_line
from system.output.display import say
from text.dataset.duplicates import text_digest
from text.dataset.labelled_texts import LabelledTexts, listed_labels
from text.dataset.labels.row_labels import label_options_of
from text.dataset.options import DataOptions
from text.dataset.origins import DATASET, TEST
from text.labels import SENTIMENT, LabelSet
from text.sources import Reading, read_for_model

VALIDATION_FRACTION = 0.1
VALIDATION_SEED = 42
OWNER = "the model"


@dataclass(frozen=True)
class TextsOfModel:
    """Texts with the labels of a model.

    Attributes:
        label_set: the labels of the model.
        texts: the texts.
        labels: their labels, (texts,) or (texts, labels), see `LabelSet`.
        groups: the group of each text, (texts,); None for no groups.
        num_unusable: how many rows have no text or no label.
    """

    label_set: LabelSet
    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray | None = None
    num_unusable: int = 0
    cleaned: None = None
    text_weights: None = None

    def part(self, rows: np.ndarray) -> TextsOfModel:
        """Return the texts of some rows."""
        return replace(self, texts=[self.texts[row] for row in rows], labels=self.labels[rows], groups=None)


def read_tested(options: DataOptions, label_set: LabelSet) -> TextsOfModel:
    """Read the texts of `--dataset`; of several splits, the test is read.

    Raises:
        InputError: see `_read`.
    """
    return _read(options, options.dataset, label_set, TEST, "--dataset", options.group_column)


def read_training(options: DataOptions, source: str, tested: TextsOfModel) -> TextsOfModel:
    """Read the training texts of `--train`, without those of the test; of several splits, that of the training is read.

    Raises:
        InputError: see `_read`; or no other text remains, or all texts have the same label.
    """
    label_set = tested.label_set
    texts = _read(options, source, label_set, DATASET, "--train", None)
    known = set(map(text_digest, tested.texts))
    others = np.flatnonzero([text_digest(text) not in known for text in texts.texts])
    if not len(others):
        raise InputError(f"--train {source}: all of its texts are those of the test; name other ones")
    if count := len(texts.texts) - len(others):
        say(f"note: {count:,} texts of --train are also tested, and TF-IDF does not learn them")
        texts = texts.part(others)
    if not label_set.multi_label and len(np.unique(texts.labels)) < 2:
        raise InputError(f"--train {source}: all texts have the same label, so nothing can be learnt from them")
    return texts


def _read(
    options: DataOptions, source: str, label_set: LabelSet, part: str, option: str, group_column: str | None
) -> TextsOfModel:
    """Read the texts of a source.

    Raises:
        InputError: the source cannot be read, has no usable row, or has labels that the model lacks.
    """
    if not label_set.multi_label and (options.label_columns or options.label_separator):
        raise InputError("--label-columns and --label-separator are for a model of texts with several labels")
    options = replace(options, labels=[], multi_label=label_set.multi_label)
    labels = replace(label_options_of(options, label_set), owner=OWNER)
    reading = Reading(options.text_column, options.label_column, group_column, labels)
    labelled = read_for_model(source, reading, part, option)
    _require_known_labels(labelled, option)
    rows = np.flatnonzero(labelled.usable)
    groups = None if labelled.groups is None else np.array(labelled.groups)[rows]
    return TextsOfModel(
        label_set,
        [labelled.texts[row] for row in rows.tolist()],
        labelled.labels[rows].astype(np.int64),
        groups,
        len(labelled.texts) - len(rows),
    )


def _require_known_labels(labelled: LabelledTexts, option: str) -> None:
    """Raise an InputError if rows have labels that the model lacks: leaving them out unasked would flatter it."""
    if unknown := Counter(labelled.rare_labels):
        names = labelled.label_set.names
        known = "0 and 1, negative and positive, 负面 and 正面" if labelled.label_set == SENTIMENT else ", ".join(names)
        raise InputError(
            f"{labelled.name}: the model lacks labels of {option}: {listed_labels(unknown)}; it has {known}. Rename "
            "them with --label-map, where an empty new label leaves them out"
        )


@dataclass(frozen=True)
class BaselineSplits:
    """Training and test texts, as `evaluation.baseline.baseline_test_logits` reads them.

    Attributes:
        known: the training texts, a tenth of which serves for validation.
        test: the test texts.
    """

    known: TextsOfModel
    test: TextsOfModel

    @cached_property
    def _order(self) -> np.ndarray:
        return np.random.default_rng(VALIDATION_SEED).permutation(len(self.known.texts))

    @property
    def _num_validation(self) -> int:
        return max(1, round(VALIDATION_FRACTION * len(self._order)))

    @property
    def train(self) -> TextsOfModel:
        """The texts to learn."""
        return self.known.part(self._order[self._num_validation :])

    @property
    def validation(self) -> TextsOfModel:
        """The texts that decide on the settings."""
        return self.known.part(self._order[: self._num_validation])

    @property
    def tests(self) -> tuple[TextsOfModel]:
        """The test texts."""
        return (self.test,)


def tested_baseline(known: TextsOfModel, test: TextsOfModel) -> TestedBaseline:
    """Return the answers of the baseline to the test texts, after it has learnt the training texts.

    Raises:
        InputError: the training texts are too few to learn from.
    """
    try:
        return baseline_test_logits(BaselineSplits(known, test))
    except ValueError as error:  # such as texts of one label only, after a tenth was set aside
        raise InputError(
            f"--train: TF-IDF cannot learn these texts ({first_line(error)}); name more of them"
        ) from error
