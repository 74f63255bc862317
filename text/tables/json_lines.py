"""JSON Lines: one object a line, in and out."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from system.errors import InputError
from text.tables.plain_text import text_lines
from text.tables.rows import Format, Row, Table, as_json, utf8

# JSON objects that are looked at for the names of the columns.
JSON_OBJECTS_SURVEYED = 100
# Python's JSON reader takes values in each other that its writer cannot write again.
MAX_JSON_DEPTH = 100


def open_jsonl(path: Path, lossless: bool) -> Table:
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


class JsonLinesFormat(Format):
    """One JSON object a line, with the fields that the row has."""

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        return utf8("".join(as_json(row) + "\n" for row in rows))
