"""Labels: from logits to probabilities to decisions, and the words for labels in data sets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.errors import InputError
from text.labels import LABEL_WORDS, SENTIMENT, UNDECIDED, LabelSet, accepted_labels

LOGITS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20).map(lambda values: np.array(values)[:, None])


@given(logits=LOGITS)
def test_probabilities_are_those_of_the_sigmoid(logits):
    probabilities = SENTIMENT.probabilities(logits)
    assert probabilities.shape == (len(logits), 2)
    assert probabilities.dtype == np.float64
    for (negative, positive), (logit,) in zip(probabilities, logits, strict=True):
        assert positive == pytest.approx(1 / (1 + math.exp(-logit)) if logit > -700 else 0, rel=1e-9)
        assert negative == pytest.approx(1 / (1 + math.exp(logit)) if logit < 700 else 0, rel=1e-9)


@given(logits=LOGITS)
def test_the_probability_of_each_label_is_computed_from_its_own_logit(logits):
    """If the positive label is certain, the negative one still has its own small probability."""
    np.testing.assert_array_equal(SENTIMENT.probabilities(logits)[:, ::-1], SENTIMENT.probabilities(-logits))


@given(positive=st.floats(0, 1), threshold=st.floats(0, 1))
def test_a_text_is_positive_from_the_threshold_on(positive, threshold):
    assert SENTIMENT.decide(np.array([[1 - positive, positive]]), threshold).tolist() == [int(positive >= threshold)]


@given(positive=st.floats(0, 1), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_between_two_probabilities_a_text_is_left_undecided(positive, ends):
    low, high = ends
    (decision,) = SENTIMENT.decide(np.array([[1 - positive, positive]]), 0.7, (low, high)).tolist()
    assert decision == (UNDECIDED if low < positive < high else int(positive >= 0.7))


def test_every_decision_has_a_name():
    assert [SENTIMENT.name(decision) for decision in (0, 1, UNDECIDED)] == ["负面", "正面", "不确定"]
    assert SENTIMENT.english_names == ("negative", "positive")
    assert LabelSet(("差", "好")).english_names == ("差", "好")


@pytest.mark.parametrize(
    "names",
    [(), ("正面",), ("好", "好"), ("好", ""), ("好", " "), ("好", 1), ("好", None), ("差", "中", "好"), (["好"], "差")],
)
def test_anything_but_two_different_names_is_refused(names):
    with pytest.raises(InputError, match="two labels with different names"):
        LabelSet(names)


def test_targets_are_one_column_of_float32():
    targets = SENTIMENT.targets(np.array([0, 1, 1], np.int8))
    assert (targets.shape, targets.dtype) == ((3, SENTIMENT.num_outputs), np.float32)
    assert SENTIMENT.of_targets(targets).tolist() == [0, 1, 1]


@given(logits=LOGITS)
def test_soft_targets_lead_to_the_more_probable_label(logits):
    targets = SENTIMENT.soft_targets(SENTIMENT.probabilities(logits))
    assert (targets.shape, targets.dtype) == (logits.shape, np.float32)
    assert SENTIMENT.of_targets(targets).tolist() == [int(target >= 0.5) for (target,) in targets]


def test_every_accepted_word_is_named():
    words = accepted_labels()
    assert words.startswith("1, true, positive, pos, 正面, ") and " or 0, false, negative, " in words
    assert all(word in words for word in LABEL_WORDS)
