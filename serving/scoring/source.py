"""Read the rows of a file in blocks that fit into memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.scoring.copies import copy_of
from system.errors import InputError
from system.files import as_input_error, refuse_folder, sha256_of_file
from text.sources import TEXT_COLUMNS
from text.tables.kinds import kind_of, open_table
from text.tables.problems import row_problem
from text.tables.rows import Row, Table, choose_column

if TYPE_CHECKING:
    import pyarrow

STANDARD_STREAM = "-"
BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 4_000_000  # a block of long texts is shorter,
BLOCK_CELLS = 1_000_000  # and so is one of many columns


@dataclass(frozen=True)
class Source:
    """A file of rows.

    Attributes:
        name: the name for messages.
        path: the file; for standard input, a temporary file.
        kind: one of `text.tables.kinds.KIND_NAMES`.
        table: the columns and the rows, which can be read once.
        text_column: the column of the texts.
        line_count: the approximate number of rows.
        schema: the column types of a Parquet file; None for other kinds.
    """

    name: str
    path: Path
    kind: str
    table: Table
    text_column: str
    line_count: int
    schema: pyarrow.Schema | None = None

    @property
    def has_spreadsheet_encoding(self) -> bool:
        """Whether this is a CSV file in an encoding that spreadsheets write, not in plain UTF-8."""
        return self.kind == "csv" and self.table.file.encoding != "utf-8"

    @property
    def note(self) -> str | None:
        """What to say about bytes that cannot be decoded; None if there are none."""
        if self.table.file is None or not self.table.file.undecodable:
            return None
        return f"note: {self.name} has bytes that no known encoding can decode; they are kept as \\xNN"

    def sha256(self) -> str:
        """Return the SHA-256 of the file's bytes, in hexadecimal."""
        return self.table.file.sha256 if self.table.file else sha256_of_file(self.path)

    def text_of(self, row: Row) -> tuple[str, str | None]:
        """Return the text of a row and None, or "" and why the row has no usable text."""
        return text_of(row, self.text_column)


def text_of(row: Row, text_column: str) -> tuple[str, str | None]:
    """Return the text of a row and None, or "" and why the row has no usable text."""
    text = row.values.get(text_column)
    problem = row_problem(row, text_column)
    if problem is None and "\0" in text:  # a sign of damage
        problem = "the text has a NUL byte"
    return ("", problem) if problem else (text, None)


@contextmanager
def open_source(
    name: str, kind: str | None = None, text_column: str | None = None, *, strict: bool = False
) -> Iterator[Source]:
    """Open a file of rows, or standard input for "-".

    Args:
        name: the file, or a named pipe.
        kind: the kind of file; None: by the suffix, and plain text for standard input.
        text_column: the column of the texts; None: the usual names.
        strict: whether bytes that no known encoding can decode are an error.

    Raises:
        InputError: the file cannot be read, its kind is unknown, or it has no such column.
    """
    if name != STANDARD_STREAM and Path(name).is_fifo():
        kind = kind_of(name, kind, "--format")
        with as_input_error(name):
            pipe = open(name, "rb")  # noqa: SIM115 (closed below)
        with pipe, copy_of(pipe, f".{kind}") as path:
            yield _source(name, path, kind, text_column, strict)
        return
    if name != STANDARD_STREAM:
        _require_file(Path(name))
        yield _source(name, Path(name), kind_of(name, kind, "--format"), text_column, strict)
        return
    if sys.stdin is None:
        raise InputError("standard input is closed; name a file with --file")
    kind = kind or "txt"
    with copy_of(sys.stdin.buffer, f".{kind}") as path:
        yield _source("standard input", path, kind, text_column, strict)


def _require_file(path: Path) -> None:
    refuse_folder(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: not a regular file; pipe it into --file -")


def _source(name: str, path: Path, kind: str, text_column: str | None, strict: bool) -> Source:
    schema = None
    if kind == "parquet":
        from text.tables.parquet import exact_values, open_parquet

        table, schema, count = open_parquet(path, exact_values)
    else:
        table = open_table(path, kind=kind, lossless=True)
        if strict:
            table.file.refuse_undecodable()
        count = table.file.num_lines - (kind in ("csv", "tsv"))
    if kind == "txt":
        if text_column not in (None, "text"):
            raise InputError(f"{name}: plain text has no column {text_column!r}; leave out --text-column")
        text_column = "text"
    else:
        text_column = choose_column(
            Table(name, table.columns, table.rows, table.file), text_column, TEXT_COLUMNS, "text"
        )
    return Source(name, path, kind, table, text_column, count, schema)


def blocks(source: Source) -> Iterator[list[Row]]:
    """Yield all rows in blocks, whose ends depend on the columns and the rows alone."""
    most_rows = min(BLOCK_ROWS, max(1, BLOCK_CELLS // len(source.table.columns)))
    block, characters = [], 0
    for row in source.table.rows:
        block.append(row)
        characters += sum(_size(value) for value in row.values.values())
        if len(block) == most_rows or characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _size(value: object) -> int:
    """Return about how many characters a value has; 0 for a number."""
    if isinstance(value, str):  # first, because nearly all of millions of values are
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + _size(inner) for name, inner in value.items())
    if isinstance(value, list):
        return len(value) + sum(map(_size, value))
    return getattr(value, "num_bytes", 0)
