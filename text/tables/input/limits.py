"""The limits of what is read from a file, so that no file, however made, can fill the memory."""

from __future__ import annotations

import os

from system.errors import InputError

# Of a line, of a CSV record, of a row of Parquet, and so of any field. A model needs about 200 bytes a character.
MAX_ROW_CHARACTERS = 4 * 1024 * 1024
MAX_COLUMNS = 16_384  # those of a spreadsheet


def row_too_long() -> str:
    """Return the problem of a row over the limit."""
    return f"the row has more than {MAX_ROW_CHARACTERS:,} characters; divide it"


def refuse_many_columns(name: str | os.PathLike, number: int) -> None:
    """Raise an InputError if a table has too many columns."""
    if number > MAX_COLUMNS:
        raise InputError(f"{name} has {number:,} columns; at most {MAX_COLUMNS:,} can be read; leave some out")
