"""Files of texts with the probability of each label, written and read."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from system.errors import InputError
from system.files import write_atomically
from system.output.display import progress
from system.output.logs import printable_logger
from text.dataset.duplicates import leave_out
from text.labels import LabelSet, probability_column
from text.sources import TEXT_COLUMNS
from text.tables.delimited import DelimitedFormat
from text.tables.kinds import open_table
from text.tables.problems import row_problem
from text.tables.rows import Table, choose_column

logger = printable_logger(__name__)


def counted(texts: Sequence[str]) -> str:
    """Return the number of texts in words, such as "1,000 texts"."""
    return "1 text" if len(texts) == 1 else f"{len(texts):,} texts"


def save_soft_labels(path: str, labels: LabelSet, texts: Sequence[str], probabilities: np.ndarray) -> None:
    """Write texts with the probability of each label to a CSV file, with the columns of `application.py`.

    Args:
        path: the file; an earlier one is kept beside it.
        labels: the labels.
        texts: the texts.
        probabilities: (texts, labels).

    Raises:
        OutputError: the file cannot be written.
    """
    table = DelimitedFormat(["text", *map(probability_column, labels.names)], ",")
    cells = ([text, *map("{:.6f}".format, row)] for text, row in zip(texts, probabilities, strict=True))
    rows = [dict(zip(table.columns, of_row, strict=True)) for of_row in cells]
    with write_atomically(path, "wb", keep_previous=True) as file:
        file.write(table.encode(rows, is_first=True))
    print(f"{counted(texts)} with probabilities saved to {path}", flush=True)


def read_soft_labels(
    source: str, labels: LabelSet, text_column: str | None, unwanted: Iterable[str]
) -> tuple[list[str], np.ndarray]:
    """Read texts with the probability of each label, from the columns that `application.py` writes.

    Rows without a text or a prediction are left out, with a warning. A text that occurs several times has the mean of
    its probabilities.

    Args:
        source: a table file with the columns probability_LABEL.
        labels: the labels.
        text_column: the column of the texts; None, or one that is not there, for one of the usual names.
        unwanted: texts to leave out, by their letters and digits.

    Returns:
        The texts, each once, and the probabilities, float32, (texts, labels).

    Raises:
        InputError: the file cannot be read, a column is missing, a row has other numbers than probabilities, or no
            row remains.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for text, probabilities in _soft_rows(open_table(Path(source)), labels, text_column):
        rows.setdefault(text, []).append(probabilities)
    texts = list(leave_out(rows, unwanted))
    if not texts:
        raise InputError(f"{source}: no row has a text and probabilities, besides the texts to evaluate on or exclude")
    return texts, np.stack([sum(rows[text]) / len(rows[text]) for text in texts])


def _soft_rows(table: Table, labels: LabelSet, text_column: str | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the text and the probabilities, float32, (labels,), of each row that has both."""
    text_column = choose_column(table, text_column if text_column in table.columns else None, TEXT_COLUMNS, "text")
    columns = [probability_column(name) for name in labels.names]
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(
            f"{table.name} has no column {', '.join(missing)}: --soft-labels needs a column for each label, "
            f"{', '.join(columns)}"
        )
    left_out, first_problem = 0, ""
    for row in progress(table.rows, f"reading {table.name}", " rows"):
        values = [row.values.get(column) for column in columns]
        problem = row_problem(row, text_column)
        if problem is None and all(value in (None, "") for value in values):
            problem = "the text has no probabilities"
        if problem is not None:
            left_out += 1
            first_problem = first_problem or f"row {row.number:,}: {problem}"
            continue
        yield row.values[text_column], _probabilities(values, f"{table.name}, row {row.number:,}", labels)
    if left_out:
        logger.warning("%s: %d rows left out, first: %s", table.name, left_out, first_problem)


def _probabilities(values: Sequence[object], place: str, labels: LabelSet) -> np.ndarray:
    """Return the cells of a row as probabilities.

    Raises:
        InputError: they are others; the message begins with `place`.
    """
    try:
        probabilities = [float(value) for value in values]
    except (TypeError, ValueError):
        probabilities = [math.nan]
    total = 1 if labels.multi_label else sum(probabilities)
    if not (all(0 <= value <= 1 for value in probabilities) and abs(total - 1) < 0.01):
        columns = ", ".join(map(probability_column, labels.names))
        raise InputError(f"{place}: {columns} must be probabilities" + ("" if labels.multi_label else ", 1 in total"))
    return np.array(probabilities, np.float32)
