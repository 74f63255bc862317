"""The perturbations of a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.analysis.robustness.perturbations import PERTURBATIONS, perturbed

REVIEW = "房间很干净，但是服务态度太差了！前台让我等了半个小时，后来才换房。@小王"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "without punctuation, emoji, links, @names",
            "房间很干净 但是服务态度太差了 前台让我等了半个小时 后来才换房",
        ),
        ("in Traditional characters", "房間很乾淨，但是服務態度太差了！前臺讓我等了半個小時，後來才換房。@小王"),
        ("5% homophones", "房间很赶净，但是服务态度太差了！前台让我等了半个小时，后来才换房。@小王"),
        ("5% look-alikes", "房间很于净，但是服务态度大差了！前台让我等了半个小时，后来才换房。@小王"),
        ("clauses in another order", "但是服务态度太差了，房间很干净！前台让我等了半个小时，@小王。后来才换房"),
    ],
)
def test_of_a_review(name, expected):
    assert perturbed([REVIEW], name, seed=1) == [expected]


@pytest.mark.parametrize("name", PERTURBATIONS)
class TestAnyPerturbation:
    @given(st.lists(st.text(st.characters(categories=None))), st.integers(0))
    def test_no_text_fails_and_each_depends_on_the_seed_and_its_place_alone(self, name, texts, seed):
        """Half of a surrogate pair, which is no text, is among the characters."""
        result = perturbed(texts, name, seed)
        assert result == perturbed(texts, name, seed)
        assert [perturbed(texts[:end], name, seed)[-1] for end in range(1, len(texts) + 1)] == result

    def test_a_text_that_no_model_can_read_remains(self, name):
        assert perturbed(["房间\ud800，很好", " "], name, seed=0) == ["房间\ud800，很好", " "]

    def test_equal_texts_at_different_places_have_different_random_numbers(self, name):
        is_random = name.startswith(("5%", "clauses"))
        assert (len(set(perturbed(20 * [REVIEW], name, seed=0))) > 1) == is_random
