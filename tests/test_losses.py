"""The loss and the accuracy of a classifier, from logits."""

import numpy as np
import pytest
from layer_checks import as_array

from text.labels import SENTIMENT
from training.losses import binary_accuracy, classification_loss

TARGETS = np.array([[1], [0], [0.8], [0.1]], "float32")
LOGITS = np.array([[2.2], [1.4], [0.0], [0.4]], "float32")


def test_the_loss_is_the_cross_entropy_with_the_probabilities():
    probabilities = 1 / (1 + np.exp(-LOGITS))
    expected = -TARGETS * np.log(probabilities) - (1 - TARGETS) * np.log(1 - probabilities)
    assert float(classification_loss(SENTIMENT)(TARGETS, LOGITS)) == pytest.approx(expected.mean(), rel=1e-5)


def test_a_target_and_a_logit_of_the_same_label_are_correct():
    assert as_array(binary_accuracy(TARGETS, LOGITS)).tolist() == [1, 0, 1, 0]
