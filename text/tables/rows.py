"""What all tables have: named columns, numbered rows to be read, and rows to be written."""

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
    """One row of a table: its number as a spreadsheet shows it, its values by column, why it is unusable."""

    number: int
    values: dict[str, object]
    problem: str | None = None


@dataclass(frozen=True)
class Table:
    """The rows of a source, which can be read once.

    Attributes:
        name: what messages call the source.
        columns: the names of the columns.
        rows: the rows.
        file: the text file that they are read from; None where they come from elsewhere.
    """

    name: str
    columns: list[str]
    rows: Iterator[Row]
    file: TextFile | None = None


def unique_names(columns: list[str]) -> list[str]:
    """Make column names unique: a repeated `text` becomes `text (2)`."""
    taken, numbers, names = set(columns), {}, []
    for column in columns:
        name, number = column, numbers.get(column, 0) + 1
        # From the last number on: a spreadsheet's header may have a thousand columns without a name.
        while number > 1 and (name := f"{column} ({number})") in taken:
            number += 1
        numbers[column] = number
        taken.add(name)
        names.append(name)
    return names


class Format(ABC):
    """Writes rows, each a dict of values by column.

    Args:
        columns: all columns, in their order; a row may lack some.
    """

    def __init__(self, columns: Sequence[str]):
        self.columns = list(columns)

    @abstractmethod
    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        """Return a part of the file; the first one may begin with a header."""

    def join(self, parts: Sequence[Path], file: IO[bytes]) -> None:
        """Write the parts, in their order, to `file` as one."""
        for part in parts:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, file)


def as_text(value: object) -> str:
    """Return a value as a cell shows it: text as it is, a missing value as "", lists and dicts as JSON."""
    if isinstance(value, str):  # nearly all are, and there are millions
        return value
    value = _plain(value)
    if value is None:
        return ""
    return as_json(value) if isinstance(value, (bool, list, dict)) else str(value)


def utf8(text: str) -> bytes:
    """Return the bytes of a text; half of a surrogate pair is written as JSON spells it."""
    return text.encode("utf-8", errors="backslashreplace")


def as_json(value: object) -> str:
    """Return a value as JSON on one line; NaN and infinity become null, dates and bytes text."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_for_json, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, default=str)


def _for_json(value: object) -> object:
    plain = _plain(value)
    return str(value) if plain is value else plain


def _plain(value: object) -> object:
    """Return the Python value of a `text.tables.parquet.ExactValue`, and any other value as it is."""
    return value.plain() if hasattr(value, "plain") else value


def _without_nan(value: object) -> object:
    value = _plain(value)
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):  # Parquet's maps are lists of tuples
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
