"""Texts without links, names, punctuation and emoji."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.analysis.robustness.removal import is_mark, without_marks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("房间很干净。", "房间很干净"),
        ("“好”，3.5分……不错！！~", "好 3 5分 不错"),
        ("见http://t.cn/abc很好", "见 很好"),
        ("@小王 早餐 很好[微笑][赞]", "早餐 很好"),
        ("太棒了😂👍🏽❤️👨‍👩‍👧1️⃣", "太棒了 1"),
        ("email a.b@example.com", "email a b example com"),
        ("  很\n好 ", "很 好"),
        ("café क्षि", "café क्षि"),  # accents are no marks
        ("？！。。。", ""),
        ("", ""),
    ],
)
def test_what_remains(text, expected):
    assert without_marks(text) == expected


@given(st.text())
def test_any_text_is_left_without_marks(text):
    left = without_marks(text)
    assert not any(map(is_mark, left))
    assert left == without_marks(left) == left.strip()


@given(st.text(st.characters(categories=["L", "N"])))
def test_letters_and_digits_remain(text):
    assert without_marks(text) == text
