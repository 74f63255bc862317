"""Rows, tables, the choice of a column, and the base class of the formats that write them."""

import json
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from system.errors import InputError
from text.tables.input.text_file import TextFile

COLUMNS_SHOWN = 20
COLUMN_CHARACTERS_SHOWN = 40


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


def choose_column(
    table: Table, wanted: str | None, usual_names: tuple[str, ...], kind: str, option: str | None = None
) -> str:
    """Return the name of a column: the wanted one, or the first of the usual ones.

    Args:
        wanted: the name of the column, or None.
        usual_names: the names to look for, in any case, if `wanted` is None.
        kind: "text", "label" or "group", for the error message.
        option: the option that names the column, for the error message; None: "--text-column" for the kind "text".

    Raises:
        InputError: there is no such column, or there are several of that name.
    """
    if wanted is None:
        by_name = {column.strip().lower(): column for column in reversed(table.columns)}
        chosen = next((by_name[name] for name in usual_names if name in by_name), None)
    else:
        chosen = wanted if wanted in table.columns else None
    if chosen is not None and f"{chosen} (2)" not in table.columns:
        return chosen
    if _looks_binary(table):
        raise InputError(f"{table.name} does not look like a text file: it has NUL bytes; save it as text in UTF-8")
    number = "no" if chosen is None else "more than one"
    described = f"column {wanted!r}" if wanted is not None else f"{kind} column (usual names: {', '.join(usual_names)})"
    columns = ", ".join(repr(column[:COLUMN_CHARACTERS_SHOWN]) for column in table.columns[:COLUMNS_SHOWN])
    option = option or f"--{kind}-column"
    raise InputError(f"{table.name} has {number} {described}; its columns are {columns}; name one with {option}")


def _looks_binary(table: Table) -> bool:
    """Return whether a table was read from a file with NUL bytes whose header is not readable either."""
    if table.file is None or not table.file.has_nul:
        return False
    return table.file.undecodable is not None or not "".join(table.columns).isprintable()


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
