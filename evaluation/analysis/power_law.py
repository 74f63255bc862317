"""A power law of a classifier's error by its number of training texts, and what it predicts for more texts.

The error is a + b * texts^-c: a floor that no number of texts removes, and a part that falls by the same factor with
each doubling. Figueroa et al., "Predicting sample size required for classification performance" (2012), fit this law to
small classifiers of texts, and Hestness et al., "Deep Learning Scaling is Predictable, Empirically" (2017), to large
networks.
"""

from typing import NamedTuple

import numpy as np

from evaluation.analysis.intervals import ENDS

EXPONENTS = np.linspace(0.01, 1, 100)
LEAST_SIZES = 4  # one more than there are parameters
RESAMPLES, RESAMPLE_SEED = 2000, 0


class Bounds(NamedTuple):
    """The ends of an interval that contains a number with a probability of `intervals.CONFIDENCE`."""

    low: float
    high: float


class Forecast(NamedTuple):
    """What a power law predicts for a number of texts.

    Attributes:
        floor: a of the law, the error that remains with any number of texts.
        scale: b of the law.
        exponent: c of the law, above 0 and up to 1.
        largest: the largest number of texts that was trained on.
        target: the number of texts of the prediction.
        error_at_largest: the error there, by the law.
        error_at_target: the error there, by the law.
        error_interval: the interval of `error_at_target`; None if no size has several runs.
        gain_interval: the interval of the difference of the two errors; None likewise.
    """

    floor: float
    scale: float
    exponent: float
    largest: int
    target: int
    error_at_largest: float
    error_at_target: float
    error_interval: Bounds | None
    gain_interval: Bounds | None

    @property
    def gain(self) -> float:
        """How much lower the error is at the target."""
        return self.error_at_largest - self.error_at_target

    def error(self, num_texts: np.ndarray) -> np.ndarray:
        """Return the error by the law, (sizes,), for numbers of texts, (sizes,)."""
        return self.floor + self.scale * np.asarray(num_texts, np.float64) ** -self.exponent


class Curve(NamedTuple):
    """The errors of one kind of model after training on different numbers of texts.

    Attributes:
        num_texts: of each run, (runs,).
        errors: of each run, fractions within 0..1, (runs,).
        forecast: what a power law predicts; None for too few sizes.
    """

    num_texts: np.ndarray
    errors: np.ndarray
    forecast: Forecast | None


def curve_of(num_texts: np.ndarray, errors: np.ndarray, factor: float = 2.0) -> Curve:
    """Return the curve of some runs, with a forecast for `factor` times the largest number of texts.

    The law is fitted by least squares, and a run counts as much as it has texts, as in Figueroa et al. (2012): the
    errors of small samples vary more, and the large ones say more about what comes after them. The intervals are those
    of a bootstrap of the runs' residuals (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 9.4),
    widened for the three parameters. They contain the chance of draws and seeds, but not that of the texts on which the
    errors were measured, which are the same for all runs.

    Args:
        num_texts: (runs,).
        errors: fractions within 0..1, (runs,).
        factor: above 1.
    """
    num_texts, errors = np.asarray(num_texts), np.asarray(errors, np.float64)
    num_sizes = len(np.unique(num_texts))
    if num_sizes < LEAST_SIZES:
        return Curve(num_texts, errors, None)
    largest = int(num_texts.max())
    sizes, ends = num_texts / largest, np.array([1.0, factor])
    fitted = _fit(sizes, errors[None])
    (at_ends,) = _errors(fitted, ends)
    error_interval = gain_interval = None
    if len(errors) >= 2 * num_sizes:
        (expected,) = _errors(fitted, sizes)
        resampled = _errors(_fit(sizes, expected + _resampled_residuals(sizes, errors - expected)), ends)
        error_interval = Bounds(*np.quantile(resampled[:, 1], ENDS).tolist())
        gain_interval = Bounds(*np.quantile(resampled[:, 0] - resampled[:, 1], ENDS).tolist())
    floor, scale, exponent = fitted[0].tolist()
    return Curve(
        num_texts,
        errors,
        Forecast(
            floor,
            scale * largest**exponent,
            exponent,
            largest,
            round(factor * largest),
            *at_ends.tolist(),
            error_interval,
            gain_interval,
        ),
    )


def _resampled_residuals(sizes: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return residuals drawn from all runs, (resamples, runs), with the variance that the size of each run has."""
    scaled = residuals * np.sqrt(sizes)
    # The fit follows its own runs: without this factor it would seem to be closer to them than to new ones.
    scaled = (scaled - scaled.mean()) * np.sqrt(len(scaled) / (len(scaled) - 3))
    drawn = np.random.default_rng(RESAMPLE_SEED).choice(scaled, (RESAMPLES, len(scaled)))
    return drawn / np.sqrt(sizes)


def _errors(laws: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the errors, (laws, sizes), by laws, (laws, 3), of floor, scale and exponent."""
    floors, scales, exponents = laws.T[..., None]
    return floors + scales * sizes**-exponents


def _fit(sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the best floor, scale and exponent, (samples, 3), for the errors of each sample, (samples, runs).

    For a given exponent floor and scale are a linear regression, neither below 0; all exponents are tried, so that no
    search can end in a local minimum.

    Args:
        sizes: the number of texts of each run as a fraction of the largest, (runs,); also its weight.
        errors: (samples, runs).
    """
    weights = sizes / sizes.sum()
    powers = sizes ** -EXPONENTS[:, None]
    mean, power_mean, square_mean = errors @ weights, powers @ weights, powers**2 @ weights
    product_mean = errors * weights @ powers.T
    variance, covariance = square_mean - power_mean**2, product_mean - mean[:, None] * power_mean
    scale = np.maximum(covariance / variance, 0)
    floor = mean[:, None] - scale * power_mean
    scale = np.where(floor < 0, product_mean / square_mean, scale)
    floor = np.maximum(floor, 0)
    # The mean square of what is left, without the part that all exponents share.
    rest = floor**2 + scale**2 * square_mean + 2 * floor * scale * power_mean
    rest -= 2 * (floor * mean[:, None] + scale * product_mean)
    best = rest.argmin(axis=1)
    samples = np.arange(len(errors))
    return np.stack([floor[samples, best], scale[samples, best], EXPONENTS[best]], axis=1)
