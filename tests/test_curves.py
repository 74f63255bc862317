"""Tests of evaluation/analysis/curves.py, against scikit-learn and against a count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from evaluation.analysis.curves import POINTS, THRESHOLDS, coverage_curve, precision_recall, threshold_curve

PROBABILITIES = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.501, 0.9, 1.0])), min_size=2)


@given(rows=PROBABILITIES)
def test_metrics_at_thresholds(rows):
    has_label, probabilities = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    curve = threshold_curve(has_label, probabilities)
    for index in (0, 10, 50, 51, 100):
        precision, recall, f1, _ = precision_recall_fscore_support(
            has_label, probabilities >= THRESHOLDS[index], average="binary", zero_division=0
        )
        assert (np.nan_to_num(curve.precision[index]), curve.recall[index], curve.f1[index]) == pytest.approx(
            (precision, recall, f1)
        )


@given(rows=PROBABILITIES.filter(lambda rows: any(row[0] for row in rows)))
def test_average_precision(rows):
    has_label, probabilities = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    curve = precision_recall(has_label, probabilities)
    assert curve.average_precision == pytest.approx(average_precision_score(has_label, probabilities))
    assert curve.recall[-1] == 1 and curve.precision[-1] == pytest.approx(has_label.mean())
    assert (np.diff(curve.recall) >= 0).all()


def test_a_curve_of_many_texts_has_few_points():
    rng = np.random.default_rng(0)
    probabilities = rng.random(50_000)
    curve = precision_recall(rng.random(50_000) < probabilities, probabilities)
    assert len(curve.recall) <= POINTS + 1
    assert len(coverage_curve(probabilities, probabilities > 0.5).coverage) <= POINTS + 1


def test_coverage_by_hand():
    curve = coverage_curve(np.array([0.9, 0.6, 0.8, 0.8]), np.array([True, False, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]  # two texts of equal confidence are decided together
    assert curve.accuracy.tolist() == pytest.approx([1.0, 2 / 3, 0.5])
    assert curve.lowest.tolist() == [0.9, 0.8, 0.6]
