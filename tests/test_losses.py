"""The loss and the accuracy of a classifier, from logits."""

import numpy as np
import pytest
from layer_checks import as_array

from text.labels import SENTIMENT, LabelSet
from training.losses import accuracy, binary_accuracy, classification_accuracy, classification_loss, exact_match

TARGETS = np.array([[1], [0], [0.8], [0.1]], "float32")
LOGITS = np.array([[2.2], [1.4], [0.0], [0.4]], "float32")


def test_the_loss_is_the_cross_entropy_with_the_probabilities():
    probabilities = 1 / (1 + np.exp(-LOGITS))
    expected = -TARGETS * np.log(probabilities) - (1 - TARGETS) * np.log(1 - probabilities)
    assert float(classification_loss(SENTIMENT)(TARGETS, LOGITS)) == pytest.approx(expected.mean(), rel=1e-5)


class TestThreeLabels:
    LABELS = LabelSet(("生气", "高兴", "伤心"))
    TARGETS = np.array([[1, 0, 0], [0, 0, 1], [0.2, 0.5, 0.3]], "float32")
    LOGITS = np.array([[2.0, 1.0, -1.0], [0.5, 3.0, 1.0], [0.0, 1.5, 1.0]], "float32")

    def test_the_loss_is_the_cross_entropy_with_the_probabilities(self):
        expected = -(self.TARGETS * np.log(self.LABELS.probabilities(self.LOGITS))).sum(axis=1)
        loss = classification_loss(self.LABELS)(self.TARGETS, self.LOGITS)
        assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)

    def test_the_accuracy_is_that_of_the_highest_logit(self):
        assert as_array(accuracy(self.TARGETS, self.LOGITS)).tolist() == [1, 0, 1]
        assert classification_accuracy(self.LABELS) is accuracy


class TestSeveralLabels:
    LABELS = LabelSet(("动力", "油耗", "内饰"), multi_label=True)
    TARGETS = np.array([[1, 0, 1], [0, 0, 0], [0.2, 0.5, 0.3]], "float32")
    LOGITS = np.array([[2.0, 1.0, 0.0], [-0.5, -3.0, -1.0], [-0.1, 1.5, -1.0]], "float32")

    def test_the_loss_is_the_mean_cross_entropy_of_all_labels(self):
        probabilities = self.LABELS.probabilities(self.LOGITS)
        expected = -self.TARGETS * np.log(probabilities) - (1 - self.TARGETS) * np.log(1 - probabilities)
        loss = classification_loss(self.LABELS)(self.TARGETS, self.LOGITS)
        assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)

    def test_a_text_is_right_if_all_its_labels_are(self):
        assert as_array(exact_match(self.TARGETS, self.LOGITS)).tolist() == [0, 1, 1]
        metric = classification_accuracy(self.LABELS)
        assert metric.name == "accuracy"
        assert float(metric(self.TARGETS, self.LOGITS)) == pytest.approx(2 / 3)


def test_a_target_and_a_logit_of_the_same_label_are_correct():
    assert as_array(binary_accuracy(TARGETS, LOGITS)).tolist() == [1, 0, 1, 0]
