"""The power law: a known one is found again, its forecast has an honest interval, and too few sizes have none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.analysis.power_law import LEAST_SIZES, curve_of

SIZES = np.array([100, 200, 400, 800, 1600])


def errors_of(law, sizes, noise=0.0, seed=0):
    """Return the errors by a law of floor, scale and exponent, with noise that falls with the square root of size."""
    floor, scale, exponent = law
    noise = np.random.default_rng(seed).normal(0, noise, len(sizes)) * np.sqrt(sizes.max() / sizes)
    return floor + scale * sizes**-exponent + noise


@pytest.mark.parametrize("law", [(0.08, 1.2, 0.5), (0.0, 0.9, 0.3), (0.1, 3.0, 1.0), (0.05, 0.5, 0.21)])
def test_a_known_law_is_found(law):
    forecast = curve_of(SIZES, errors_of(law, SIZES)).forecast
    assert (forecast.floor, forecast.scale, forecast.exponent) == pytest.approx(law, rel=1e-6, abs=1e-9)
    assert (forecast.largest, forecast.target) == (1600, 3200)
    assert [forecast.error_at_largest, forecast.error_at_target] == pytest.approx(
        errors_of(law, np.array([1600, 3200]))
    )
    assert forecast.gain == pytest.approx(forecast.error_at_largest - forecast.error_at_target)
    assert forecast.error(SIZES) == pytest.approx(errors_of(law, SIZES))


@given(errors=st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_floor_scale_and_exponent_stay_within_their_bounds(errors):
    forecast = curve_of(SIZES, np.array(errors)).forecast
    assert forecast.floor >= 0 and forecast.scale >= 0 and 0 < forecast.exponent <= 1
    assert forecast.gain >= 0


def test_an_error_that_rises_gives_no_gain():
    assert curve_of(SIZES, np.array([0.1, 0.1, 0.11, 0.11, 0.12])).forecast.gain == 0


def test_the_interval_contains_the_truth_about_as_often_as_it_says():
    law, sizes = (0.08, 1.0, 0.4), np.repeat(SIZES, 3)
    at_largest, at_target = errors_of(law, np.array([1600, 3200]))
    forecasts = [curve_of(sizes, errors_of(law, sizes, noise=0.003, seed=seed)).forecast for seed in range(60)]
    for intervals, truth in (
        ([each.error_interval for each in forecasts], at_target),
        ([each.gain_interval for each in forecasts], at_largest - at_target),
    ):
        assert np.mean([low <= truth <= high for low, high in intervals]) >= 0.85
        assert max(high - low for low, high in intervals) < 0.03


def test_the_interval_is_the_same_each_time():
    sizes = np.repeat(SIZES, 2)
    errors = errors_of((0.1, 1.0, 0.5), sizes, noise=0.005)
    assert curve_of(sizes, errors).forecast == curve_of(sizes, errors).forecast


def test_one_run_of_each_size_has_no_interval():
    forecast = curve_of(SIZES, errors_of((0.1, 1.0, 0.5), SIZES, noise=0.005)).forecast
    assert forecast.error_interval is None and forecast.gain_interval is None


def test_too_few_sizes_have_no_forecast():
    sizes = np.repeat(SIZES[: LEAST_SIZES - 1], 5)
    curve = curve_of(sizes, errors_of((0.1, 1.0, 0.5), sizes))
    assert curve.forecast is None and len(curve.errors) == 15
