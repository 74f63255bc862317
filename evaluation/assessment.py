"""The figures of a test: the model at two thresholds, beside the baseline on the same texts."""

import numpy as np

from evaluation.baseline import baseline_metrics
from evaluation.metrics import binary_metrics
from evaluation.report import format_report
from text.reviews import Reviews


def assess(probabilities: np.ndarray, reviews: Reviews, threshold: float) -> dict:
    """Returns the figures of the test part, as `metrics.json` holds them.

    Args:
        probabilities: (n,), the model's for each text of `reviews.test`.
        threshold: the application's; 0.5 is reported beside it.
    """
    learnt = (reviews.train, reviews.validation)
    return {
        "test": {
            "at_half": binary_metrics(reviews.test.labels, probabilities, 0.5),
            "at_threshold": binary_metrics(reviews.test.labels, probabilities, threshold),
        },
        "baseline": baseline_metrics(
            [text for part in learnt for text in part.texts],
            np.concatenate([part.labels for part in learnt]),
            reviews.test.texts,
            reviews.test.labels,
        ),
    }


def print_assessment(assessment: dict, data_name: str) -> None:
    """Prints the figures that `assess` returned."""
    test = assessment["test"]
    print(f"Test set loss: {test['at_half']['log_loss']:.4f}")
    print(f"Test set accuracy: {test['at_half']['accuracy']:.4f}\n")
    print(format_report(test["at_half"], test["at_threshold"], assessment["baseline"], data_name) + "\n")
