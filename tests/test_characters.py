"""Wrong characters in a text: how many, which, and by what they are replaced."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.analysis.robustness.characters import (
    CHINESE,
    common_characters,
    homophones,
    replaced,
    with_homophones,
    with_look_alikes,
)
from evaluation.analysis.robustness.look_alikes import LOOK_ALIKES

REVIEW = "房间很干净，但是服务员的态度太差，前台让我们等了半个小时。"


def differences(text, other):
    return [(old, new) for old, new in zip(text, other, strict=True) if old != new]


class TestTables:
    def test_common_characters_are_those_of_gb_2312(self):
        assert len(set(common_characters())) == 3755
        assert common_characters().startswith("啊阿埃") and common_characters().endswith("座")

    @pytest.mark.parametrize("table", [homophones, lambda: LOOK_ALIKES], ids=["homophones", "look-alikes"])
    def test_a_character_is_replaced_by_other_common_characters(self, table):
        common = set(common_characters())
        for character, others in table().items():
            assert set(others + character) <= common
            assert others and character not in others and len(set(others)) == len(others)

    def test_look_alikes_look_like_each_other(self):
        """A character that may replace another one may be replaced by it."""
        assert all(character in LOOK_ALIKES[other] for character, others in LOOK_ALIKES.items() for other in others)
        assert len(LOOK_ALIKES) > 400

    def test_homophones_have_the_same_syllable(self):
        assert {"侍", "时", "事"} <= set(homophones()["是"])
        assert homophones()["的"] == "德得"
        assert "仿" in homophones()["房"] and "旁" not in homophones()["房"]


class TestReplaced:
    @pytest.mark.parametrize(
        ("replace", "expected"),
        [
            (with_homophones, "房间恨干净，但是服务员的态度太差，前台让我们等了半个小时。"),
            (with_look_alikes, "房间恨干净，但是服务员的态度太差，前台让我们等了半个小时。"),
        ],
    )
    def test_the_same_random_numbers_give_the_same_text(self, replace, expected):
        assert replace(REVIEW, random.Random("a")) == expected == replace(REVIEW, random.Random("a"))

    @pytest.mark.parametrize("replace", [with_homophones, with_look_alikes])
    @given(text=st.text(), seed=st.integers(), fraction=st.floats(0, 1))
    def test_any_text_keeps_its_length_and_all_but_that_many_characters(self, replace, text, seed, fraction):
        changed = differences(text, replace(text, random.Random(seed), fraction))
        # Rounded up at most.
        assert len(changed) < Fraction(fraction) * len(CHINESE.findall(text)) + 1
        assert all(CHINESE.match(old) and CHINESE.match(new) for old, new in changed)

    @given(seed=st.integers(), times=st.integers(1, 50), fraction=st.floats(0.02, 0.5))
    def test_the_fraction_is_about_as_asked(self, seed, times, fraction):
        text = times * REVIEW  # of whose characters all but the punctuation have a homophone
        changed = len(differences(text, with_homophones(text, random.Random(seed), fraction)))
        assert abs(changed - fraction * len(CHINESE.findall(text))) < 1

    def test_short_texts_change_as_often_as_long_ones(self):
        rng = random.Random(0)
        changed = sum(len(differences("房间很大", with_homophones("房间很大", rng))) for _ in range(2000))
        assert changed / 8000 == pytest.approx(0.05, abs=0.01)

    def test_characters_that_nothing_replaces_remain(self):
        assert replaced("房间abc，房", random.Random(0), {"房": "仿"}, fraction=1) == "仿间abc，仿"
