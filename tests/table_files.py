"""What the tests of table files share: awkward texts, and ways to write and read files."""

import csv
import io
from pathlib import Path

from serving.scoring.local_engine import PREDICTION_TYPES
from text.tables.kinds import open_format, open_table

AWKWARD = [
    "",
    " ",
    'he said "no"',
    '"',
    "a\tb",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "a,b",
    "😀",
    "\0",
    "\\",
    "'",
    "\u2028",
    "\ufeff",
]


def write(path, content, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return str(path)


def csv_of(rows, **options):
    buffer = io.StringIO()
    csv.writer(buffer, **options).writerows(rows)
    return buffer.getvalue()


def labelled_rows(texts):
    return [(text, index % 2) for index, text in enumerate(texts)]


def rows_of(path, **options):
    """Return the columns and all rows of a file, read without losses."""
    table = open_table(Path(path), lossless=True, **options)
    return table.columns, list(table.rows)


def written(kind, rows, columns=("text",), **options):
    """Return the content of a file of two parts."""
    writer = open_format(kind, columns, PREDICTION_TYPES, "text", **options)
    return writer.encode(rows[:1], True) + writer.encode(rows[1:], False)
