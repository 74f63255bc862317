"""New texts out of the clauses of given ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.teachers import FEWEST_CHARACTERS, MOST_CHARACTERS, mixed_texts
from text.sources import read_labelled

TEXTS = ["房间很干净，前台也热情。", "隔音太差！一晚上没睡着；再也不来。", "还行。"]


def clauses_of(texts):
    import re

    return {part.strip() for text in texts for part in re.split(r"[，。！？；,.!?;\s]", text) if part.strip()}


@given(
    texts=st.lists(st.text(max_size=60), min_size=1, max_size=5).filter(lambda texts: any(map(str.strip, texts))),
    count=st.integers(0, 30),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_as_many_as_are_asked_for(texts, count, seed):
    mixed = mixed_texts(texts, count, seed)
    assert len(mixed) == count
    assert all(text.strip() and len(text) <= MOST_CHARACTERS for text in mixed)
    assert mixed == mixed_texts(texts, count, seed)


def test_they_are_made_of_the_clauses_alone():
    mixed = mixed_texts(TEXTS, 200, 0)
    assert clauses_of(mixed) == clauses_of(TEXTS)
    # Pieces of one text from some clause on, and clauses of two in any order.
    assert {"前台也热情。", "一晚上没睡着；再也不来。", "再也不来。"} <= set(mixed[::2])
    assert all(any(text.endswith(piece) for text in TEXTS) for piece in mixed[::2])
    assert any("热情" in text and "隔音" in text for text in mixed[1::2])


def test_real_reviews_give_different_texts():
    texts = read_labelled("sample").texts
    mixed = mixed_texts(texts, 1000, 1)
    assert len(set(mixed)) > 900
    assert mixed != mixed_texts(texts, 1000, 2)
    lengths = [len(text) for text in mixed[1::2]]
    assert max(lengths) > FEWEST_CHARACTERS


def test_blank_texts_alone_are_refused():
    with pytest.raises(ValueError):
        mixed_texts([" ", ""], 1, 0)
