"""Tests of evaluation/analysis/intervals.py: metrics of resamples, and the intervals made of them."""

import numpy as np
import pytest

from evaluation.analysis.intervals import bootstrap_scores, fraction_interval, indicators, interval
from evaluation.metrics import classification_metrics
from text.labels import SENTIMENT, LabelSet

TOPICS = LabelSet(("a", "b", "c"))
ASPECTS = LabelSet(("a", "b", "c"), multi_label=True)


def random_labels(label_set, count, seed):
    rng = np.random.default_rng(seed)
    if label_set.multi_label:
        return rng.integers(0, 2, (count, 3))
    return rng.integers(0, len(label_set.names), count)


def one_hot(label_set, decisions):
    return indicators(label_set, decisions).astype(float)


@pytest.mark.parametrize("label_set", [SENTIMENT, TOPICS, ASPECTS], ids=["two", "more", "several"])
def test_the_first_row_has_the_metrics_of_the_texts(label_set):
    labels, decisions = (random_labels(label_set, 50, seed) for seed in (0, 1))
    scores = bootstrap_scores(label_set, labels, {"model": decisions})["model"]
    expected = classification_metrics(label_set, labels, one_hot(label_set, decisions))
    assert scores.accuracy[0] == pytest.approx(expected["accuracy"])
    assert scores.macro_f1[0] == pytest.approx(expected["macro_f1"])
    for name in ("precision", "recall", "f1"):
        np.testing.assert_allclose(getattr(scores, name)[0], list(expected[name].values()))
    if label_set.multi_label:
        assert scores.micro_f1[0] == pytest.approx(expected["micro_f1"])


def test_the_interval_of_an_accuracy_is_about_that_of_the_normal_distribution():
    labels = np.zeros(1000, np.int64)
    decisions = (np.arange(1000) < 200).astype(np.int64)
    value, low, high = interval(bootstrap_scores(SENTIMENT, labels, {"model": decisions})["model"].accuracy)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert (value, low, high) == pytest.approx((0.8, 0.8 - half, 0.8 + half), abs=0.004)


def test_texts_drawn_one_by_one_give_the_same_intervals():
    """Where nearly every text is of a kind of its own, texts are drawn, else the numbers of texts of each kind."""
    rng = np.random.default_rng(0)
    wide = LabelSet(tuple(map(str, range(20))), multi_label=True)
    labels = rng.integers(0, 2, (400, 20))
    decisions = np.where(rng.random((400, 20)) < 0.9, labels, 1 - labels)
    by_text = bootstrap_scores(wide, labels, {"model": decisions})["model"]
    first = LabelSet(("0", "1"), multi_label=True)
    by_kind = bootstrap_scores(first, labels[:, :2], {"model": decisions[:, :2]})["model"]
    for label in range(2):
        assert interval(by_text.f1[:, label]) == pytest.approx(interval(by_kind.f1[:, label]), abs=0.01)


def test_models_are_compared_on_the_same_resamples():
    labels = random_labels(TOPICS, 100, 0)
    decisions = random_labels(TOPICS, 100, 1)
    scores = bootstrap_scores(TOPICS, labels, {"model": decisions, "same": decisions.copy()})
    assert interval(scores["model"].accuracy - scores["same"].accuracy) == (0, 0, 0)


def test_a_label_without_texts_scores_zero_and_does_not_lower_the_mean():
    labels = np.array([0, 0, 1, 1])
    scores = bootstrap_scores(TOPICS, labels, {"model": labels})["model"]
    assert scores.f1[0].tolist() == [1, 1, 0]
    assert (scores.macro_f1 == 1).all()


def test_a_fraction_of_few_texts_is_uncertain():
    assert fraction_interval(5, 5) == pytest.approx((1.0, 0.566, 1.0), abs=0.001)
    assert fraction_interval(81, 263) == pytest.approx((0.308, 0.255, 0.366), abs=0.001)  # Newcombe (1998), table I
    assert np.isnan(fraction_interval(0, 0)).all()
