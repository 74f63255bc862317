"""The rows of a file that is to be scored, in blocks that fit into memory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from system.errors import InputError
from system.files import CHUNK_BYTES, as_input_error
from text.sources import TEXT_COLUMNS, choose_column
from text.tables.kinds import kind_of, open_table
from text.tables.plain_text import detect_encoding, lossless_encoding, open_lines
from text.tables.rows import Row, Table

if TYPE_CHECKING:
    import pyarrow

STANDARD_STREAM = "-"
BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 4_000_000  # a block of long texts has fewer rows


@dataclass(frozen=True)
class Source:
    """A file of rows.

    Attributes:
        name: for messages.
        path: where it lies; what came through standard input lies in a temporary file.
        kind: one of `text.tables.kinds.KIND_NAMES`.
        table: its columns and, once, its rows.
        text_column: which of them is to be judged.
        line_count: about as many rows as there are.
        encoding: of a file of text; None for Parquet.
        schema: the column types of a Parquet file; None for other kinds.
    """

    name: str
    path: Path
    kind: str
    table: Table
    text_column: str
    line_count: int
    encoding: str | None = None
    schema: pyarrow.Schema | None = None

    @property
    def has_spreadsheet_encoding(self) -> bool:
        """Whether a CSV file is written as spreadsheets write it, and not in bare UTF-8."""
        return self.kind == "csv" and self.encoding != "utf-8"

    def text_of(self, row: Row) -> tuple[str, str | None]:
        """Returns the text of a row, and why the row cannot be used, or None."""
        text = row.values.get(self.text_column)
        if row.problem:
            return "", row.problem
        if text is None:
            return "", None
        if not isinstance(text, str):
            return "", "the text is not a string"
        # It is a sign of damage, or of UTF-16 that does not say so.
        return ("", "the text has a NUL byte") if "\0" in text else (text, None)


@contextmanager
def open_source(
    name: str, kind: str | None = None, text_column: str | None = None, *, strict: bool = False
) -> Iterator[Source]:
    """Gives the rows of a file, or of standard input for "-".

    Args:
        kind: what kind of file it is; by its suffix where None, and plain text for standard input.
        text_column: found by its usual names where None.
        strict: whether bytes that no known encoding decodes are an error.

    Raises:
        InputError: the file cannot be read, its kind cannot be told, or it has no such column.
    """
    if name != STANDARD_STREAM:
        if not Path(name).is_file():
            raise InputError(f"there is no file {name} to score")
        yield _source(name, Path(name), kind_of(name, kind, "--format"), text_column, strict)
        return
    if sys.stdin is None:
        raise InputError("there is no standard input: it is closed")
    kind = kind or "txt"
    # On disk, since its encoding and some kinds of file cannot be told from their beginning alone.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"standard input.{kind}")
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield _source("standard input", path, kind, text_column, strict)


def _source(name: str, path: Path, kind: str, text_column: str | None, strict: bool) -> Source:
    schema = encoding = None
    if kind == "parquet":
        from text.tables.parquet import exact_values, open_parquet

        table, schema, count = open_parquet(path, exact_values)
    else:
        encoding, errors = (detect_encoding(path), "strict") if strict else lossless_encoding(path)
        if errors != "strict":
            print(f"note: {name} has bytes that no known encoding decodes: they are kept as \\xNN", file=sys.stderr)
        count = _count_lines(path) - (kind in ("csv", "tsv"))
        table = open_lines(path) if kind == "txt" else open_table(path, kind=f".{kind}", lossless=True)
    if kind == "txt":
        if text_column not in (None, "text"):
            raise InputError(f"{name} is plain text, which has no column {text_column!r}")
        text_column = "text"
    else:
        text_column = choose_column(Table(name, table.columns, table.rows), text_column, TEXT_COLUMNS, "text")
    return Source(name, path, kind, table, text_column, count, encoding, schema)


def blocks(source: Source) -> Iterator[list[Row]]:
    """Yields all rows, some thousand at a time; where a block ends depends on the rows alone."""
    block, characters = [], 0
    for row in source.table.rows:
        block.append(row)
        characters += sum(len(value) for value in row.values.values() if isinstance(value, str))
        if len(block) == BLOCK_ROWS or characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _count_lines(path: str | os.PathLike) -> int:
    count, last = 0, b"\n"
    with as_input_error(path), open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")
