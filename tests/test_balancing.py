"""The weights of texts: those of their sets, and those that correct how often each label occurs."""

from dataclasses import replace

import numpy as np
import pytest

import fine_tuning
from text.dataset.splits import Split
from text.labels import SENTIMENT, LabelSet
from training.objectives.balancing import balance, text_weights

TOPICS = LabelSet(("体育", "财经", "教育"))


def test_balanced_labels_have_the_same_influence():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weights = text_weights(TOPICS, TOPICS.targets(labels), "balanced")
    # 10 texts, 3 labels: n / (3 * count), as scikit-learn's "balanced".
    np.testing.assert_allclose(weights, np.repeat([10 / 18, 10 / 9, 10 / 3], [6, 3, 1]), rtol=1e-6)
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1)
    assert [weights[labels == label].sum() for label in range(3)] == pytest.approx([10 / 3] * 3)


def test_two_labels():
    weights = text_weights(SENTIMENT, SENTIMENT.targets([1, 1, 1, 0]), "balanced")
    assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_the_effective_number_of_texts():
    numbers = np.array([5000, 2000, 50])
    labels = np.repeat([0, 1, 2], numbers)
    weights = text_weights(TOPICS, TOPICS.targets(labels), "effective")
    of_label = np.array([weights[labels == label][0] for label in range(3)], np.float64)
    effective = np.array([(1 - 0.999**number) / 0.001 for number in numbers.tolist()])
    np.testing.assert_allclose(of_label * effective / (of_label * effective)[0], 1, rtol=1e-5)
    assert weights.mean() == pytest.approx(1)
    # Frequent labels weigh nearly the same, a rare one nearly as much as if balanced.
    assert of_label[1] / of_label[0] == pytest.approx(1.15, abs=0.01)
    assert of_label[2] / of_label[0] == pytest.approx(20.4, abs=0.1)


def test_a_teachers_probabilities_count_as_parts_of_texts():
    targets = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0, 0.5], [0.5, 0, 0.5]], np.float32)
    weights = text_weights(TOPICS, targets, "balanced")
    of_label = 1 / np.array([2, 1, 1])  # two texts of the first label, one of each other
    expected = targets @ of_label
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["balanced", "effective"])
def test_a_label_that_hardly_occurs_has_a_finite_weight(kind):
    targets = np.array([[1, 0, 0], [0.999, 0.001, 0]], np.float32)
    weights = text_weights(TOPICS, targets, kind)
    assert np.isfinite(weights).all() and weights.max() < 1.1


class TestBalance:
    LABELS = np.array([0, 0, 0, 1, 2, 2])
    OF_SETS = np.array([1, 1, 0.5, 0.5, 3, 3], np.float32)

    def splits(self, text_weights):
        """Return the texts as two splits, of which the second has no weights, like texts that teachers label."""
        targets = TOPICS.targets(self.LABELS)
        weighted = Split([""] * 6, targets, None, label_set=TOPICS, text_weights=text_weights)
        return [weighted, Split([""] * 2, targets[:2], None, label_set=TOPICS)]

    def balance(self, text_weights, **changes):
        return balance(TOPICS, self.splits(text_weights), replace(fine_tuning.PLAN, **changes))

    def test_without_a_choice_all_texts_are_alike(self):
        assert self.balance(None) == (None, None)

    def test_the_weights_are_those_of_the_sets(self):
        weights, frequencies = self.balance(self.OF_SETS)
        assert frequencies is None
        expected = np.append(self.OF_SETS, [1, 1])
        np.testing.assert_allclose(weights, expected / expected.mean(), rtol=1e-6)
        assert weights.dtype == np.float32

    def test_they_multiply_those_of_the_labels(self):
        weights, _ = self.balance(self.OF_SETS, class_weights="balanced")
        of_labels, _ = self.balance(None, class_weights="balanced")
        expected = of_labels * np.append(self.OF_SETS, [1, 1])
        np.testing.assert_allclose(weights, expected / expected.mean(), rtol=1e-6)

    def test_labels_are_counted_in_texts(self):
        _, frequencies = self.balance(self.OF_SETS, balanced_sampling=True)
        _, expected = self.balance(None, balanced_sampling=True)
        assert frequencies.tolist() == expected.tolist()
