"""CSV and TSV files: reading and writing rows."""

from __future__ import annotations

import csv
import itertools
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from system.errors import InputError
from system.files import as_input_error
from text.tables.input import limits
from text.tables.input.text_file import TextFile, scan, without_line_end
from text.tables.rows import Format, Row, Table, as_text, unique_names, utf8

# How many lines may be read again after unclosed quotation marks, for each line of the file: far more than a damaged
# file needs, but a bound on the time that a hostile one can take.
MAX_LINES_READ_AGAIN = 4
# The same at the start of a TSV file; it is also the length of the longest record there.
MAX_LINES_OF_TSV_RECORD = 10_000
FORMULA = re.compile(r"(?![-+]?\d[\d.]*\Z)[=+\-@\t\r\n]")  # a number is none
UNCLOSED_QUOTE = "a quotation mark is never closed"


class Record(NamedTuple):
    """One record of a text file. A blank line has no fields; a damaged record has those that could be read."""

    fields: list[str]
    problem: str | None = None

    @property
    def is_blank(self) -> bool:
        """Whether this is a blank line."""
        return not self.fields and not self.problem


class RecordTooLong(csv.Error):
    """A record has more characters than a row may have."""


def open_csv(path: Path, lossless: bool) -> Table:
    """Return the table of a CSV file (see `open_table`)."""
    file = scan(path, lossless=lossless)
    return _delimited_table(file, _csv_records(file, lossless), ",", lossless)


def open_tsv(path: Path, lossless: bool) -> Table:
    """Return the table of a TSV file (see `open_table`)."""
    file = scan(path, lossless=lossless)
    return _delimited_table(file, _tsv_records(file), "\t", lossless)


def _delimited_table(file: TextFile, records: Iterator[Record], delimiter: str, lossless: bool) -> Table:
    numbered = enumerate(records, start=1)
    if not lossless:
        numbered = ((number, record) for number, record in numbered if not record.is_blank)
    number, header = next(((number, record) for number, record in numbered if not record.is_blank), (0, None))
    if header is None:
        raise InputError(f"{file.path} is empty; its first row must name the columns")
    if header.problem:
        raise InputError(f"{file.path}, row {number}: {header.problem}; this row must name the columns")
    limits.refuse_many_columns(file.path, len(header.fields))
    columns = unique_names(header.fields)
    rows = (_row(number, columns, record, delimiter) for number, record in numbered)
    return Table(str(file.path), columns, rows, file)


def _row(number: int, columns: list[str], record: Record, delimiter: str) -> Row:
    values = dict(zip(columns, record.fields, strict=False))
    if len(record.fields) > len(columns):  # the last column keeps the surplus fields
        values[columns[-1]] = delimiter.join(record.fields[len(columns) - 1 :])
    if record.problem:
        return Row(number, values, record.problem)
    if len(record.fields) == len(columns):
        return Row(number, values)
    if not record.fields:
        return Row(number, values, "the line is empty")
    return Row(number, values, f"the row has {_columns(len(record.fields))} but the header has {len(columns)}")


def _columns(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"


class _Lines:
    """The lines of a file. Those of a damaged record can be read again.

    Attributes:
        of_this_record: the lines that were read since `start_record`.
        may_be_read_again: how many lines may be read again now.
    """

    def __init__(self, file: Iterator[str], may_be_read_again: int = 0) -> None:
        self.of_this_record: list[str] = []
        self._characters = 0  # of this record
        self.may_be_read_again = may_be_read_again
        self._file = file
        self._given_back: deque[str] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._given_back:
            line = self._given_back.popleft()
        else:
            line = next(self._file)
            self.may_be_read_again += MAX_LINES_READ_AGAIN
        self.of_this_record.append(line)
        self._characters += len(line)
        return line

    def start_record(self) -> None:
        """Forget the lines of the record before."""
        self.of_this_record.clear()
        self._characters = 0

    def of_one_record(self) -> Iterator[str]:
        """Yield the lines for a CSV reader, and raise a RecordTooLong after too many characters."""
        for line in self:
            if self._characters > limits.MAX_ROW_CHARACTERS:
                raise RecordTooLong
            yield line

    def give_back_all_but_first(self) -> bool:
        """Let the lines of this record but the first be read again, as separate records. Return whether they may be."""
        rest = self.of_this_record[1:]
        if len(rest) > self.may_be_read_again:
            return False
        self.may_be_read_again -= len(rest)
        self._given_back.extendleft(reversed(rest))
        return True


def _csv_records(file: TextFile, lossless: bool) -> Iterator[Record]:
    """Yield the records of a CSV file. A blank line is a record without fields.

    An unclosed quotation mark would swallow all rows up to the end of the file. Only the row with the mark becomes a
    problem; the lines after it are read again as separate rows.
    """
    csv.field_size_limit(limits.MAX_ROW_CHARACTERS)
    with as_input_error(file.path), file.open(newline="") as opened:
        lines = _Lines(file.bounded(opened, "\r\n"))
        # Strict, because otherwise text after a closing quotation mark, or an unclosed one, goes unnoticed.
        reader = csv.reader(lines.of_one_record(), strict=True)
        while True:
            lines.start_record()
            try:
                yield Record(next(reader))
            except StopIteration:
                return
            except csv.Error as error:
                if isinstance(error, RecordTooLong) and len(lines.of_this_record) == 1:
                    yield Record([], limits.row_too_long())
                else:
                    yield from _damaged_records(error, lines, lossless)
                reader = csv.reader(lines.of_one_record(), strict=True)


def _damaged_records(error: csv.Error, lines: _Lines, lossless: bool) -> Iterator[Record]:
    """Yield a damaged record, and those of its lines that cannot be read again."""
    first, *swallowed = (line.rstrip("\r\n") for line in lines.of_this_record)
    can_be_read_again = lines.give_back_all_but_first()
    yield Record([first], _csv_problem(error, len(swallowed), can_be_read_again))
    if lossless and not can_be_read_again:
        yield from (Record([line], f"{UNCLOSED_QUOTE} in an earlier row") for line in swallowed)


def _csv_problem(error: csv.Error, swallowed: int, can_be_read_again: bool) -> str:
    if not can_be_read_again:
        return f"{UNCLOSED_QUOTE}; {swallowed:,} lines after it could not be read"
    if swallowed or "end of data" in str(error):
        return UNCLOSED_QUOTE
    return f"not valid CSV ({error})"


def _tsv_records(file: TextFile) -> Iterator[Record]:
    """Yield the records of a TSV file: one line each, unless only a CSV writer can have written the record.

    Quotation marks are ordinary characters, because few TSV files of reviews come from a CSV writer, and a review that
    begins with a quotation mark would swallow the tabs and lines after it. If a CSV writer quoted a tab or a line
    break, the number of columns of a line differs from that of the header. Only then, this function looks for a record
    that begins with the line and has the columns of the header. `DelimitedFormat` marks such records of its own (see
    `_quote_all`), so they are found even if a line has the right number of columns by chance.
    """
    csv.field_size_limit(limits.MAX_ROW_CHARACTERS)
    with as_input_error(file.path), file.open() as opened:
        lines = _Lines(file.bounded(opened), MAX_LINES_OF_TSV_RECORD)
        num_columns = None
        for line in lines:
            if len(line) > limits.MAX_ROW_CHARACTERS:
                lines.start_record()
                yield Record([], limits.row_too_long())
                continue
            line = without_line_end(line)
            fields = line.split("\t") if line else []
            if '"' in line and any(field.startswith('"') for field in fields):
                fields = _quoted_record(lines, fields, num_columns) or [_without_csv_quotes(each) for each in fields]
            num_columns = num_columns or len(fields) or None
            lines.start_record()
            yield Record(fields)


def _quoted_record(lines: _Lines, fields: list[str], num_columns: int | None) -> list[str] | None:
    """Return the fields of a CSV writer's record that begins with the current line, or None if there is none.

    Args:
        lines: the lines, the current one already read. Exactly the other lines of the record are read as well.
        fields: the fields of the current line, split at its tabs.
        num_columns: the number of fields of the header; None if the line is the header.
    """
    must_be_own = num_columns is None or len(fields) == num_columns
    if must_be_own and (num_columns == 1 or not fields[0].startswith('"')):
        return None
    try:
        record = next(csv.reader(_record_lines(lines), delimiter="\t", strict=True))
    except csv.Error:
        record = []
    if len(record) == num_columns and not must_be_own:
        return record
    raw = without_line_end("".join(lines.of_this_record))
    if len(record) == (num_columns or len(record)) and _is_broken(raw, len(record)) and raw == _quote_all(record):
        return record
    lines.give_back_all_but_first()
    return None


def _record_lines(lines: _Lines) -> Iterator[str]:
    """Yield the current line and those after it, up to the limits of lines to read again and of a row's length."""
    yield lines.of_this_record[0]
    yield from itertools.islice(lines.of_one_record(), lines.may_be_read_again)


def _without_csv_quotes(field: str) -> str:
    """Return a field without its outer quotation marks if only a CSV writer can have added them."""
    inner = field[1:-1]
    needs_quotes = '""' in inner or "\r" in inner
    if field != f'"{inner}"' or not needs_quotes or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')


def _is_broken(record: str, num_columns: int) -> bool:
    """Return whether a raw record of a TSV file has a tab or a line break in a field."""
    return record.count("\t") != num_columns - 1 or "\n" in record or "\r" in record


def _quote_all(fields: Sequence[str]) -> str:
    """Return a record of a TSV file with all fields in quotation marks.

    Records with a tab or a line break in a field are written like this. Other files hardly ever contain lines in this
    form, because they have no quotation marks around numbers.
    """
    return "\t".join('"' + field.replace('"', '""') + '"' for field in fields)


def _safe_cell(value: object) -> str:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else as_text(value)


class _Records:
    """A file object for `csv.writer` that collects records in a list."""

    def __init__(self) -> None:
        self.records: list[str] = []

    def write(self, record: str) -> None:
        self.records.append(record)


class DelimitedFormat(Format):
    """CSV or TSV with a header. Lists and dicts are written as JSON, missing values as empty cells.

    With `is_safe` an apostrophe precedes each text that a spreadsheet would compute (OWASP, "CSV injection").
    """

    def __init__(
        self, columns: Sequence[str], delimiter: str, byte_order_mark: bool = False, is_safe: bool = False
    ) -> None:
        super().__init__(columns)
        self.delimiter = delimiter
        self._cell = _safe_cell if is_safe else as_text
        self.byte_order_mark = byte_order_mark  # spreadsheets recognize UTF-8 by it

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        records = [[self._cell(column) for column in self.columns]] if is_first else []
        records += ([self._cell(row.get(column)) for column in self.columns] for row in rows)
        file = _Records()
        # The writer quotes a field with a "\r" or a "\n" only if its own line terminator contains that character.
        csv.writer(file, delimiter=self.delimiter, lineterminator="\r\n").writerows(records)
        lines = [line.removesuffix("\r\n") for line in file.records]
        if self.delimiter == "\t":
            broken = [index for index, line in enumerate(lines) if _is_broken(line, len(self.columns))]
            for index in broken:
                lines[index] = _quote_all(records[index])
        mark = "\ufeff" if is_first and self.byte_order_mark else ""
        return utf8(mark + "".join(line + "\n" for line in lines))
