"""The kinds of file that scored rows are written to, each in parts that are put together at the end."""

from __future__ import annotations

import csv
import json
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from text.commands import InputError

if TYPE_CHECKING:
    import pyarrow

VERDICT_TYPES = {"label": "string", "probability": "double", "confidence": "double", "problem": "string"}


class Format(ABC):
    """Writes rows, each a dict by column.

    Args:
        columns: all columns, in their order; a row may lack some.
    """

    def __init__(self, columns: Sequence[str]):
        self.columns = list(columns)

    @abstractmethod
    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        """Returns a part of the file; the first one may begin with a header."""

    def join(self, parts: Sequence[Path], file: IO[bytes]) -> None:
        """Writes the parts, in their order, to `file` as one."""
        for part in parts:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, file)


class _Lines(list):
    """A file for `csv.writer`, which writes a record at a time."""

    write = list.append


class DelimitedFormat(Format):
    """CSV and TSV with a header; what is no text is written as JSON, what is missing as nothing."""

    def __init__(self, columns: Sequence[str], delimiter: str, byte_order_mark: bool = False):
        super().__init__(columns)
        self.delimiter = delimiter
        self.byte_order_mark = byte_order_mark  # by which spreadsheets tell UTF-8

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        records = [self.columns] if is_first else []
        records += ([as_text(row.get(column)) for column in self.columns] for row in rows)
        lines = _Lines()
        # It puts quotation marks around those line ends only that it writes itself.
        csv.writer(lines, delimiter=self.delimiter, lineterminator="\r\n").writerows(records)
        mark = "\ufeff" if is_first and self.byte_order_mark else ""
        return utf8(mark + "".join(line.removesuffix("\r\n") + "\n" for line in lines))


class JsonLinesFormat(Format):
    """One JSON object a line, with the fields that the row has."""

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        return utf8("".join(_as_json(row) + "\n" for row in rows))


class PlainTextFormat(Format):
    """A line a row without a header: the columns, in their order, with a tab between them and the text last."""

    def __init__(self, columns: Sequence[str], text_column: str):
        super().__init__(columns)
        self._order = [column for column in columns if column != text_column] + [text_column]

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        lines = ("\t".join(_one_line(row.get(column)) for column in self._order) + "\n" for row in rows)
        return utf8("".join(lines))


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
    verdict_columns: Sequence[str],
    text_column: str,
    *,
    byte_order_mark: bool = False,
    schema: pyarrow.Schema | None = None,
) -> Format:
    """Returns what writes files of a kind, one of `KIND_NAMES`.

    Args:
        columns: those of the source.
        verdict_columns: the four that are added to them.
        text_column: which of those of the source is judged.
        byte_order_mark: whether a CSV file begins with one.
        schema: of a source that is Parquet.
    """
    columns = [*columns, *verdict_columns]
    if kind == "parquet":
        from serving.files.parquet import ParquetFormat  # takes long to load

        return ParquetFormat(columns, verdict_columns, schema)
    if kind == "jsonl":
        return JsonLinesFormat(columns)
    if kind == "txt":
        return PlainTextFormat(columns, text_column)
    return DelimitedFormat(columns, "," if kind == "csv" else "\t", byte_order_mark and kind == "csv")


def as_text(value: object) -> str:
    """Returns a value as a cell shows it: text as it is, what is missing as nothing, lists and the like as JSON."""
    if isinstance(value, str):  # nearly all are, and there are millions
        return value
    value = _plain(value)
    if value is None:
        return ""
    return _as_json(value) if isinstance(value, (bool, list, dict)) else str(value)


def utf8(text: str) -> bytes:
    """Returns the bytes of a text; half of a surrogate pair, which JSON can spell, is written as it is spelt there."""
    return text.encode("utf-8", errors="backslashreplace")


def _one_line(value: object) -> str:
    return " ".join(as_text(value).replace("\t", " ").splitlines())


def _as_json(value: object) -> str:
    """JSON on one line; what JSON does not have becomes null (NaN, infinity) or text (dates, bytes)."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_for_json, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, default=str)


def _for_json(value: object) -> object:
    plain = _plain(value)
    return str(value) if plain is value else plain


def _plain(value: object) -> object:
    """Returns what stands for a value of Parquet that Python may not have (`serving.files.parquet.ExactValue`)."""
    return value.plain() if hasattr(value, "plain") else value


def _without_nan(value: object) -> object:
    value = _plain(value)
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):  # Parquet's maps are lists of tuples
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
