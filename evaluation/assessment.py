"""The figures of a test: the model at two thresholds, beside the baseline on the same texts, and group by group."""

from collections.abc import Callable

import numpy as np

from evaluation.baseline import baseline_probabilities
from evaluation.calibration import calibrate, with_temperature
from evaluation.metrics import binary_metrics
from evaluation.report.terminal import format_groups, format_report
from text.dataset import Split, Splits


def assess(predict: Callable[[Split], np.ndarray], reviews: Splits, threshold: float) -> dict:
    """Returns the figures of the test part, as `metrics.json` holds them.

    Args:
        predict: returns the model's probability for each text of a part, (n,).
        threshold: the application's; 0.5 and the threshold that the validation part calls best are reported beside it.
    """
    calibration = calibrate(reviews.validation.labels, predict(reviews.validation))
    probabilities = with_temperature(predict(reviews.test), calibration.temperature)
    learnt, test = (reviews.train, reviews.validation), reviews.test
    baseline = baseline_probabilities(
        [text for part in learnt for text in part.texts], np.concatenate([part.labels for part in learnt]), test.texts
    )

    def figures(rows):
        return {
            "test": {
                "at_half": binary_metrics(test.labels[rows], probabilities[rows], 0.5),
                "at_threshold": binary_metrics(test.labels[rows], probabilities[rows], threshold),
                "at_calibrated": binary_metrics(test.labels[rows], probabilities[rows], calibration.threshold),
            },
            "baseline": binary_metrics(test.labels[rows], baseline[rows], 0.5),
        }

    assessment = {"calibration": calibration._asdict()} | figures(np.arange(len(test.texts)))
    if test.groups is not None:
        assessment["groups"] = {str(group): figures(test.groups == group) for group in np.unique(test.groups)}
    return assessment


def print_assessment(assessment: dict, data_name: str) -> None:
    """Prints the figures that `assess` returned."""
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
