"""CSV and TSV: rows in, each with its values or its problem, and rows out."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from system.errors import InputError
from system.files import as_input_error
from text.tables.plain_text import open_text, text_lines
from text.tables.rows import Format, Row, Table, as_text, unique_names, utf8

MAX_FIELD_CHARACTERS = 10 * 1024 * 1024
# Lines that may be read again, for each line of the file, after quotation marks that nothing closes: far more
# than a damaged file needs, and a bound on the time that a hostile one can take.
MAX_LINES_READ_AGAIN = 4
UNCLOSED_QUOTE = "a quotation mark opens here that nothing closes"


class Record(NamedTuple):
    """The fields of one record of a text file; where it has a problem, as much as can be told."""

    fields: list[str]
    problem: str | None = None


BLANK = Record([])


def open_csv(path: Path, lossless: bool) -> Table:
    return _delimited_table(path, _csv_records(path, lossless), ",", lossless)


def open_tsv(path: Path, lossless: bool) -> Table:
    return _delimited_table(path, _tsv_records(path, lossless), "\t", lossless)


def _delimited_table(path: Path, records: Iterator[Record], delimiter: str, lossless: bool) -> Table:
    numbered = enumerate(records, start=1)
    if not lossless:
        numbered = ((number, record) for number, record in numbered if record != BLANK)
    number, header = next(((number, record) for number, record in numbered if record != BLANK), (0, None))
    if header is None:
        raise InputError(f"{path} is empty: its first row must name the columns")
    if header.problem:
        raise InputError(f"{path}, row {number}, which must name the columns: {header.problem}")
    columns = unique_names(header.fields)
    return Table(str(path), columns, (_row(number, columns, record, delimiter) for number, record in numbered))


def _row(number: int, columns: list[str], record: Record, delimiter: str) -> Row:
    values = dict(zip(columns, record.fields, strict=False))
    if len(record.fields) > len(columns):  # the last column keeps what would have none
        values[columns[-1]] = delimiter.join(record.fields[len(columns) - 1 :])
    if record.problem:
        return Row(number, values, record.problem)
    if record == BLANK:
        return Row(number, values, "the line is empty")
    if len(record.fields) != len(columns):
        return Row(number, values, f"{len(record.fields)} columns where the first row has {len(columns)}")
    return Row(number, values)


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


def _csv_records(path: Path, lossless: bool) -> Iterator[Record]:
    """The records of a CSV file; a blank line is a record without fields.

    A quotation mark that nothing closes would swallow the rows after it, up to the end of the file: only the
    row where it stands becomes a problem, and the lines after it are read again as rows of their own.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    with as_input_error(path), open_text(path, lossless, newline="") as file:
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
                first, *swallowed = (line.rstrip("\r\n") for line in lines.of_this_record)
                can_be_read_again = lines.give_back_all_but_first()
                yield Record([first], _csv_problem(error, len(swallowed), can_be_read_again))
                if lossless and not can_be_read_again:
                    yield from (Record([line], f"in a row above, {UNCLOSED_QUOTE}") for line in swallowed)
                reader = csv.reader(lines, strict=True)


def _csv_problem(error: csv.Error, swallowed: int, can_be_read_again: bool) -> str:
    if not can_be_read_again:
        return f"{UNCLOSED_QUOTE}; {swallowed:,} lines after it could not be read"
    if swallowed or "end of data" in str(error):
        return UNCLOSED_QUOTE
    return f"not valid CSV ({error})"


def _tsv_records(path: Path, lossless: bool) -> Iterator[Record]:
    """The records of a TSV file: a line each.

    Quotation marks are ordinary characters, because TSV files of reviews are seldom written by a CSV writer,
    and a review that begins with a quotation mark would swallow the tabs and lines after it. Only a field
    that is quoted in full and has a doubled quotation mark in it is taken for a CSV writer's. Where such a
    writer quoted a tab or a line break, the number of columns gives the row away.
    """
    for line in text_lines(path, lossless):
        yield Record([_without_csv_quotes(field) for field in line.split("\t")] if line else [])


def _without_csv_quotes(field: str) -> str:
    inner = field[1:-1]
    if field != f'"{inner}"' or '""' not in inner or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')


class _Records(list):
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
        lines = _Records()
        # It puts quotation marks around those line ends only that it writes itself.
        csv.writer(lines, delimiter=self.delimiter, lineterminator="\r\n").writerows(records)
        mark = "\ufeff" if is_first and self.byte_order_mark else ""
        return utf8(mark + "".join(line.removesuffix("\r\n") + "\n" for line in lines))
