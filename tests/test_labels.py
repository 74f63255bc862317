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
    [(), ("正面",), ("好", "好"), ("好", ""), ("好", " "), ("好", 1), ("好", None), ("差", "中", "差"), (["好"], "差")],
)
def test_anything_but_different_names_is_refused(names):
    with pytest.raises(InputError, match="two or more labels with different names"):
        LabelSet(names)


@pytest.mark.parametrize("name", ["好\n", "a\tb", "\x1b[31m", "\udcff", "不确定"])
def test_a_name_that_cannot_be_printed_or_means_undecided_is_refused(name):
    with pytest.raises(InputError, match="a label cannot have the name"):
        LabelSet((name, "坏"))


def test_targets_are_one_column_of_float32():
    targets = SENTIMENT.targets(np.array([0, 1, 1], np.int8))
    assert (targets.shape, targets.dtype) == ((3, SENTIMENT.num_outputs), np.float32)
    assert SENTIMENT.of_targets(targets).tolist() == [0, 1, 1]


@pytest.mark.parametrize("labels", [SENTIMENT, LabelSet(("低", "中", "高")), LabelSet(("低", "中"), multi_label=True)])
def test_softened_probabilities_are_those_of_divided_logits(labels):
    logits = np.random.default_rng(0).normal(scale=3, size=(9, labels.num_outputs))
    softened = labels.softened(labels.probabilities(logits), 2.5)
    np.testing.assert_allclose(softened, labels.probabilities(logits / 2.5), rtol=1e-6)
    assert (labels.softened(np.eye(len(labels.names)), 2.5) > 0).all()


@given(logits=LOGITS)
def test_soft_targets_lead_to_the_more_probable_label(logits):
    targets = SENTIMENT.soft_targets(SENTIMENT.probabilities(logits))
    assert (targets.shape, targets.dtype) == (logits.shape, np.float32)
    assert SENTIMENT.of_targets(targets).tolist() == [int(target >= 0.5) for (target,) in targets]


class TestMoreThanTwoLabels:
    EMOTIONS = LabelSet(("生气", "高兴", "伤心"))
    ROWS = st.lists(st.tuples(*[st.floats(-700, 700)] * 3), max_size=9)

    @given(rows=ROWS)
    def test_probabilities_are_those_of_the_softmax(self, rows):
        logits = np.array(rows, np.float32).reshape(-1, 3)
        probabilities = self.EMOTIONS.probabilities(logits)
        assert (probabilities.shape, probabilities.dtype) == (logits.shape, np.float64)
        exponentials = np.exp(logits.astype(np.longdouble))
        expected = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities, expected.astype(np.float64), rtol=1e-9, atol=1e-300)

    @given(rows=ROWS, label=st.integers(0, 2))
    def test_log_odds_are_those_of_the_probability(self, rows, label):
        logits = np.array(rows, np.float64).reshape(-1, 3) / 100
        probability = self.EMOTIONS.probabilities(logits)[:, label]
        odds = np.log(probability / (1 - probability))
        np.testing.assert_allclose(self.EMOTIONS.log_odds(logits, label), odds, rtol=1e-6, atol=1e-6)

    def test_the_most_probable_label_is_chosen(self):
        probabilities = np.array([[0.2, 0.3, 0.5], [0.4, 0.35, 0.25]])
        assert self.EMOTIONS.decide(probabilities).tolist() == [2, 0]
        assert self.EMOTIONS.decide(probabilities, abstain=0.5).tolist() == [2, UNDECIDED]

    def test_there_is_an_output_for_each_label(self):
        assert (self.EMOTIONS.num_outputs, self.EMOTIONS.activation) == (3, "softmax")
        targets = self.EMOTIONS.targets(np.array([2, 0], np.int8))
        assert (targets.tolist(), targets.dtype) == ([[0, 0, 1], [1, 0, 0]], np.float32)
        assert self.EMOTIONS.of_targets(targets).tolist() == [2, 0]
        soft = self.EMOTIONS.soft_targets(np.array([[0.2, 0.3, 0.5]]))
        assert (soft.shape, soft.dtype) == ((1, 3), np.float32)

    def test_no_threshold_decides(self):
        assert self.EMOTIONS.default_threshold is None
        assert (SENTIMENT.default_threshold, LabelSet(("正常", "垃圾")).default_threshold) == (0.7, 0.5)


def test_the_log_odds_of_two_labels_are_their_logit():
    logits = np.array([[1.5], [-2.0]])
    assert SENTIMENT.log_odds(logits, 1).tolist() == [1.5, -2.0]
    assert SENTIMENT.log_odds(logits, 0).tolist() == [-1.5, 2.0]


def test_every_accepted_word_is_named():
    words = accepted_labels()
    assert words.startswith("1, true, positive, pos, 正面, ") and " or 0, false, negative, " in words
    assert all(word in words for word in LABEL_WORDS)


class TestNameOfADecision:
    @pytest.mark.parametrize(
        ("multi_label", "decision", "names", "name"),
        [
            (False, 1, ("中",), "中"),
            (False, UNDECIDED, (), "不确定"),
            (True, (1, 0, 1), ("差", "好"), "差|好"),
            (True, np.array([0, 1, 0]), ("中",), "中"),
            (True, (0, 0, 0), (), ""),
            (True, [UNDECIDED] * 3, (), "不确定"),
        ],
    )
    def test_of_one_or_several_labels(self, multi_label, decision, names, name):
        labels = LabelSet(("差", "中", "好"), multi_label)
        assert (labels.names_of(decision), labels.name(decision)) == (names, name)
