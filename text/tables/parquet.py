"""Parquet files: reading rows, and writing them with every value unchanged to the last bit.

Python lacks some values of Parquet, such as nanoseconds and dates beyond the year 9999. Values of such types stay in
pyarrow's own form.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow
from pyarrow import parquet, types

from system.errors import InputError, first_line
from system.files import refuse_stream
from text.tables.input.arrow_sizes import parts_that_fit
from text.tables.input.limits import MAX_ROW_CHARACTERS, refuse_many_columns, row_too_long
from text.tables.rows import Format, Row, Table, as_text, unique_names, utf8

BATCH_ROWS = 1024
BATCH_VALUES = 1_000_000  # a batch of many columns, or of long lists, has fewer rows,
BATCH_BYTES = 64 * 1024 * 1024  # and so has one of long values


def open_parquet(
    path: Path, values_of: Callable[[pyarrow.Array], list] = pyarrow.Array.to_pylist
) -> tuple[Table, pyarrow.Schema, int]:
    """Open a Parquet file. Its rows are read only when the caller iterates over them.

    Args:
        values_of: a function that returns the values of a column as a list.

    Returns:
        The table, its schema, and the number of its rows.

    Raises:
        InputError: the file is damaged, or has too many columns. Damaged rows are found when they are read.
    """
    refuse_stream(path)
    with _as_input_error(path):
        file = parquet.ParquetFile(path)
    refuse_many_columns(path, file.metadata.num_columns)
    columns = unique_names(file.schema_arrow.names)
    fields = [field.with_name(column) for field, column in zip(file.schema_arrow, columns, strict=True)]
    schema = pyarrow.schema(fields, file.schema_arrow.metadata)
    return Table(str(path), columns, _rows(path, file, columns, values_of)), schema, file.metadata.num_rows


def _rows(path: Path, file: parquet.ParquetFile, columns: list[str], values_of: Callable) -> Iterator[Row]:
    expected, number, kinds = file.metadata.num_rows, 0, file.schema_arrow.types
    # A page of two kilobytes can have a text of megabytes for each of its rows. As dictionaries all rows share one.
    texts = [column.path for column in map(file.schema.column, range(len(file.schema))) if _is_text_leaf(column)]
    has_lists = any(pyarrow.types.is_nested(kind) for kind in kinds)
    file.close()
    with _as_input_error(path), parquet.ParquetFile(path, read_dictionary=texts) as file:
        for group in range(file.num_row_groups):
            batch_rows = _batch_rows(path, file.metadata.row_group(group), has_lists)
            for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group], use_threads=False):
                for part, is_readable in parts_that_fit(batch):
                    if is_readable:
                        for values in zip(*map(values_of, map(_cast, part.columns, kinds)), strict=True):
                            number += 1
                            yield Row(number, dict(zip(columns, values, strict=True)))
                    else:
                        number += 1
                        yield Row(number, {}, row_too_long())
    if number != expected:  # pyarrow considers some damaged pages the end of the file
        raise InputError(f"cannot read {path} as Parquet: damaged, only {number:,} of {expected:,} rows can be read")


def _is_text_leaf(column: parquet.ColumnSchema) -> bool:
    return column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"


def _batch_rows(path: Path, group: parquet.RowGroupMetaData, has_lists: bool) -> int:
    """Return how many rows of a row group fit into memory, if they are about equally long."""
    values_a_row = group.num_columns
    if has_lists:  # without need this is not looked at, since pyarrow ends the process where it is damaged
        leaves = [group.column(index) for index in range(group.num_columns)]
        values_a_row = sum(leaf.num_values for leaf in leaves) / max(group.num_rows, 1)
    if values_a_row > MAX_ROW_CHARACTERS:
        raise InputError(f"{path}: its rows have {values_a_row:,.0f} values each; shorten its lists")
    bytes_a_row = group.total_byte_size / max(group.num_rows, 1)
    return max(1, int(min(BATCH_ROWS, BATCH_VALUES / max(values_a_row, 1), BATCH_BYTES / max(bytes_a_row, 1))))


def _cast(column: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    return column if column.type.equals(kind) else column.cast(kind)


@contextmanager
def _as_input_error(path: Path | str) -> Iterator[None]:
    """Raise pyarrow's errors about a damaged file as an InputError."""
    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"cannot read {path} as Parquet: {first_line(error)}") from error


@dataclass(frozen=True, slots=True)
class ExactValue:
    """A value in the form in which pyarrow read it: an array of length 1."""

    array: pyarrow.Array

    @property
    def num_bytes(self) -> int:
        """The size in memory."""
        return self.array.nbytes

    def __reduce__(self) -> tuple:
        """Pickle a copy: the array is a slice of a batch, all of whose bytes would be pickled with it."""
        return ExactValue, (self.array.take([0]),)

    def plain(self) -> object:
        """Return the Python value for text formats, or a string if Python has no such value."""
        try:
            return self.array[0].as_py()
        except (ValueError, OverflowError, pyarrow.ArrowException):
            pass
        try:
            return self.array.cast("string")[0].as_py()
        except pyarrow.ArrowException:  # a list of such values
            return " ".join(self.array.slice(0, 1).to_string().split())


def exact_values(column: pyarrow.Array) -> list:
    """Return the values of a column: text, numbers and booleans as Python values, others as `ExactValue`."""
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
    """Parquet. Columns have the types of a Parquet source; those of other sources are text.

    Args:
        columns: all columns, in their order.
        added: the type of each column that the source does not have.
        schema: the schema of a Parquet source; None for other sources.
    """

    def __init__(self, columns: Sequence[str], added: Mapping[str, str], schema: pyarrow.Schema | None = None) -> None:
        super().__init__(columns)
        self._as_text = {column for column in columns if schema is None and column not in added}
        # The name of a JSON field may contain half of a surrogate pair.
        names = unique_names([utf8(column).decode("utf-8") for column in columns])
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
                with _as_input_error(part), parquet.ParquetFile(part) as source:
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
