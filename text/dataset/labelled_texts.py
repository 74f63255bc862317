"""The rows of a labelled data set: their texts, their labels, and why some of them are unusable."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from system.errors import InputError
from text.dataset.origins import DATASET, Origins
from text.labels import (
    LABEL_CHARACTERS_SHOWN,
    SENTIMENT,
    SEPARATOR,
    UNUSABLE,
    LabelSet,
    accepted_labels,
    parse_sentiment,
)
from text.tables.kinds import open_table

MIN_ROWS_OF_LABEL = 3  # one each for training, validation and test
# In a data set of positive and negative rows for the most part, a label that is as rare as this is a mistake.
SENTIMENT_FRACTION, MISTAKE_FRACTION = 0.9, 0.01
LABELS_SHOWN = 10
MAP_COLUMNS = ["label", "new_label"]
WHOLE_NUMBER = re.compile(r"(-?\d+)\.0+")
NO_LABEL = "no label"


@dataclass(frozen=True)
class LabelledTexts:
    """All rows of a data set in their order, unusable ones too: the original's split is drawn over all rows.

    Attributes:
        name: the name of the data set in messages.
        texts: the text of each row; "" if it has none.
        labels: the index of each row's label, (rows,), or `UNUSABLE`. If a row may have several labels: 1 where it has
            a label, else 0, (rows, labels), or `UNUSABLE` in the whole row.
        problems: the reasons why rows are unusable, by row index.
        sha256: the hash of all texts and labels; a model file records that of its training data.
        groups: the values of the group column, such as the domain; None without such a column.
        label_set: the labels.
        rare_labels: the number of rows of each label that is left out because it is too rare; of a further set, because
            it is none of the labels of the data set itself.
        weight: the weight of each text in the loss, relative to those of the data set itself.
        origins: the sources of the rows.
    """

    name: str
    texts: list[str]
    labels: np.ndarray
    problems: dict[int, str]
    sha256: str
    groups: list[str] | None = None
    label_set: LabelSet = SENTIMENT
    rare_labels: Mapping[str, int] = field(default_factory=dict)
    weight: float = 1.0
    origins: Origins = field(kw_only=True)

    @property
    def usable(self) -> np.ndarray:
        """The rows that have a text and a label, or a text alone if they may lack a label: a bool mask, (rows,)."""
        is_usable = self.labels != UNUSABLE
        return is_usable.all(axis=1) if self.label_set.multi_label else is_usable

    def describe_problems(self, limit: int = 5, part: str = DATASET) -> str:
        """Return one line with the number of rows, the number of unusable ones, and the first `limit` reasons.

        Args:
            part: the part of `origins` to describe.
        """
        rows = self.origins.rows_of(part)
        problems = [self.problems[row] for row in rows.tolist() if row in self.problems]
        counted = f"{len(rows):,} rows, {len(problems):,} unusable"
        shown = "; ".join(problems[:limit])
        more = "; …" if len(problems) > limit else ""
        return f"{counted}: {shown}{more}" if shown else counted

    def describe_rare_labels(self, kind: str = "rare", source: str = "--dataset") -> str:
        """Return one line with the labels that are left out, and their numbers of rows; "" if there are none.

        Args:
            kind: what the line calls the labels.
            source: what it calls the data set itself, beside official files.
        """
        if not self.rare_labels:
            return ""
        count = f"1 {kind} label is" if len(self.rare_labels) == 1 else f"{len(self.rare_labels):,} {kind} labels are"
        rows = "rows" if len(self.origins.names) == 1 else f"rows of {source}"
        return f"{count} left out ({rows}): {listed_labels(Counter(self.rare_labels))}"

    def explain_shortage(self) -> str:
        """Return the end of an error message about too few usable rows."""
        described = self.describe_problems()
        for part, name in list(self.origins.names.items())[1:]:
            described += f"; {name}: {self.describe_problems(part=part)}"
        accepted = accepted_labels() if self.label_set == SENTIMENT else ", ".join(self.label_set.names)
        return f"{described} (accepted labels: {accepted})" if self.problems else described


@dataclass(frozen=True)
class LabelOptions:
    """How to read the labels of a data set.

    Attributes:
        names: the labels, in order; rows with another label are unusable, or lose that label if they may have several.
            Empty: the labels that the data set has.
        new_labels: the new label of a label, to rename or merge labels; "" leaves out the rows of a label, or the label
            if rows may have several.
        multi_label: whether a row may have several labels, or none.
        separator: with `multi_label`, what separates the labels in a cell.
        columns: with `multi_label`, the columns that hold 1 if a row has the label of that name, and 0 if it does not;
            empty: the labels are in the label column.
        label_set: of a further set, the labels of the data set itself: other labels are unusable, and none need occur.
            None: the labels of `names`, or those that the rows have.
        owner: what has the labels of `label_set`, in messages.
    """

    names: tuple[str, ...] = ()
    new_labels: Mapping[str, str] = field(default_factory=dict)
    multi_label: bool = False
    separator: str = SEPARATOR
    columns: tuple[str, ...] = ()
    label_set: LabelSet | None = None
    owner: str = "--dataset"


def hash_of(texts: list[str], labels: np.ndarray, label_set: LabelSet, origins: Origins) -> str:
    """Return the SHA-256 of all texts and labels, and of the splits that have official files, in hexadecimal."""
    digest = hashlib.sha256(labels.tobytes())
    if len(origins.names) > 1:
        digest.update("\t".join(origins.names).encode())
        digest.update(origins.parts.tobytes())
    if label_set != SENTIMENT:
        digest.update("\t".join(label_set.names).encode("utf-8", errors="surrogatepass"))
    if label_set.multi_label:
        digest.update(b"\tmulti-label")
    for text in texts:
        encoded = text.encode("utf-8", errors="surrogatepass")
        # The length keeps ["ab", "c"] apart from ["a", "bc"].
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def read_label_map(path: str) -> dict[str, str]:
    """Return the new label of each label in a file with the columns `label` and `new_label`.

    Raises:
        InputError: the file cannot be read, has other columns, or has a label twice.
    """
    table = open_table(Path(path))
    if table.columns != MAP_COLUMNS:
        raise InputError(f"{path}: the first line must be {','.join(MAP_COLUMNS)}, not {','.join(table.columns)}")
    new_labels = {}
    for row in table.rows:
        if row.problem:
            raise InputError(f"{path}, row {row.number:,}: {row.problem}")
        label, new_label = (label_text(row.values.get(column)) for column in MAP_COLUMNS)
        if label is None or label in new_labels:
            problem = "the label is missing" if label is None else f"a second row for {_quoted(label)}"
            raise InputError(f"{path}, row {row.number:,}: {problem}")
        new_labels[label] = new_label or ""
    return new_labels


def label_text(value: object) -> str | None:
    """Return the value of a label cell as text, or None if it is missing; 1.0 is the label 1."""
    # A missing value is None in JSON, empty in CSV, and NaN, which differs from itself, in a column of floats.
    if value is None or value != value:
        return None
    text = str(value).strip()
    whole = WHOLE_NUMBER.fullmatch(text)
    return (whole[1] if whole else text) or None


def index_labels(
    labels: Sequence[str | None], is_usable: Sequence[bool], options: LabelOptions
) -> tuple[LabelSet, np.ndarray, dict[int, str]]:
    """Find the label set of a data set, and the label of each row.

    If all labels are words or numbers for positive and negative (see `text.labels.parse_sentiment`), the label set is
    `SENTIMENT`. Other labels are sorted, as numbers if all are numbers. A label of fewer than `MIN_ROWS_OF_LABEL` rows
    is not used, because it is probably a mistake, and no split could have it. Neither is a label of fewer than
    `MISTAKE_FRACTION` of the rows, if nearly all others are positive or negative.

    Args:
        labels: the label of each row, as `label_text` returns it.
        is_usable: whether a row counts: it is in the data set itself, not in an official file of a split, and is usable
            apart from its label.
        options: how to read the labels.

    Returns:
        The label set; the index of each row's label, (rows,), `UNUSABLE` for rows without a usable one; why the label
        of a row is unusable, by row index.

    Raises:
        InputError: the rows have fewer than two labels, or a named label does not occur.
    """
    labels = [options.new_labels.get(label, label) if label is not None else None for label in labels]
    counts = Counter(label for label, usable in zip(labels, is_usable, strict=True) if usable and label)
    label_set = options.label_set or (LabelSet(options.names) if options.names else _label_set_of(counts))
    if label_set == SENTIMENT:
        index_of = {label: index for label in set(labels) if label and (index := parse_sentiment(label)) != UNUSABLE}
    else:
        index_of = {name: index for index, name in enumerate(label_set.names)}
        if options.label_set is None:
            require_labels(label_set.names, counts)
    indices = np.array([index_of.get(label, UNUSABLE) for label in labels], _integer_type(label_set))
    unusable = np.flatnonzero(indices == UNUSABLE).tolist()
    problems = {row: _problem(labels[row], counts, options) for row in unusable}
    return label_set, indices, problems


def require_labels(names: Sequence[str], counts: Counter[str]) -> None:
    """Check that each label has a row.

    Args:
        counts: the number of rows of each label in the data set.

    Raises:
        InputError: a label has none.
    """
    if missing := [name for name in names if not counts[name]]:
        raise InputError(f"no row has the label {_quoted(missing[0])}; the labels are {listed_labels(counts)}")


def frequent_labels(counts: Counter[str]) -> list[str]:
    """Return the labels that are no mistakes, by their numbers of rows; see `index_labels`."""
    least = MIN_ROWS_OF_LABEL
    other = [label for label in counts if parse_sentiment(label) == UNUSABLE]
    if sum(counts[label] for label in other) <= (1 - SENTIMENT_FRACTION) * counts.total():
        least = max(least, MISTAKE_FRACTION * counts.total())
    return [label for label, count in counts.items() if count >= least]


def _label_set_of(counts: Counter[str]) -> LabelSet:
    frequent = frequent_labels(counts)
    if all(parse_sentiment(label) != UNUSABLE for label in frequent):
        return SENTIMENT
    if len(frequent) < 2:
        raise InputError(f"fewer than two labels have {MIN_ROWS_OF_LABEL} rows; the labels are {listed_labels(counts)}")
    return LabelSet(tuple(sorted(frequent, key=label_order(frequent))))


def label_order(labels: Sequence[str]) -> Callable[[str], tuple[float, str]]:
    """Return the sort key of labels: numbers if all are numbers, else words."""
    try:
        numbers = {label: float(label) for label in labels}
    except ValueError:
        numbers = {}
    if not all(map(math.isfinite, numbers.values())):
        numbers = {}
    return lambda label: (numbers.get(label, 0.0), label)


def _integer_type(label_set: LabelSet) -> type[np.signedinteger]:
    return np.int8 if len(label_set.names) <= np.iinfo(np.int8).max else np.int32


def _problem(label: str | None, counts: Counter[str], options: LabelOptions) -> str:
    if label is None:
        return NO_LABEL
    if label == "":
        return "the label map leaves out its label"
    if options.names:
        return f"unknown label {_quoted(label)}"
    if options.label_set is not None:
        return f"{options.owner} has no label {_quoted(label)}"
    if not counts[label]:
        return f"no usable row of --dataset has the label {_quoted(label)}"
    rows = "1 row has" if counts[label] == 1 else f"{counts[label]:,} rows have"
    return f"only {rows} the label {_quoted(label)}"


def _quoted(label: str) -> str:
    return f"'{label[:LABEL_CHARACTERS_SHOWN]}'"


def listed_labels(counts: Counter[str]) -> str:
    """Return the most frequent labels with their numbers of rows."""
    shown = ", ".join(f"{_quoted(label)} ({count:,})" for label, count in counts.most_common(LABELS_SHOWN))
    return (shown or "missing") + (", …" if len(counts) > LABELS_SHOWN else "")
