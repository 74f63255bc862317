"""The rows of a Parquet file; a damaged one is an error that names it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow
from pyarrow.parquet import ParquetFile

from text.commands import InputError, first_line
from text.reading.rows import Row, Table, told_apart

BATCH_ROWS = 256


def open_parquet(
    path: Path, values_of: Callable[[pyarrow.Array], list] = pyarrow.Array.to_pylist
) -> tuple[Table, pyarrow.Schema, int]:
    """The table in a Parquet file, the names and types of its columns, and the number of its rows.

    Raises InputError, for the rows as they are read, where the file is damaged.

    Args:
        values_of: what makes Python values of a column's.
    """
    with reading_parquet(path):
        file = ParquetFile(path)
    columns = told_apart(file.schema_arrow.names)
    fields = [field.with_name(column) for field, column in zip(file.schema_arrow, columns, strict=True)]
    schema = pyarrow.schema(fields, file.schema_arrow.metadata)
    return Table(str(path), columns, _rows(path, file, columns, values_of)), schema, file.metadata.num_rows


def _rows(path: Path, file: ParquetFile, columns: list[str], values_of: Callable) -> Iterator[Row]:
    expected, number = file.metadata.num_rows, 0
    with file, reading_parquet(path):
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for values in zip(*map(values_of, batch.columns), strict=True):
                number += 1
                yield Row(number, dict(zip(columns, values, strict=True)))
    if number != expected:  # pyarrow takes some damaged pages for the end of the file
        raise InputError(f"cannot read {path} as Parquet: it is damaged, {number:,} of its {expected:,} rows are there")


@contextmanager
def reading_parquet(path: Path | str) -> Iterator[None]:
    """Turns what pyarrow raises on a damaged file into an InputError."""
    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"cannot read {path} as Parquet: {first_line(error)}") from error
