"""The loss and the accuracy of the masked language model, with weights for the real targets."""

import numpy as np
import pytest
from layer_checks import as_array

from training.masked_lm import masked_accuracy, masked_lm_loss

GENERATOR = np.random.default_rng(2)
LOGITS = GENERATOR.normal(size=(4, 3, 7)).astype("float32")
TARGETS = GENERATOR.integers(0, 7, (4, 3))
WEIGHTS = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], "float32")


def loss(targets=TARGETS, logits=LOGITS, weights=WEIGHTS):
    return float(masked_lm_loss()(targets, logits, sample_weight=weights))


def test_the_loss_is_the_mean_over_the_real_targets():
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log_probabilities, TARGETS[..., None], -1)[..., 0]
    assert loss() == pytest.approx((losses * WEIGHTS).sum() / 6, rel=1e-5)


def test_targets_without_weight_change_nothing():
    without_weight = WEIGHTS == 0
    targets, logits = TARGETS.copy(), LOGITS.copy()
    targets[without_weight] = (targets[without_weight] + 3) % 7
    logits[without_weight] *= -5
    assert loss(targets, logits) == loss()
    more_rows = [np.concatenate([array, array[2:3]]) for array in (TARGETS, LOGITS, WEIGHTS)]
    assert loss(*more_rows) == pytest.approx(loss(), rel=1e-6)


def test_the_loss_without_any_target_is_zero():
    assert loss(weights=np.zeros((4, 3), "float32")) == 0


def test_the_accuracy_is_that_of_the_best_token():
    expected = (LOGITS.argmax(-1) == TARGETS).astype("float32")
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(as_array(masked_accuracy(TARGETS, LOGITS)), expected)
    np.testing.assert_array_equal(as_array(masked_accuracy(LOGITS.argmax(-1), LOGITS)), 1)
