"""The rows of one table file (CSV, TSV, JSONL, Parquet), numbered, each with its values or its problem."""

import csv
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from text.commands import InputError, first_line
from text.reading.files import detect_encoding, reading

MAX_FIELD_CHARACTERS = 10 * 1024 * 1024
# Lines that may be read again, for each line of the file, after quotation marks that nothing closes: far more
# than a damaged file needs, and a bound on the time that a hostile one can take.
MAX_LINES_READ_AGAIN = 4
# JSON objects that are looked at for the names of the columns.
JSON_OBJECTS_SURVEYED = 100
PARQUET_BATCH_ROWS = 1024
UNCLOSED_QUOTE = "a quotation mark opens here that nothing closes"


class Row(NamedTuple):
    """One row of a table: its number as a spreadsheet shows it, its values by column, why it is unusable."""

    number: int
    values: dict[str, object]
    problem: str | None = None


@dataclass(frozen=True)
class Table:
    """The name, the columns and, once, the rows of a source."""

    name: str
    columns: list[str]
    rows: Iterator[Row]


class Record(NamedTuple):
    """The fields of one record of a text file, or why there are none."""

    fields: list[str]
    problem: str | None = None


def open_table(path: Path) -> Table:
    """The table in a file, its kind told by its suffix (one of `TABLE_SUFFIXES`).

    The rows are read as they are asked for. Their numbers are what a spreadsheet shows: row 1 is the header
    of a CSV or TSV file, the first line of a JSONL file, the first row of a Parquet file. Blank lines are
    counted but are no rows.
    Raises InputError where the file, or its header, cannot be read.
    """
    try:
        opener = _OPENERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(TABLE_SUFFIXES)
        raise InputError(f"cannot tell the kind of file {path} from its name: use one of {known}") from None
    return opener(path)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a text file in whatever encoding it has, without their ends (`\\n` or `\\r\\n`)."""
    with reading(path), open(path, encoding=detect_encoding(path), newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")


def _open_csv(path: Path) -> Table:
    return _delimited_table(path, _csv_records(path))


def _open_tsv(path: Path) -> Table:
    return _delimited_table(path, _tsv_records(path))


def _delimited_table(path: Path, records: Iterator[Record]) -> Table:
    numbered = ((number, record) for number, record in enumerate(records, start=1) if record != Record([]))
    number, header = next(numbered, (0, None))
    if header is None:
        raise InputError(f"{path} is empty: its first row must name the columns")
    if header.problem:
        raise InputError(f"{path}, row {number}, which must name the columns: {header.problem}")
    columns = header.fields
    return Table(str(path), columns, (_row(number, columns, record) for number, record in numbered))


def _row(number: int, columns: list[str], record: Record) -> Row:
    if record.problem:
        return Row(number, {}, record.problem)
    if len(record.fields) != len(columns):
        return Row(number, {}, f"{len(record.fields)} columns where the first row has {len(columns)}")
    return Row(number, dict(zip(columns, record.fields, strict=True)))


class _Lines:
    """The lines of a file, of which those of a broken record can be read again."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._given_back: deque[str] = deque()
        self._may_be_read_again = 0
        self.of_this_record: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._given_back:
            line = self._given_back.popleft()
        else:
            line = next(self._file)
            self._may_be_read_again += MAX_LINES_READ_AGAIN
        self.of_this_record.append(line)
        return line

    def give_back_all_but_first(self) -> bool:
        """Whether the lines of this record after its first will be read again, as records of their own."""
        rest = self.of_this_record[1:]
        if len(rest) > self._may_be_read_again:
            return False
        self._may_be_read_again -= len(rest)
        self._given_back.extendleft(reversed(rest))
        return True


def _csv_records(path: Path) -> Iterator[Record]:
    """The records of a CSV file; a blank line is a record without fields.

    A quotation mark that nothing closes would swallow the rows after it, up to the end of the file: only the
    row where it stands becomes a problem, and the lines after it are read again as rows of their own.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    with reading(path), open(path, encoding=detect_encoding(path), newline="") as file:
        lines = _Lines(file)
        # Strict, or text after a closing quotation mark and the end of the file within quotes go unnoticed.
        reader = csv.reader(lines, strict=True)
        while True:
            lines.of_this_record.clear()
            try:
                yield Record(next(reader))
            except StopIteration:
                return
            except csv.Error as error:
                yield Record([], _csv_problem(lines, error))
                reader = csv.reader(lines, strict=True)


def _csv_problem(lines: _Lines, error: csv.Error) -> str:
    swallowed = len(lines.of_this_record) - 1
    if not lines.give_back_all_but_first():
        return f"{UNCLOSED_QUOTE}; {swallowed:,} lines after it could not be read"
    if swallowed or "end of data" in str(error):
        return UNCLOSED_QUOTE
    return f"not valid CSV ({error})"


def _tsv_records(path: Path) -> Iterator[Record]:
    """The records of a TSV file: a line each.

    Quotation marks are ordinary characters, because TSV files of reviews are seldom written by a CSV writer,
    and a review that begins with a quotation mark would swallow the tabs and lines after it. Only a field
    that is quoted in full and has a doubled quotation mark in it is taken for a CSV writer's. Where such a
    writer quoted a tab or a line break, the number of columns gives the row away.
    """
    for line in text_lines(path):
        yield Record([_without_csv_quotes(field) for field in line.split("\t")] if line else [])


def _without_csv_quotes(field: str) -> str:
    inner = field[1:-1]
    if field != f'"{inner}"' or '""' not in inner or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')


def _open_jsonl(path: Path) -> Table:
    rows = (_json_row(number, line) for number, line in enumerate(text_lines(path), start=1) if line.strip())
    surveyed = list(itertools.islice(rows, JSON_OBJECTS_SURVEYED))
    columns = list(dict.fromkeys(column for row in surveyed for column in row.values))
    if not columns:
        problem = next((f"row {row.number}: {row.problem}" for row in surveyed if row.problem), "no values")
        raise InputError(f"{path} has nothing to read ({problem}): write one JSON object in each line")
    return Table(str(path), columns, itertools.chain(surveyed, rows))


def _json_row(number: int, line: str) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"not JSON ({error})")
    if not isinstance(values, dict):
        return Row(number, {}, "not a JSON object")
    return Row(number, values)


def _open_parquet(path: Path) -> Table:
    from pyarrow.parquet import ParquetFile

    with _reading_parquet(path):
        file = ParquetFile(path)
    return Table(str(path), file.schema_arrow.names, _parquet_rows(path, file))


def _parquet_rows(path: Path, file) -> Iterator[Row]:
    number = 0
    with file, _reading_parquet(path):
        for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
            for values in batch.to_pylist():
                number += 1
                yield Row(number, values)


@contextmanager
def _reading_parquet(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises on a damaged file into an InputError."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"cannot read {path} as Parquet: {first_line(error)}") from error


_OPENERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _open_csv,
    ".tsv": _open_tsv,
    ".jsonl": _open_jsonl,
    ".ndjson": _open_jsonl,
    ".json": _open_jsonl,
    ".parquet": _open_parquet,
}
TABLE_SUFFIXES = tuple(_OPENERS)
