"""Parquet files that are to be scored, and to be written: what a value was, it stays, to the last bit.

Python has no values for some that Parquet has, such as nanoseconds and dates of other ages. Values of such types stay
what pyarrow read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow
from pyarrow import parquet, types

from serving.files.formats import VERDICT_TYPES, Format, as_text, utf8
from text.reading.parquet import reading_parquet
from text.reading.rows import told_apart


@dataclass(frozen=True, slots=True)
class ExactValue:
    """A value that is kept as pyarrow read it, in an array of its own."""

    array: pyarrow.Array

    def plain(self) -> object:
        """Returns what text formats write; text where Python has no such value."""
        try:
            return self.array[0].as_py()
        except (ValueError, OverflowError, pyarrow.ArrowException):
            pass
        try:
            return self.array.cast("string")[0].as_py()
        except pyarrow.ArrowException:  # of a list of such values
            return " ".join(self.array.slice(0, 1).to_string().split())


def exact_values(column: pyarrow.Array) -> list:
    """Returns the values of a column, those of unusual types as `ExactValue`."""
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if _is_text(kind):
        try:
            return column.to_pylist()
        except UnicodeDecodeError:
            return [_decode(value) for value in column.cast(kind).cast(pyarrow.large_binary()).to_pylist()]
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind):
        return column.to_pylist()
    return [ExactValue(column.slice(index, 1)) if column[index].is_valid else None for index in range(len(column))]


def _is_text(kind: pyarrow.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _decode(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", errors="backslashreplace")


class ParquetFormat(Format):
    """Parquet, with the column types of the source where it has some, and text otherwise.

    Args:
        verdict_columns: the four that are added.
        schema: of the source.
    """

    def __init__(self, columns: Sequence[str], verdict_columns: Sequence[str], schema: pyarrow.Schema | None = None):
        super().__init__(columns)
        added = dict(zip(verdict_columns, VERDICT_TYPES.values(), strict=True))
        self._as_text = {column for column in columns if schema is None and column not in added}
        # The name of a JSON field may be half of a surrogate pair.
        names = told_apart([utf8(column).decode("utf-8") for column in columns])
        self.schema = pyarrow.schema(
            [
                schema.field(column) if schema and column not in added else (name, added.get(column, "string"))
                for column, name in zip(columns, names, strict=True)
            ],
            schema.metadata if schema else None,
        )

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        buffer = io.BytesIO()
        arrays = [self._array(column, rows, kind) for column, kind in zip(self.columns, self.schema.types, strict=True)]
        parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=self.schema), buffer)
        return buffer.getvalue()

    def join(self, parts: Sequence[Path], file: IO[bytes]) -> None:
        with parquet.ParquetWriter(file, self.schema) as writer:
            for part in parts:
                with reading_parquet(part), parquet.ParquetFile(part) as source:
                    table = source.read()
                writer.write_table(table)

    def _array(self, column: str, rows: list[dict], kind: pyarrow.DataType) -> pyarrow.Array:
        values = [row.get(column) for row in rows]
        if column in self._as_text:
            values = [None if value is None else utf8(as_text(value)).decode("utf-8") for value in values]
        if any(isinstance(value, ExactValue) for value in values):
            nothing = pyarrow.nulls(1, kind)
            return pyarrow.concat_arrays([nothing if value is None else value.array for value in values])
        return pyarrow.array(values, kind)
