"""The kinds of table file: which suffix stands for which, and what reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from system.errors import InputError
from text.tables.delimited import DelimitedFormat, open_csv, open_tsv
from text.tables.json_lines import JsonLinesFormat, open_jsonl
from text.tables.plain_text import PlainTextFormat
from text.tables.rows import Format, Table

if TYPE_CHECKING:
    import pyarrow


def open_table(path: Path, *, kind: str | None = None, lossless: bool = False) -> Table:
    """The table in a file, its kind told by its suffix (one of `TABLE_SUFFIXES`).

    The rows are read as they are asked for. Their numbers are what a spreadsheet shows: row 1 is the header
    of a CSV or TSV file, the first line of a JSONL file, the first row of a Parquet file. Blank lines are
    counted but are no rows. A column whose name stands there before has its place after its name: "text (2)".
    Raises InputError where the file, or its header, cannot be read.

    Args:
        kind: the suffix to go by instead of the file's own.
        lossless: whether every line counts. Blank ones are rows with a problem then, bytes that cannot be decoded are
            kept as `\\xNN`, lines may end with `\\r` alone, and all of a JSONL file is looked at for its columns.
    """
    try:
        opener = _OPENERS[(kind or path.suffix).lower()]
    except KeyError:
        known = ", ".join(TABLE_SUFFIXES)
        raise InputError(f"cannot tell the kind of file {path} from its name: use one of {known}") from None
    return opener(path, lossless)


def _open_parquet(path: Path, lossless: bool) -> Table:
    from text.tables.parquet import open_parquet  # pyarrow takes long to load

    return open_parquet(path)[0]


_OPENERS: dict[str, Callable[[Path, bool], Table]] = {
    ".csv": open_csv,
    ".tsv": open_tsv,
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".json": open_jsonl,
    ".parquet": _open_parquet,
}
TABLE_SUFFIXES = tuple(_OPENERS)


KINDS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"} | {
    ".parquet": "parquet",
    ".txt": "txt",
}
KIND_NAMES = tuple(dict.fromkeys(KINDS.values()))


def kind_of(path: str, given: str | None, option: str) -> str:
    """Returns the kind of a file: the one that is given, else that of its suffix.

    Raises:
        InputError: the suffix is none of `KINDS`; `option` is what could say the kind.
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
    """Returns what writes files of a kind, one of `KIND_NAMES`.

    Args:
        columns: those of the source.
        added: the columns that are added to them, each with its type in Parquet.
        text_column: which of those of the source is judged.
        byte_order_mark: whether a CSV file begins with one.
        schema: of a source that is Parquet.
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
