"""New texts made of clauses of given ones."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.runs.distillation.mixtures import MAX_CHARACTERS, MIN_CHARACTERS, mixed_texts
from text.sources import read_labelled

TEXTS = ["房间很干净，前台也热情。", "隔音太差！一晚上没睡着；再也不来。", "还行。"]


def clauses_of(texts):
    return {clause.strip() for text in texts for clause in re.split(r"[，。！？；,.!?;\s]", text) if clause.strip()}


class TestMixtures:
    @given(
        texts=st.lists(st.text(max_size=60), min_size=1, max_size=5).filter(lambda texts: any(map(str.strip, texts))),
        count=st.integers(0, 30),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_there_are_as_many_as_requested(self, texts, count, seed):
        mixed = mixed_texts(texts, count, seed)
        assert len(mixed) == count
        assert all(text.strip() and len(text) <= MAX_CHARACTERS for text in mixed)
        assert mixed == mixed_texts(texts, count, seed)

    def test_they_consist_of_the_given_clauses(self):
        mixed = mixed_texts(TEXTS, 200, 0)
        assert clauses_of(mixed) == clauses_of(TEXTS)
        # Excerpts of one text from some clause on, and clauses of two in any order.
        assert {"前台也热情。", "一晚上没睡着；再也不来。", "再也不来。"} <= set(mixed[::2])
        assert all(any(text.endswith(excerpt) for text in TEXTS) for excerpt in mixed[::2])
        assert any("热情" in text and "隔音" in text for text in mixed[1::2])

    def test_real_reviews_give_different_texts(self):
        texts = read_labelled("sample").texts
        mixed = mixed_texts(texts, 1000, 1)
        assert len(set(mixed)) > 900
        assert mixed != mixed_texts(texts, 1000, 2)
        assert max(map(len, mixed[1::2])) > MIN_CHARACTERS

    def test_blank_texts_alone_are_refused(self):
        with pytest.raises(ValueError):
            mixed_texts([" ", ""], 1, 0)
