"""JSON Lines files, with one object a line: reading and writing rows."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from system.errors import InputError
from text.tables.input import limits
from text.tables.input.text_file import TextFile, scan, scan_lines
from text.tables.rows import Format, Row, Table, as_json, utf8

JSON_OBJECTS_SURVEYED = 100  # their fields are the columns, unless every line is read for them
MAX_JSON_DEPTH = 100  # Python reads deeper values than it can write


def open_jsonl(path: Path, lossless: bool) -> Table:
    """Return the table of a JSON Lines file. Its columns are the fields of its objects (see `open_table`)."""
    if lossless:
        # To write all rows, every field must be known before the first row, and any line may have a new one.
        file, fields = scan_lines(path, lambda: _Fields(path), lossless=True)
        rows = _json_rows(file, lossless)
    else:
        file, fields = scan(path), _Fields(path)
        rows = _json_rows(file, lossless)
        surveyed = list(itertools.islice(rows, JSON_OBJECTS_SURVEYED))
        for row in surveyed:
            fields.add_row(row)
        rows = itertools.chain(surveyed, rows)
    if not fields.names:
        problem = fields.first_problem or "no values"
        raise InputError(f"{path} has nothing to read ({problem}); each line must be a JSON object")
    return Table(str(path), list(fields.names), rows, file)


class _Fields:
    """A survey of the field names, in the order of their first appearance, and of the first problem of a row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names: dict[str, None] = {}
        self.first_problem: str | None = None
        self._num_lines = self._characters = 0

    def add(self, line: str) -> None:
        self._num_lines += 1
        self.add_row(_json_row(self._num_lines, line))

    def add_row(self, row: Row) -> None:
        if not row.values.keys() <= self.names.keys():
            self._characters += sum(len(name) for name in row.values if name not in self.names)
            self.names |= dict.fromkeys(row.values)
            if len(self.names) > limits.MAX_COLUMNS or self._characters > limits.MAX_ROW_CHARACTERS:
                raise InputError(
                    f"{self._path}, row {row.number:,}: the objects up to here have {len(self.names):,} different "
                    f"fields; at most {limits.MAX_COLUMNS:,} can be read; use the same fields in each object"
                )
        if row.problem and not self.first_problem:
            self.first_problem = f"row {row.number:,}: {row.problem}"


def _json_rows(file: TextFile, lossless: bool) -> Iterator[Row]:
    numbered = enumerate(file.lines(), start=1)
    return (_json_row(number, line) for number, line in numbered if lossless or line.strip())


def _json_row(number: int, line: str) -> Row:
    if not line or line.isspace():
        return Row(number, {}, "the line is empty")
    if len(line) > limits.MAX_ROW_CHARACTERS:
        return Row(number, {}, limits.row_too_long())
    repeated = None
    try:
        values = DECODER.decode(line)
    except RepeatedField as error:
        values, repeated = json.loads(line), f"the field {error.args[0]!r} occurs twice in an object"
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"not JSON ({error})")
    if not isinstance(values, dict):
        return Row(number, {}, "not a JSON object")
    if len(values) > limits.MAX_COLUMNS:
        return Row(number, {}, f"the object has more than {limits.MAX_COLUMNS:,} fields")
    may_be_deep = len(line) > 2 * MAX_JSON_DEPTH and line.count("[") + line.count("{") > MAX_JSON_DEPTH
    if may_be_deep and _is_deep(values):
        return Row(number, {}, f"JSON with more than {MAX_JSON_DEPTH} levels")
    return Row(number, values, repeated)


class RepeatedField(Exception):
    """A field occurs twice in an object, so that no one knows which value is meant. The argument is its name."""


def _object(fields: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(fields)
    if len(values) < len(fields):
        seen = set()
        raise RepeatedField(next(name for name, _ in fields if name in seen or seen.add(name)))
    return values


DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        containers = (inner.values() if isinstance(inner, dict) else inner for inner in level)
        level = [inner for container in containers for inner in container if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


class JsonLinesFormat(Format):
    """JSON Lines: one object a line, with the fields of the row."""

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        return utf8("".join(as_json(row) + "\n" for row in rows))
