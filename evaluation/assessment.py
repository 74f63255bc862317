"""The test of a classifier: at several thresholds, beside the baseline on the same texts, and group by group."""

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

HOPELESS = 5  # times the loss of the shares of the labels; an overconfident model, once calibrated, has less


def assess(logits_of: Callable[[Split], np.ndarray], splits: Splits, threshold: float) -> dict:
    """Return the metrics of the test part, as `metrics.json` holds them.

    Args:
        logits_of: returns the model's logits for the texts of a part, (texts, outputs).
        threshold: the application's; 0.5 and the threshold that is best on the validation part stand beside it.

    Raises:
        InputError: on the validation part the model is far worse than answering with the shares of the labels.
    """
    validation_logits = logits_of(splits.validation)
    calibration = calibrate(SENTIMENT, splits.validation.labels, validation_logits)
    _require_usable(splits.validation.labels, validation_logits, calibration.temperature)
    probabilities = SENTIMENT.probabilities(logits_of(splits.test) / calibration.temperature)
    learnt, test = (splits.train, splits.validation), splits.test
    baseline = SENTIMENT.probabilities(
        baseline_logits(
            [text for part in learnt for text in part.texts],
            np.concatenate([part.labels for part in learnt]),
            test.texts,
        )
    )

    def metrics(rows):
        return {
            "test": {
                "at_half": binary_metrics(test.labels[rows], probabilities[rows], 0.5),
                "at_threshold": binary_metrics(test.labels[rows], probabilities[rows], threshold),
                "at_calibrated": binary_metrics(test.labels[rows], probabilities[rows], calibration.threshold),
            },
            "baseline": binary_metrics(test.labels[rows], baseline[rows], 0.5),
        }

    assessment = {"calibration": calibration._asdict()} | metrics(np.arange(len(test.texts)))
    if test.groups is not None:
        assessment["groups"] = {str(group): metrics(test.groups == group) for group in np.unique(test.groups)}
    return assessment


def validation_of(splits: Splits) -> Callable[[np.ndarray], dict[str, float]]:
    """Return the function from the logits of the validation part, (texts, outputs), to its metrics."""
    labels = splits.validation.labels
    return lambda logits: validation_metrics(labels, SENTIMENT.probabilities(logits))


def _require_usable(labels: np.ndarray, logits: np.ndarray, temperature: float) -> None:
    """Raise an InputError for a model that is worse than no model, as a far too high learning rate makes it.

    Args:
        labels: (texts,), of the validation part.
        logits: (texts, outputs).
    """
    loss = log_loss(labels, SENTIMENT.probabilities(logits / temperature)) if np.isfinite(logits).all() else np.nan
    majority_loss = majority_log_loss(labels)
    # Written so that it holds for NaN too.
    if not loss <= HOPELESS * majority_loss:
        raise InputError(
            f"the model is useless and was not saved: its validation loss is {loss:.3g}, where always answering with "
            f"the shares of the labels has {majority_loss:.3g}; try a smaller learning rate"
        )


def print_assessment(assessment: dict, data_name: str) -> None:
    """Print the metrics that `assess` returned."""
    test = assessment["test"]
    print(f"Test set loss: {test['at_half']['log_loss']:.4f}")
    print(f"Test set accuracy: {test['at_half']['accuracy']:.4f}\n")
    print(format_report(test["at_half"], test["at_threshold"], assessment["baseline"], data_name) + "\n")
    calibrated, temperature = test["at_calibrated"], assessment["calibration"]["temperature"]
    print(
        f"Calibrated on the validation part: logits divided by {temperature:.3g}, threshold "
        f"{calibrated['threshold']:.3g}, with which accuracy is {calibrated['accuracy']:.3f} and macro-F1 "
        f"{calibrated['macro_f1']:.3f}\n"
    )
    if "groups" in assessment:
        print(format_groups(assessment["groups"]) + "\n")
