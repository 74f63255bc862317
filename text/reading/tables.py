"""The rows of one table file (CSV, TSV, JSONL, Parquet), numbered, each with its values or its problem."""

import csv
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from text.commands import InputError
from text.reading.files import Encoding, detect_encoding, line_end, lossless_encoding, reading
from text.reading.rows import Row, Table, told_apart

MAX_FIELD_CHARACTERS = 10 * 1024 * 1024
# Lines that may be read again, for each line of the file, after quotation marks that nothing closes: far more
# than a damaged file needs, and a bound on the time that a hostile one can take.
MAX_LINES_READ_AGAIN = 4
# JSON objects that are looked at for the names of the columns.
JSON_OBJECTS_SURVEYED = 100
# Python's JSON reader takes values in each other that its writer cannot write again.
MAX_JSON_DEPTH = 100
UNCLOSED_QUOTE = "a quotation mark opens here that nothing closes"


class Record(NamedTuple):
    """The fields of one record of a text file; where it has a problem, as much as can be told."""

    fields: list[str]
    problem: str | None = None


BLANK = Record([])


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


def open_lines(path: Path) -> Table:
    """The table of a text file, losslessly (see `open_table`): one column "text", a row a line, row 1 the first."""
    rows = (Row(number, {"text": line}) for number, line in enumerate(text_lines(path, lossless=True), start=1))
    return Table(str(path), ["text"], rows)


def text_lines(path: Path, lossless: bool = False) -> Iterator[str]:
    """The lines of a text file in whatever encoding it has, without their ends (`\\n` or `\\r\\n`)."""
    with reading(path), _open_text(path, lossless) as file:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")


def _open_text(path: Path, lossless: bool, newline: str | None = None) -> IO[str]:
    encoding = lossless_encoding(path) if lossless else Encoding(detect_encoding(path))
    if newline is None:
        newline = line_end(path, encoding) if lossless else "\n"
    return open(path, encoding=encoding.encoding, errors=encoding.errors, newline=newline)


def _open_csv(path: Path, lossless: bool) -> Table:
    return _delimited_table(path, _csv_records(path, lossless), ",", lossless)


def _open_tsv(path: Path, lossless: bool) -> Table:
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
    columns = told_apart(header.fields)
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
    with reading(path), _open_text(path, lossless, newline="") as file:
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


def _open_jsonl(path: Path, lossless: bool) -> Table:
    rows = _json_rows(path, lossless)
    # What is written from all rows must know every field, and any line may bring one of its own.
    surveyed = _json_rows(path, lossless) if lossless else list(itertools.islice(rows, JSON_OBJECTS_SURVEYED))
    columns, problem = {}, None
    for row in surveyed:
        columns |= dict.fromkeys(row.values)
        problem = problem or (row.problem and f"row {row.number:,}: {row.problem}")
    if not columns:
        raise InputError(f"{path} has nothing to read ({problem or 'no values'}): write one JSON object in each line")
    return Table(str(path), list(columns), rows if lossless else itertools.chain(surveyed, rows))


def _json_rows(path: Path, lossless: bool) -> Iterator[Row]:
    numbered = enumerate(text_lines(path, lossless), start=1)
    return (_json_row(number, line) for number, line in numbered if lossless or line.strip())


def _json_row(number: int, line: str) -> Row:
    if not line.strip():
        return Row(number, {}, "the line is empty")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"not JSON ({error})")
    if not isinstance(values, dict):
        return Row(number, {}, "not a JSON object")
    if line.count("[") + line.count("{") > MAX_JSON_DEPTH and _is_deep(values):
        return Row(number, {}, f"JSON of more than {MAX_JSON_DEPTH} levels")
    return Row(number, values)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        containers = (inner.values() if isinstance(inner, dict) else inner for inner in level)
        level = [inner for container in containers for inner in container if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


def _open_parquet(path: Path, lossless: bool) -> Table:
    from text.reading.parquet import open_parquet  # pyarrow takes long to load

    return open_parquet(path)[0]


_OPENERS: dict[str, Callable[[Path, bool], Table]] = {
    ".csv": _open_csv,
    ".tsv": _open_tsv,
    ".jsonl": _open_jsonl,
    ".ndjson": _open_jsonl,
    ".json": _open_jsonl,
    ".parquet": _open_parquet,
}
TABLE_SUFFIXES = tuple(_OPENERS)
