"""The rows of a file to be scored, in blocks that fit into memory."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from system.errors import InputError
from system.files import refuse_folder, sha256_of_file
from text.problems import row_problem
from text.sources import TEXT_COLUMNS, choose_column
from text.tables.kinds import kind_of, open_table
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
        path: where it lies; standard input is kept in a temporary file.
        kind: one of `text.tables.kinds.KIND_NAMES`.
        table: its columns and, once, its rows.
        text_column: the column that has the texts.
        line_count: about as many rows as there are.
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
        """Return whether a CSV file is encoded as spreadsheets encode theirs, and not in bare UTF-8."""
        return self.kind == "csv" and self.table.file.encoding != "utf-8"

    def sha256(self) -> str:
        """Return the SHA-256 of the file's bytes, in hexadecimal."""
        return self.table.file.sha256 if self.table.file else sha256_of_file(self.path)

    def text_of(self, row: Row) -> tuple[str, str | None]:
        """Return the text of a row, "" if it cannot be used, and why it cannot be used, or None."""
        text = row.values.get(self.text_column)
        problem = row_problem(row, self.text_column)
        if problem is None and "\0" in text:  # a sign of damage
            problem = "the text has a NUL byte"
        return ("", problem) if problem else (text, None)


@contextmanager
def open_source(
    name: str, kind: str | None = None, text_column: str | None = None, *, strict: bool = False
) -> Iterator[Source]:
    """Open a file of rows, or standard input for "-".

    Args:
        kind: the kind of file; if it is None, by the suffix, and plain text for standard input.
        text_column: found by its usual names if it is None.
        strict: whether bytes that no known encoding decodes are an error.

    Raises:
        InputError: the file cannot be read, its kind cannot be told, or it has no such column.
    """
    if name != STANDARD_STREAM:
        refuse_folder(name)
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
    schema = None
    if kind == "parquet":
        from text.tables.parquet import exact_values, open_parquet

        table, schema, count = open_parquet(path, exact_values)
    else:
        table = open_table(path, kind=kind, lossless=True)
        if strict:
            table.file.refuse_undecodable()
        if table.file.undecodable:
            print(f"note: {name} has bytes that no known encoding decodes: they are kept as \\xNN", file=sys.stderr)
        count = table.file.num_lines - (kind in ("csv", "tsv"))
    if kind == "txt":
        if text_column not in (None, "text"):
            raise InputError(f"{name} is plain text, which has no column {text_column!r}")
        text_column = "text"
    else:
        text_column = choose_column(
            Table(name, table.columns, table.rows, table.file), text_column, TEXT_COLUMNS, "text"
        )
    return Source(name, path, kind, table, text_column, count, schema)


def blocks(source: Source) -> Iterator[list[Row]]:
    """Yield all rows, some thousand at a time; where a block ends depends on the rows alone."""
    block, characters = [], 0
    for row in source.table.rows:
        block.append(row)
        characters += sum(len(value) for value in row.values.values() if isinstance(value, str))
        if len(block) == BLOCK_ROWS or characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block
