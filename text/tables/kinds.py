"""The kinds of files: their suffixes, their readers and their writers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from system.errors import InputError
from text.tables.delimited import DelimitedFormat, open_csv, open_tsv
from text.tables.json_lines import JsonLinesFormat, open_jsonl
from text.tables.plain_text import PlainTextFormat, open_lines
from text.tables.rows import Format, Table

if TYPE_CHECKING:
    import pyarrow


# Which suffix is which kind of file. `application.py` repeats the kinds, because its --help waits for no import; a
# test compares them.
KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
}
KIND_NAMES = tuple(dict.fromkeys(KINDS.values()))
TEXT_SUFFIXES = tuple(suffix for suffix, kind in KINDS.items() if kind == "txt")
TABLE_SUFFIXES = tuple(suffix for suffix in KINDS if suffix not in TEXT_SUFFIXES)


def open_table(path: Path, *, kind: str | None = None, lossless: bool = False) -> Table:
    """Open the table in a file; its rows are read as they are asked for.

    The numbers of the rows are what a spreadsheet shows: row 1 is the header of a CSV or TSV file, the first line of a
    JSONL file, the first row of a Parquet file. Blank lines are counted but are no rows. A column whose name is taken
    gets a number: "text (2)".

    Args:
        kind: one of `KIND_NAMES`; by the suffix (one of `TABLE_SUFFIXES`) if it is None.
        lossless: whether every line counts. Blank lines are then rows with a problem, bytes that cannot be decoded
            are kept as `\\xNN`, and every line of a JSONL file is read for the names of its columns.

    Raises:
        InputError: the file or its header cannot be read, or its suffix says nothing.
    """
    suffix = path.suffix.lower()
    if kind is None and suffix not in TABLE_SUFFIXES:
        known = ", ".join(TABLE_SUFFIXES)
        raise InputError(f"cannot tell the kind of file {path} from its name: use one of {known}")
    return _OPENERS[kind or KINDS[suffix]](path, lossless)


def _open_parquet(path: Path, lossless: bool) -> Table:
    from text.tables.parquet import open_parquet  # pyarrow takes long to load

    return open_parquet(path)[0]


_OPENERS: dict[str, Callable[[Path, bool], Table]] = {
    "csv": open_csv,
    "tsv": open_tsv,
    "jsonl": open_jsonl,
    "parquet": _open_parquet,
    "txt": open_lines,
}


def kind_of(path: str, given: str | None, option: str) -> str:
    """Return the kind of a file: the given one, else that of its suffix.

    Args:
        option: the command line option that gives a kind, for the error message.

    Raises:
        InputError: no kind is given, and the suffix is not in `KINDS`.
    """
    kind = given or KINDS.get(Path(path).suffix.lower())
    if kind is None:
        known = ", ".join(KINDS)
        raise InputError(f"cannot tell the kind of file {path} from its name (one of {known}); say it with {option}")
    return kind


def open_format(
    kind: str,
    columns: Sequence[str],
    added: Mapping[str, str],
    text_column: str,
    *,
    byte_order_mark: bool = False,
    schema: pyarrow.Schema | None = None,
) -> Format:
    """Return the writer of files of a kind, one of `KIND_NAMES`.

    Args:
        columns: the columns of the source.
        added: the columns that are added to them, each with its type in Parquet.
        text_column: the column of the source that has the texts.
        byte_order_mark: whether a CSV file begins with one.
        schema: the column types of a Parquet source.
    """
    columns = [*columns, *added]
    if kind == "parquet":
        from text.tables.parquet import ParquetFormat  # takes long to load

        return ParquetFormat(columns, added, schema)
    if kind == "jsonl":
        return JsonLinesFormat(columns)
    if kind == "txt":
        return PlainTextFormat(columns, text_column)
    return DelimitedFormat(columns, "," if kind == "csv" else "\t", byte_order_mark and kind == "csv")
