"""The reasons why a text is unusable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from text.tables.input import limits

if TYPE_CHECKING:
    from text.tables.rows import Row

EMPTY = "the text is empty"
NOT_A_STRING = "the text is not a string"
NOT_UNICODE = "the text is not valid Unicode"


def is_blank(value: object) -> bool:
    """Return whether a value is missing or a text of whitespace only."""
    return value is None or (isinstance(value, str) and not value.strip())


def text_problem(value: object) -> str | None:
    """Return why a model cannot read a value as a text, or None if it can."""
    if is_blank(value):
        return EMPTY
    if not isinstance(value, str):
        return NOT_A_STRING
    if len(value) > limits.MAX_ROW_CHARACTERS:
        return f"the text has more than {limits.MAX_ROW_CHARACTERS:,} characters"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON allows but no tokenizer accepts
        return NOT_UNICODE
    return None


def row_problem(row: Row, text_column: str) -> str | None:
    """Return why a row has no usable text in its text column, or None if it has one."""
    if row.problem:
        return row.problem
    if text_column not in row.values:  # each object of a JSONL file has fields of its own
        return f"the row has no column {text_column!r}"
    return text_problem(row.values[text_column])
