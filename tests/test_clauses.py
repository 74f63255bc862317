"""The clauses of a text, and another order of them."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.analysis.robustness.clauses import ENDS, clauses, with_shuffled_clauses

# Mostly clauses and what divides them, since a random text has few of both.
TEXTS = st.text() | st.text(st.sampled_from("好坏a1 \u3000\n，。,！…"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("房间很大，很干净！下次再来。", ["房间很大", "很干净", "下次再来"]),
        ("  wifi 很慢 ,很吵\r\n差……", ["wifi 很慢", "很吵", "差"]),
        ("3.5分、不错", ["3.5分、不错"]),
        ("。！", []),
        ("", []),
    ],
)
def test_clauses_are_what_is_between_the_marks(text, expected):
    assert clauses(text) == expected


def test_the_marks_stay_where_they_are():
    assert with_shuffled_clauses("房间很大，很干净！", random.Random(0)) == "很干净，房间很大！"


def test_the_same_random_numbers_give_the_same_order():
    text = "一，二，三，四，五。"
    assert with_shuffled_clauses(text, random.Random("a")) == "三，一，五，四，二。"


@given(TEXTS, st.integers())
def test_any_text_keeps_its_clauses_and_all_between_them(text, seed):
    shuffled = with_shuffled_clauses(text, random.Random(seed))
    assert sorted(clauses(shuffled)) == sorted(clauses(text))
    assert len(shuffled) == len(text)
    marks = f"[{ENDS}]"
    assert re.findall(marks, shuffled) == re.findall(marks, text)


@given(TEXTS, st.integers())
def test_the_order_is_another_one_if_there_is_one(text, seed):
    shuffled = with_shuffled_clauses(text, random.Random(seed))
    assert (clauses(shuffled) != clauses(text)) == (len(set(clauses(text))) > 1)
    assert (shuffled != text) == (len(set(clauses(text))) > 1)


def test_a_run_of_spaces_takes_no_longer_than_its_length():
    """A search that began again at each space would take hours."""
    text = "很" + " " * 1_000_000 + "好"
    assert clauses(text) == [text]
