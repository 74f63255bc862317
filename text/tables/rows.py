"""Rows, tables, and the base class of the formats that write them."""

import json
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from text.tables.text_file import TextFile


class Row(NamedTuple):
    """One row of a table: its number in a spreadsheet, its values by column, and its problem, if it is damaged."""

    number: int
    values: dict[str, object]
    problem: str | None = None


@dataclass(frozen=True)
class Table:
    """The rows of a source. They can be read once.

    Attributes:
        name: the name of the source in messages.
        columns: the names of the columns.
        rows: the rows.
        file: the text file of the rows; None if they come from elsewhere.
        other_splits: the names of the splits of the source that are not in this table.
    """

    name: str
    columns: list[str]
    rows: Iterator[Row]
    file: TextFile | None = None
    other_splits: tuple[str, ...] = ()


def unique_names(columns: list[str]) -> list[str]:
    """Make column names unique: a repeated `text` becomes `text (2)`."""
    taken, numbers, names = set(columns), {}, []
    for column in columns:
        name, number = column, numbers.get(column, 0) + 1
        # Continue from the last number, because a spreadsheet may have a thousand columns without a name.
        while number > 1 and (name := f"{column} ({number})") in taken:
            number += 1
        numbers[column] = number
        taken.add(name)
        names.append(name)
    return names


class Format(ABC):
    """A format of table files. It encodes rows, which are dicts of values by column.

    Args:
        columns: all columns, in their order. A row may lack some.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)

    @abstractmethod
    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        """Return the bytes of a part of the file. The first part may begin with a header."""

    def join(self, parts: Sequence[Path], file: IO[bytes]) -> None:
        """Write the parts to `file`, one after the other."""
        for part in parts:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, file)


def as_text(value: object) -> str:
    """Return the text of a cell: strings unchanged, missing values as "", booleans, lists and dicts as JSON."""
    if isinstance(value, str):  # first, because nearly all of millions of values are
        return value
    value = _plain(value)
    if value is None:
        return ""
    return as_json(value) if isinstance(value, (bool, list, dict)) else str(value)


def utf8(text: str) -> bytes:
    """Return the bytes of a text in UTF-8. Half of a surrogate pair becomes `\\uNNNN`, as in JSON."""
    return text.encode("utf-8", errors="backslashreplace")


def as_json(value: object) -> str:
    """Return a value as JSON on one line. NaN and infinity become null; dates and bytes become strings."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_for_json, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, default=str)


def _for_json(value: object) -> object:
    plain = _plain(value)
    return str(value) if plain is value else plain


def _plain(value: object) -> object:
    """Return the Python value of a `text.tables.parquet.ExactValue`, and any other value unchanged."""
    return value.plain() if hasattr(value, "plain") else value


def _without_nan(value: object) -> object:
    value = _plain(value)
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):  # Parquet's maps are lists of tuples
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
