"""Tests of evaluation/analysis/reliability.py: the expected calibration error."""

import numpy as np
import pytest

from evaluation.analysis.reliability import BINS, reliability


def test_the_error_by_hand():
    confidences = np.array([0.95, 0.95, 0.55, 0.55])
    found = reliability(confidences, np.array([True, False, True, True]), bins=10)
    # Two bins of two texts: |0.5 - 0.95| and |1.0 - 0.55|.
    assert found.error == pytest.approx((0.45 + 0.45) / 2)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert found.lead == pytest.approx(0.75 - 0.75)


def test_a_calibrated_model_has_almost_no_error():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.5, 1, 200_000)
    found = reliability(confidences, rng.random(200_000) < confidences)
    assert found.error < 0.01 and abs(found.lead) < 0.01
    assert len(found.counts) == BINS


def test_a_model_that_is_too_sure_leads():
    found = reliability(np.full(100, 0.99), np.arange(100) < 70)
    assert found.error == pytest.approx(0.29) and found.lead == pytest.approx(0.29)


@pytest.mark.parametrize(("confidence", "bin_index"), [(0.0, 0), (0.1, 0), (0.1001, 1), (1.0, 9)])
def test_the_upper_end_of_a_bin_belongs_to_it(confidence, bin_index):
    counts = reliability(np.array([confidence]), np.array([True]), bins=10).counts
    assert np.flatnonzero(counts).tolist() == [bin_index]
