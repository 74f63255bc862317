"""The calibration: known temperatures and thresholds are found, and it never makes a model worse."""

import numpy as np
import pytest
from arrays import logits_of
from hypothesis import given
from hypothesis import strategies as st

from evaluation.calibration import calibrate
from evaluation.metrics import classification_metrics, log_loss
from text.labels import SENTIMENT, LabelSet

# Rounded: the probability of a logit of -1e-16 is exactly 0.5 before the division by a temperature, but not after it.
LOGITS = st.floats(-40, 40).map(lambda logit: round(logit, 6))
LABELS_AND_LOGITS = st.lists(st.tuples(st.integers(0, 1), LOGITS), min_size=2, max_size=60).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_known_temperature_is_found(temperature):
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(0.02, 0.98, 50_000)
    labels = (generator.uniform(size=len(probabilities)) < probabilities).astype(int)
    # A model whose logits are too large by that factor.
    found = calibrate(SENTIMENT, labels, logits_of(probabilities) * temperature).temperature
    assert found == pytest.approx(temperature, rel=0.05)


def test_few_texts_hardly_change_the_temperature():
    """Six texts that the model gets right, by a little, would ask for the lowest temperature that there is."""
    logits, labels = np.array([[-0.4], [0.5], [0.3], [-0.2], [0.6], [-0.3]]), np.array([0, 1, 1, 0, 1, 0])
    few, many = (calibrate(SENTIMENT, np.tile(labels, n), np.tile(logits, (n, 1))).temperature for n in (1, 1000))
    assert 0.5 < few < 1
    assert many < 0.21


def test_each_of_several_labels_counts_as_much_as_a_text_of_one():
    logits, labels = np.array([[-0.4], [0.5], [0.3], [-0.2], [0.6], [-0.3]]), np.array([0, 1, 1, 0, 1, 0])
    several = LabelSet(("早餐", "价格"), multi_label=True)
    found = calibrate(several, labels.reshape(3, 2), logits.reshape(3, 2)).temperature
    assert found == pytest.approx(calibrate(SENTIMENT, labels, logits).temperature, rel=1e-3)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_a_known_threshold_is_found(threshold):
    probabilities = np.random.default_rng(1).uniform(size=5_000)
    labels = (probabilities >= threshold).astype(int)
    logits = logits_of(probabilities)
    calibration = calibrate(SENTIMENT, labels, logits)
    calibrated = SENTIMENT.probabilities(logits / calibration.temperature)
    assert (SENTIMENT.decide(calibrated, calibration.threshold) == labels).mean() > 0.99


@given(pairs=LABELS_AND_LOGITS)
def test_calibration_never_makes_a_model_worse(pairs):
    labels, logits = np.array([label for label, _ in pairs]), np.array([[logit] for _, logit in pairs])
    calibration = calibrate(SENTIMENT, labels, logits)
    before, calibrated = (SENTIMENT.probabilities(logits / divisor) for divisor in (1, calibration.temperature))
    before, after = (classification_metrics(SENTIMENT, labels, probabilities) for probabilities in (before, calibrated))
    assert after["log_loss"] <= before["log_loss"] + 1e-3
    assert after["accuracy"] == before["accuracy"]
    at_threshold = classification_metrics(SENTIMENT, labels, calibrated, calibration.threshold)
    assert at_threshold["macro_f1"] >= after["macro_f1"]
    assert all(type(value) is float for value in calibration)  # fit for JSON


class TestMoreLabels:
    LABELS = LabelSet(("red", "green", "blue"))

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    def test_a_known_temperature_is_found(self, temperature):
        generator = np.random.default_rng(0)
        probabilities = generator.dirichlet([1, 1, 1], 50_000)
        labels = (generator.uniform(size=(50_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
        # A model whose logits are too large by that factor.
        calibration = calibrate(self.LABELS, labels, np.log(probabilities) * temperature)
        assert calibration.temperature == pytest.approx(temperature, rel=0.05)
        assert calibration.threshold is None

    @given(st.integers(0, 2**32 - 1), st.floats(0.1, 30))
    def test_calibration_never_makes_a_model_worse(self, seed, scale):
        generator = np.random.default_rng(seed)
        labels, logits = generator.integers(3, size=40), generator.normal(0, scale, (40, 3))
        temperature = calibrate(self.LABELS, labels, logits).temperature
        before, after = (log_loss(labels, self.LABELS.probabilities(logits / divisor)) for divisor in (1, temperature))
        assert after <= before + 1e-3
        assert type(temperature) is float  # fit for JSON
