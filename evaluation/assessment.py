"""The figures of a test: the model at two thresholds, beside the baseline on the same texts, and group by group."""

import numpy as np

from evaluation.baseline import baseline_probabilities
from evaluation.metrics import binary_metrics
from evaluation.report import format_groups, format_report
from text.reviews import Reviews


def assess(probabilities: np.ndarray, reviews: Reviews, threshold: float) -> dict:
    """Returns the figures of the test part, as `metrics.json` holds them.

    Args:
        probabilities: (n,), the model's for each text of `reviews.test`.
        threshold: the application's; 0.5 is reported beside it.
    """
    learnt, test = (reviews.train, reviews.validation), reviews.test
    baseline = baseline_probabilities(
        [text for part in learnt for text in part.texts], np.concatenate([part.labels for part in learnt]), test.texts
    )

    def figures(rows):
        return {
            "test": {
                "at_half": binary_metrics(test.labels[rows], probabilities[rows], 0.5),
                "at_threshold": binary_metrics(test.labels[rows], probabilities[rows], threshold),
            },
            "baseline": binary_metrics(test.labels[rows], baseline[rows], 0.5),
        }

    assessment = figures(np.arange(len(test.texts)))
    if test.groups is not None:
        assessment["groups"] = {str(group): figures(test.groups == group) for group in np.unique(test.groups)}
    return assessment


def print_assessment(assessment: dict, data_name: str) -> None:
    """Prints the figures that `assess` returned."""
    test = assessment["test"]
    print(f"Test set loss: {test['at_half']['log_loss']:.4f}")
    print(f"Test set accuracy: {test['at_half']['accuracy']:.4f}\n")
    print(format_report(test["at_half"], test["at_threshold"], assessment["baseline"], data_name) + "\n")
    if "groups" in assessment:
        print(format_groups(assessment["groups"]) + "\n")
