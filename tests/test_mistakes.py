"""Tests of evaluation/analysis/mistakes.py: the most confident mistakes."""

import numpy as np
import pytest

from evaluation.analysis.mistakes import confident_mistakes
from text.labels import SENTIMENT, LabelSet


def test_the_surest_mistake_comes_first():
    probabilities = np.array([[0.1, 0.9], [0.4, 0.6], [0.97, 0.03], [0.2, 0.8]])
    labels = np.array([0, 0, 1, 1])
    decisions = SENTIMENT.decide(probabilities)
    found = confident_mistakes(SENTIMENT, labels, probabilities, decisions)
    assert [(each.row, each.label) for each in found] == [(2, 0), (0, 1), (1, 1)]
    assert [each.confidence for each in found] == pytest.approx([0.97, 0.9, 0.6])
    assert len(confident_mistakes(SENTIMENT, labels, probabilities, decisions, count=1)) == 1


def test_a_label_that_is_missed_is_a_mistake_too():
    label_set = LabelSet(("a", "b"), multi_label=True)
    labels, probabilities = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.02, 0.6], [0.9, 0.7], [0.8, 0.9]])
    found = confident_mistakes(label_set, labels, probabilities, label_set.decide(probabilities))
    assert [(each.row, each.label) for each in found] == [(0, 0), (1, 0)]
    assert [each.confidence for each in found] == pytest.approx([0.98, 0.9])


def test_no_mistake():
    probabilities = np.array([[0.1, 0.9], [0.6, 0.4]])
    assert confident_mistakes(SENTIMENT, np.array([1, 0]), probabilities, np.array([1, 0])) == []
