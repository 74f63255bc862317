"""The reasons why a text is unusable."""

import pytest

from text.tables.problems import EMPTY, NOT_A_STRING, NOT_UNICODE, is_blank, row_problem, text_problem
from text.tables.rows import Row


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("好", None),
        (" a ", None),
        ("\0", None),
        (None, EMPTY),
        ("", EMPTY),
        ("\u3000\n", EMPTY),
        (5, NOT_A_STRING),
        (float("nan"), NOT_A_STRING),
        (["好"], NOT_A_STRING),
        (b"ok", NOT_A_STRING),
        ("\ud83d", NOT_UNICODE),
        ("\ud83d\ude00", NOT_UNICODE),
    ],
)
def test_a_value_is_a_text_or_has_a_problem(value, problem):
    assert text_problem(value) == problem


@pytest.mark.parametrize(("value", "expected"), [(None, True), ("", True), (" \n", True), ("好", False), (0, False)])
def test_a_missing_value_and_whitespace_are_blank(value, expected):
    assert is_blank(value) is expected


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (Row(2, {"text": "好"}), None),
        (Row(2, {"text": None}), EMPTY),
        (Row(2, {"label": 1}), "the row has no column 'text'"),
        (Row(2, {"label": 1}, "the line is empty"), "the line is empty"),
    ],
)
def test_a_row_has_a_text_or_a_problem(row, problem):
    assert row_problem(row, "text") == problem
