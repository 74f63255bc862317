"""Plain text files, with one row a line: reading and writing rows."""

from collections.abc import Sequence
from pathlib import Path

from text.tables.input import limits
from text.tables.input.text_file import scan
from text.tables.rows import Format, Row, Table, as_text, utf8


def open_lines(path: Path, lossless: bool) -> Table:
    """Return the table of a text file: one column "text", one row a line, numbered from 1 (see `open_table`)."""
    file = scan(path, lossless=lossless)
    numbered = enumerate(file.lines(), start=1)
    rows = (_row(number, line) for number, line in numbered if lossless or line.strip())
    return Table(str(path), ["text"], rows, file)


def _row(number: int, line: str) -> Row:
    if len(line) > limits.MAX_ROW_CHARACTERS:
        return Row(number, {}, limits.row_too_long())
    return Row(number, {"text": line})


class PlainTextFormat(Format):
    """Plain text without a header: one row a line, the columns separated by tabs, the text last."""

    def __init__(self, columns: Sequence[str], text_column: str) -> None:
        super().__init__(columns)
        self._order = [column for column in columns if column != text_column] + [text_column]

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        lines = ("\t".join(_one_line(row.get(column)) for column in self._order) + "\n" for row in rows)
        return utf8("".join(lines))


def _one_line(value: object) -> str:
    return " ".join(as_text(value).replace("\t", " ").splitlines())
