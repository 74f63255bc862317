"""The test of a classifier: its metrics at several thresholds and in each group, beside those of the baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from evaluation.baseline import baseline_logits
from evaluation.calibration import calibrate
from evaluation.metrics import binary_metrics, log_loss, majority_log_loss, validation_metrics
from evaluation.report.terminal import format_groups, format_report
from system.errors import InputError
from text.labels import SENTIMENT

if TYPE_CHECKING:
    from text.dataset import Split, Splits

# A model with more than this many times the loss of the class frequencies is useless. Overconfidence alone does not
# reach it, because the temperature corrects it.
MAX_LOSS_RATIO = 5


def threshold_key(threshold: float) -> str:
    """Return the key of the metrics at a threshold, as in `assessment["test"]["thresholds"]["0.7"]`."""
    return str(float(threshold))  # exact, so that two thresholds never share a key


def assess(logits_of: Callable[[Split], np.ndarray], splits: Splits, threshold: float) -> dict:
    """Test a model and the baseline on the test split.

    Args:
        logits_of: returns the model's logits for the texts of a split, (texts, outputs).
        splits: the model was trained on `train` alone; the baseline is trained on `train` and `validation`.
        threshold: the application's.

    Returns:
        The content of `metrics.json`: "calibration" (temperature and threshold of the best macro-F1, both from the
        validation split), "application_threshold", "test" and "baseline". `test["thresholds"]` holds the metrics at
        0.5, at the application's and at the calibrated threshold, by `threshold_key`. Where the data has groups,
        "groups" holds "test" and "baseline" of each.

    Raises:
        InputError: on the validation split the model is far worse than predicting the class frequencies.
    """
    validation_logits = logits_of(splits.validation)
    calibration = calibrate(SENTIMENT, splits.validation.labels, validation_logits)
    _require_usable(splits.validation.labels, validation_logits, calibration.temperature)
    test = splits.test
    probabilities = SENTIMENT.probabilities(logits_of(test) / calibration.temperature)
    baseline_probabilities = _baseline_probabilities(splits)
    thresholds = (0.5, threshold, calibration.threshold)

    def metrics_of(rows: np.ndarray) -> dict:
        labels = test.labels[rows]
        return {
            "test": {
                "thresholds": {
                    threshold_key(value): binary_metrics(labels, probabilities[rows], value) for value in thresholds
                }
            },
            "baseline": binary_metrics(labels, baseline_probabilities[rows], 0.5),
        }

    assessment = {"calibration": calibration._asdict(), "application_threshold": threshold}
    assessment |= metrics_of(np.arange(len(test.texts)))
    if test.groups is not None:
        assessment["groups"] = {str(group): metrics_of(test.groups == group) for group in np.unique(test.groups)}
    return assessment


def validation_of(splits: Splits) -> Callable[[np.ndarray], dict[str, float]]:
    """Return a function that turns the logits of the validation split, (texts, outputs), into its metrics."""
    labels = splits.validation.labels
    return lambda logits: validation_metrics(labels, SENTIMENT.probabilities(logits))


def print_assessment(assessment: dict, data_name: str) -> None:
    """Print the metrics that `assess` returned.

    Args:
        data_name: the name of the data set, for the report.
    """
    thresholds, calibration = assessment["test"]["thresholds"], assessment["calibration"]
    at_half, at_application, at_calibrated = (
        thresholds[threshold_key(value)]
        for value in (0.5, assessment["application_threshold"], calibration["threshold"])
    )
    print(f"Test set loss: {at_half['log_loss']:.4f}")
    print(f"Test set accuracy: {at_half['accuracy']:.4f}\n")
    print(format_report(at_half, at_application, assessment["baseline"], data_name) + "\n")
    print(
        f"Calibrated on the validation split: temperature {calibration['temperature']:.3g}, threshold "
        f"{calibration['threshold']:.3g}. With these, test accuracy is {at_calibrated['accuracy']:.3f} and macro-F1 "
        f"{at_calibrated['macro_f1']:.3f}.\n"
    )
    if "groups" in assessment:
        groups = {
            name: (metrics["test"]["thresholds"][threshold_key(0.5)], metrics["baseline"])
            for name, metrics in assessment["groups"].items()
        }
        print(format_groups(groups) + "\n")


def _baseline_probabilities(splits: Splits) -> np.ndarray:
    """Return the probabilities, (texts, labels), that the baseline predicts for the test split."""
    known = (splits.train, splits.validation)
    texts = [text for split in known for text in split.texts]
    labels = np.concatenate([split.labels for split in known])
    return SENTIMENT.probabilities(baseline_logits(texts, labels, splits.test.texts))


def _require_usable(labels: np.ndarray, logits: np.ndarray, temperature: float) -> None:
    """Raise an InputError for a useless model, the usual result of a far too high learning rate.

    Args:
        labels: (texts,), of the validation split.
        logits: (texts, outputs).
        temperature: the calibrated one.
    """
    loss = log_loss(labels, SENTIMENT.probabilities(logits / temperature)) if np.isfinite(logits).all() else np.nan
    majority_loss = majority_log_loss(labels)
    if not loss <= MAX_LOSS_RATIO * majority_loss:  # true for NaN too
        raise InputError(
            f"the model is useless and was not saved: its validation loss is {loss:.3g}, while predicting the class "
            f"frequencies for every text gives {majority_loss:.3g}; try a smaller learning rate"
        )
