"""What tests of table files share: awkward texts, and functions that write and read files."""

import csv
import io
from pathlib import Path

from text.tables.kinds import open_format, open_table

# The columns that a writer adds, with their types in Parquet.
ADDED_TYPES = {"label": "string", "probability": "double", "confidence": "double", "problem": "string"}
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
    """Write a text file and return its path as a string."""
    path.write_bytes(content.encode(encoding))
    return str(path)


def csv_of(rows, **options):
    """Return rows as the standard library's CSV writer writes them."""
    buffer = io.StringIO()
    csv.writer(buffer, **options).writerows(rows)
    return buffer.getvalue()


def labelled_rows(texts):
    """Return a row for each text, with the labels 0 and 1 in turn."""
    return [(text, index % 2) for index, text in enumerate(texts)]


def rows_of(path, **options):
    """Return the columns and all rows of a file, read losslessly."""
    table = open_table(Path(path), lossless=True, **options)
    return table.columns, list(table.rows)


def written(kind, rows, columns=("text",), **options):
    """Return the content of a file that is written in two parts."""
    writer = open_format(kind, columns, ADDED_TYPES, "text", **options)
    return writer.encode(rows[:1], True) + writer.encode(rows[1:], False)
