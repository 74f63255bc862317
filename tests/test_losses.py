"""The loss and the accuracy of a classifier, from logits."""

import numpy as np
import pytest
from layer_checks import as_array

from text.labels import SENTIMENT, LabelSet
from training.objectives.losses import (
    accuracy,
    binary_accuracy,
    classification_accuracy,
    classification_loss,
    exact_match,
)

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


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def softmax(logits):
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


class TestFocalLoss:
    """The cross-entropy, each part of it multiplied by a power of 1 minus the probability of the target."""

    @pytest.mark.parametrize("gamma", [1.0, 2.5])
    def test_of_two_labels(self, gamma):
        p = sigmoid(LOGITS)
        of_target = TARGETS * p + (1 - TARGETS) * (1 - p)
        cross_entropy = -TARGETS * np.log(p) - (1 - TARGETS) * np.log(1 - p)
        loss = classification_loss(SENTIMENT, focal_gamma=gamma)(TARGETS, LOGITS)
        assert float(loss) == pytest.approx(((1 - of_target) ** gamma * cross_entropy).mean(), rel=1e-5)

    @pytest.mark.parametrize("gamma", [1.0, 2.5])
    def test_of_three_labels(self, gamma):
        labels, targets, logits = TestThreeLabels.LABELS, TestThreeLabels.TARGETS, TestThreeLabels.LOGITS
        p = softmax(logits)
        expected = -((1 - p) ** gamma * targets * np.log(p)).sum(axis=1).mean()
        loss = classification_loss(labels, focal_gamma=gamma)(targets, logits)
        assert float(loss) == pytest.approx(expected, rel=1e-5)


class TestLabelSmoothing:
    @pytest.mark.parametrize("gamma", [None, 2.0])
    def test_of_two_labels_goes_to_both(self, gamma):
        smoothed = classification_loss(SENTIMENT, focal_gamma=gamma, label_smoothing=0.2)(TARGETS, LOGITS)
        expected = classification_loss(SENTIMENT, focal_gamma=gamma)(0.8 * TARGETS + 0.1, LOGITS)
        assert float(smoothed) == pytest.approx(float(expected), rel=1e-6)

    @pytest.mark.parametrize("gamma", [None, 2.0])
    def test_of_three_labels_goes_to_all(self, gamma):
        labels, targets, logits = TestThreeLabels.LABELS, TestThreeLabels.TARGETS, TestThreeLabels.LOGITS
        smoothed = classification_loss(labels, focal_gamma=gamma, label_smoothing=0.3)(targets, logits)
        expected = classification_loss(labels, focal_gamma=gamma)(0.7 * targets + 0.1, logits)
        assert float(smoothed) == pytest.approx(float(expected), rel=1e-6)

    def test_of_several_labels_a_text_goes_to_yes_and_no(self):
        labels = LabelSet(("位置", "服务", "早餐"), multi_label=True)
        targets, logits = np.array([[1, 0, 1], [0, 0, 0]], "float32"), TestThreeLabels.LOGITS[:2]
        p, smoothed = sigmoid(logits), 0.8 * targets + 0.1
        expected = (-smoothed * np.log(p) - (1 - smoothed) * np.log(1 - p)).mean()
        assert float(classification_loss(labels, label_smoothing=0.2)(targets, logits)) == pytest.approx(expected)


@pytest.mark.parametrize("labels", [SENTIMENT, TestThreeLabels.LABELS], ids=["two", "three"])
@pytest.mark.parametrize("gamma", [None, 2.0])
def test_a_weight_multiplies_the_loss_of_a_text(labels, gamma):
    targets, logits = (TARGETS, LOGITS) if labels is SENTIMENT else (TestThreeLabels.TARGETS, TestThreeLabels.LOGITS)
    loss, weights = classification_loss(labels, focal_gamma=gamma), np.arange(1, len(targets) + 1, dtype="float32")
    alone = [float(loss(targets[row : row + 1], logits[row : row + 1])) for row in range(len(targets))]
    assert float(loss(targets, logits, weights)) == pytest.approx((weights * alone).mean(), rel=1e-5)
