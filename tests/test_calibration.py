"""Temperature and threshold: found again where they are known, and never worse than none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.calibration import calibrate, with_temperature
from evaluation.metrics import binary_metrics

LABELS_AND_PROBABILITIES = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=60).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_is_found_again(temperature):
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(0.02, 0.98, 50_000)
    labels = (generator.uniform(size=len(probabilities)) < probabilities).astype(int)
    # What a model says whose logits are too large by that factor.
    found = calibrate(labels, with_temperature(probabilities, 1 / temperature)).temperature
    assert found == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_the_threshold_is_found_again(threshold):
    probabilities = np.random.default_rng(1).uniform(size=5_000)
    labels = (probabilities >= threshold).astype(int)
    calibration = calibrate(labels, probabilities)
    calibrated = with_temperature(probabilities, calibration.temperature)
    assert ((calibrated >= calibration.threshold) == labels).mean() > 0.99


@given(pairs=LABELS_AND_PROBABILITIES)
def test_never_worse_than_without(pairs):
    labels, probabilities = map(np.array, zip(*pairs, strict=True))
    calibration = calibrate(labels, probabilities)
    calibrated = with_temperature(probabilities, calibration.temperature)
    before, after = (binary_metrics(labels, values, 0.5) for values in (with_temperature(probabilities, 1), calibrated))
    assert after["log_loss"] <= before["log_loss"] + 1e-3
    assert after["accuracy"] == before["accuracy"]
    assert binary_metrics(labels, calibrated, calibration.threshold)["macro_f1"] >= after["macro_f1"]
    assert all(type(value) is float for value in calibration)  # fit for JSON


@given(probabilities=st.lists(st.floats(0, 1), min_size=2, max_size=20), temperature=st.floats(0.2, 5))
def test_a_temperature_keeps_the_order(probabilities, temperature):
    order = np.argsort(probabilities, kind="stable")
    assert (np.diff(with_temperature(np.array(probabilities), temperature)[order]) >= 0).all()
