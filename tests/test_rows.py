"""What all tables have: column names, and texts that are none."""

import pytest

from text.problems import EMPTY, NOT_A_STRING, NOT_UNICODE, text_problem
from text.tables.rows import unique_names


class TestColumnNames:
    @pytest.mark.parametrize(
        ("given_names", "expected"),
        [
            (["a", "b"], ["a", "b"]),
            (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
            (["a", "a", "a (2)"], ["a", "a (3)", "a (2)"]),
            (["a (2)", "a", "a (2)", "a"], ["a (2)", "a", "a (2) (2)", "a (3)"]),
            ([""] * 20_000, ["", *(f" ({number})" for number in range(2, 20_001))]),
        ],
    )
    def test_are_told_apart(self, given_names, expected):
        assert unique_names(given_names) == expected


class TestTexts:
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
    def test_that_are_none(self, value, problem):
        assert text_problem(value) == problem
