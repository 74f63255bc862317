"""Labels that a reader has corrected, found by their texts: the files of `--label-corrections`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from system.errors import InputError
from system.files import sha256_of_file
from text.dataset.duplicates import Rows, text_digest
from text.dataset.labelled_texts import LABELS_SHOWN, LabelledTexts
from text.dataset.labels.row_labels import labels_in_cell
from text.labels import LABEL_CHARACTERS_SHOWN, SENTIMENT, SEPARATOR, UNUSABLE, LabelSet, parse_sentiment
from text.tables.delimited import FORMULA
from text.tables.kinds import open_table
from text.tables.problems import is_blank, row_problem
from text.tables.rows import Table

# Columns of the table of an audit of labels, whose texts are always in the column text.
CORRECTED_COLUMN = "corrected_label"
SUGGESTED_COLUMN = "suggested_label"
TEXT_COLUMN = "text"
LEARNT_FROM = ("training", "validation")  # the splits whose labels are corrected


class Correction(NamedTuple):
    """The corrected label of a text: its index, or 1 for each label that the text has, else 0, and its row."""

    label: int | tuple[int, ...]
    row: int


@dataclass(frozen=True)
class Corrections:
    """The corrected labels of a file.

    Attributes:
        path: the file.
        sha256: the hash of its bytes, in hexadecimal.
        by_digest: the corrections, by the `text_digest` of their texts.
    """

    path: str
    sha256: str
    by_digest: Mapping[bytes, Correction]


class Applied(NamedTuple):
    """The effect of corrections on a data set.

    Attributes:
        name: the name of their file, without folders.
        sha256: the hash of the file.
        num_rows: how many training and validation rows have another label now.
        line: one line about all corrections, for the terminal.
    """

    name: str
    sha256: str
    num_rows: int
    line: str


def read_corrections(path: str, label_set: LabelSet, text_column: str | None = None) -> Corrections:
    """Read the corrected labels of a file with the column `corrected_label`; a row with an empty one changes nothing.

    Labels are the names of the label set; of positive and negative texts also what `text.labels.parse_sentiment` reads.
    Several labels of a text are separated by `|`, which alone means none. An apostrophe that keeps a spreadsheet from
    computing a cell is no part of a text or a label.

    Args:
        path: a CSV, TSV, JSONL or Parquet file.
        label_set: the labels of the data set.
        text_column: the column of the texts, where the file has it; else it is `text`, as in the table of an audit,
            which may have a column of its own by the name of `text_column`.

    Raises:
        InputError: the file or a row of it cannot be read, a label is unknown, a text has two corrected labels, or
            there is no corrected label.
    """
    table = open_table(Path(path))
    column = _text_column(table, text_column)
    found: dict[bytes, Correction] = {}
    for row in table.rows:
        value = row.values.get(CORRECTED_COLUMN)
        # A missing value is NaN, which differs from itself, in a column of floats.
        if row.problem is None and (is_blank(value) or value != value):
            continue
        where = f"{path}, row {row.number:,}"
        if problem := row_problem(row, column):
            raise InputError(f"{where}: {problem}")
        correction = Correction(_label(value, label_set, where), row.number)
        for digest in {text_digest(text) for text in _readings(row.values[column])}:
            earlier = found.setdefault(digest, correction)
            if earlier.label != correction.label:
                raise InputError(f"{where} corrects the same text as row {earlier.row:,}, but to another label")
    if not found:
        raise InputError(f"{path} corrects nothing: fill in its column {CORRECTED_COLUMN}")
    return Corrections(path, sha256_of_file(path), found)


def _text_column(table: Table, wanted: str | None) -> str:
    is_of_audit = {SUGGESTED_COLUMN, TEXT_COLUMN} <= set(table.columns)
    column = wanted if wanted in table.columns and not is_of_audit else TEXT_COLUMN
    for name in (column, CORRECTED_COLUMN):
        if name not in table.columns or f"{name} (2)" in table.columns:
            number = "no" if name not in table.columns else "more than one"
            raise InputError(
                f"{table.name} has {number} column {name}; --label-corrections needs the columns {column} and "
                f"{CORRECTED_COLUMN}, as in the label_audit.csv of --audit-labels"
            )
    return column


def _readings(cell: str) -> list[str]:
    """Return what a cell may mean: itself, or what follows the apostrophe that precedes a formula."""
    return [cell, cell[1:]] if cell.startswith("'") and FORMULA.match(cell[1:]) else [cell]


def _label(value: object, label_set: LabelSet, where: str) -> int | tuple[int, ...]:
    """Return the label or the labels of a cell; see `Correction`."""
    if label_set.multi_label:
        names, problem = labels_in_cell(value, SEPARATOR)
        if problem is None:
            indices = {_index(name, label_set, where) for name in names}
            return tuple(int(index in indices) for index in range(len(label_set.names)))
    else:
        names, problem = labels_in_cell([value], SEPARATOR)
        if problem is None:
            return _index(names[0], label_set, where)
    raise InputError(f"{where}: {problem}")


def _index(label: str, label_set: LabelSet, where: str) -> int:
    for name in _readings(label):
        if name in label_set.names:
            return label_set.names.index(name)
        if label_set == SENTIMENT and (index := parse_sentiment(name)) != UNUSABLE:
            return index
    known = ", ".join(label_set.names[:LABELS_SHOWN]) + (", …" if len(label_set.names) > LABELS_SHOWN else "")
    raise InputError(
        f"{where}: unknown label '{label[:LABEL_CHARACTERS_SHOWN]}' in {CORRECTED_COLUMN}; the labels are {known}"
    )


def corrected(labelled: LabelledTexts, rows: Rows, corrections: Corrections | None) -> LabelledTexts:
    """Return a data set with the corrected labels of its training and validation rows; test rows keep theirs.

    All copies of a text are corrected, as `text.dataset.duplicates.letters` compares them.

    Args:
        labelled: the data set.
        rows: the rows of its splits.
        corrections: the corrections; None for no change.
    """
    if corrections is None:
        return labelled
    labels = labelled.labels.copy()
    for row in np.concatenate([rows[split] for split in LEARNT_FROM]):
        if found := corrections.by_digest.get(text_digest(labelled.texts[row])):
            labels[row] = found.label
    return replace(labelled, labels=labels)


def effect_of(
    corrections: Corrections,
    sets: Sequence[LabelledTexts],
    rows_of_sets: Sequence[Rows],
    labels_of_sets: Sequence[np.ndarray],
) -> Applied:
    """Count what corrections have changed.

    Args:
        corrections: the corrections.
        sets: the data sets before them.
        rows_of_sets: the rows of their splits.
        labels_of_sets: the labels of their rows after the corrections, see `LabelledTexts.labels`.

    Raises:
        InputError: no text of the corrections is in the data.
    """
    changed = tested = 0
    known = set()
    for labelled, rows, labels in zip(sets, rows_of_sets, labels_of_sets, strict=True):
        known |= {text_digest(text) for text in labelled.texts}
        learnt_from = np.concatenate([rows[split] for split in LEARNT_FROM])
        differs = labels[learnt_from] != labelled.labels[learnt_from]
        changed += int(differs.reshape(len(learnt_from), -1).any(axis=1).sum())
        for row in rows["test"]:
            found = corrections.by_digest.get(text_digest(labelled.texts[row]))
            tested += found is not None and not np.array_equal(labelled.labels[row], found.label)
    of_rows: dict[int, bool] = {}  # whether the text of a row of the file is known, in any of its readings
    for digest, correction in corrections.by_digest.items():
        of_rows[correction.row] = of_rows.get(correction.row, False) or digest in known
    unknown = [row for row, is_known in of_rows.items() if not is_known]
    name = Path(corrections.path).name
    if len(unknown) == len(of_rows):
        raise InputError(
            f"--label-corrections {corrections.path}: none of its texts is in the data, the first is that of row "
            f"{unknown[0]:,}; name the file for this data set"
        )
    line = f"{name}: labels corrected in training and validation: {changed:,}"
    if tested:
        line += f"; left alone because they are test rows: {tested:,}"
    if unknown:
        line += f"; texts that are not in the data: {len(unknown):,}, first: row {min(unknown):,}"
    return Applied(name, corrections.sha256, changed, line)
