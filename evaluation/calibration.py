"""What makes a classifier's probabilities mean what they say: a temperature and a threshold, by its validation part."""

from typing import NamedTuple

import numpy as np

from text.tokens.windows import logits, sigmoid

TEMPERATURES = (0.2, 5.0)


class Calibration(NamedTuple):
    """What the logits are divided by, and the lowest probability, after that, of a positive verdict."""

    temperature: float
    threshold: float


def calibrate(labels: np.ndarray, probabilities: np.ndarray) -> Calibration:
    """Returns what makes the probabilities of a validation part likeliest, and the verdicts best by macro-F1.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2.

    Args:
        labels: (n,), 1 positive, 0 negative.
        probabilities: (n,), of each text to be positive.
    """
    temperature = _best_temperature(labels, probabilities)
    calibrated = with_temperature(probabilities, temperature)
    return Calibration(temperature, _best_threshold(labels, calibrated))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns the probabilities, (n,), after their logits are divided by `temperature`."""
    return sigmoid(logits(probabilities) / temperature)


def _best_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    signed = logits(probabilities) * (2 * np.asarray(labels) - 1)

    def loss(log_temperature):
        return np.logaddexp(0, -signed / np.exp(log_temperature)).mean()

    return round(float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x)), 4)


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the threshold, halfway between two texts, with the best macro-F1; of several the one nearest to 0.5."""
    different = np.unique(np.append(probabilities, 0.5))
    candidates = np.append((different[1:] + different[:-1]) / 2, 0.5)
    candidates = np.unique(np.round(candidates[(candidates > 0.1) & (candidates < 0.9)], 3))
    is_positive, says_positive = np.asarray(labels)[:, None] == 1, probabilities[:, None] >= candidates
    macro_f1 = (_f1(is_positive, says_positive) + _f1(~is_positive, ~says_positive)) / 2
    return float(min(zip(macro_f1, candidates, strict=True), key=lambda pair: (-pair[0], abs(pair[1] - 0.5)))[1])


def _f1(truth: np.ndarray, verdicts: np.ndarray) -> np.ndarray:
    """Returns the F1, (thresholds,), of bool verdicts, (n, thresholds), by bool truth, (n, 1)."""
    return 2 * (truth & verdicts).sum(axis=0) / np.maximum(truth.sum() + verdicts.sum(axis=0), 1)
