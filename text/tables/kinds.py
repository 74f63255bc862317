"""The kinds of table files: their suffixes, readers and writers."""

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


# The kind of file of each suffix. `application.py` repeats the kinds, because its --help must not wait for this import;
# a test compares the two.
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
    """Open the table in a file. Its rows are read only when the caller iterates over them.

    Row numbers are those of a spreadsheet: row 1 is the header of a CSV or TSV file, the first line of a JSONL file,
    the first row of a Parquet file. Blank lines are counted but skipped. A repeated column name gets a number:
    "text (2)".

    Args:
        kind: one of `KIND_NAMES`; if it is None, that of the suffix, one of `TABLE_SUFFIXES`.
        lossless: whether to keep every line. Blank lines are then rows with a problem, bytes that cannot be decoded are
            kept as `\\xNN`, and every line of a JSONL file is read to find all columns.

    Raises:
        InputError: the file or its header cannot be read, or its suffix is unknown.
    """
    suffix = path.suffix.lower()
    if kind is None and suffix not in TABLE_SUFFIXES:
        known = ", ".join(TABLE_SUFFIXES)
        raise InputError(f"{path}: unknown kind of file; its name must end with one of {known}")
    return _OPENERS[kind or KINDS[suffix]](path, lossless)


def _open_parquet(path: Path, lossless: bool) -> Table:
    from text.tables.parquet import open_parquet  # imported here because pyarrow loads slowly

    return open_parquet(path)[0]


_OPENERS: dict[str, Callable[[Path, bool], Table]] = {
    "csv": open_csv,
    "tsv": open_tsv,
    "jsonl": open_jsonl,
    "parquet": _open_parquet,
    "txt": open_lines,
}


def kind_of(path: str, given: str | None, option: str) -> str:
    """Return the kind of a file: `given`, or else that of its suffix.

    Args:
        option: the command line option for the kind, for the error message.

    Raises:
        InputError: no kind is given, and the suffix is not in `KINDS`.
    """
    kind = given or KINDS.get(Path(path).suffix.lower())
    if kind is None:
        known = ", ".join(KINDS)
        raise InputError(f"{path}: unknown kind of file (known kinds: {known}); choose the kind with {option}")
    return kind


def open_format(
    kind: str,
    columns: Sequence[str],
    added: Mapping[str, str],
    text_column: str,
    *,
    byte_order_mark: bool = False,
    csv_safe: bool = False,
    schema: pyarrow.Schema | None = None,
) -> Format:
    """Return the writer of a kind of file.

    Args:
        kind: one of `KIND_NAMES`.
        columns: the columns of the source.
        added: the columns to add, each with its type in Parquet.
        text_column: the column of the source with the texts.
        byte_order_mark: whether a CSV file begins with a byte order mark.
        csv_safe: whether no text of a CSV or TSV file may be a formula.
        schema: the schema of a Parquet source; None for other sources.
    """
    columns = [*columns, *added]
    if kind == "parquet":
        from text.tables.parquet import ParquetFormat  # imported here because pyarrow loads slowly

        return ParquetFormat(columns, added, schema)
    if kind == "jsonl":
        return JsonLinesFormat(columns)
    if kind == "txt":
        return PlainTextFormat(columns, text_column)
    return DelimitedFormat(columns, "," if kind == "csv" else "\t", byte_order_mark and kind == "csv", csv_safe)
