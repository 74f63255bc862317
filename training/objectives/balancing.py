"""The weights of texts: those of their sets, and those that correct how often each label occurs."""

from collections.abc import Sequence

import numpy as np

from text.dataset.splits import Split, joined_text_weights
from text.labels import LabelSet
from training.plans.fine_tuning import FineTuningPlan

# With it the effective number of texts never exceeds 1 / (1 - 0.999) = 1,000: frequent labels, of which a further text
# adds little, weigh the same. Cui et al. compare 0.9, 0.99, 0.999 and 0.9999.
EFFECTIVE_NUMBER_BETA = 0.999


def balance(
    labels: LabelSet, trained_on: Sequence[Split], plan: FineTuningPlan
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the weight of each text in the loss, and how often to draw it, (texts,); None where all are alike.

    The weights have a mean of 1. How often a label occurs is counted in texts, whatever their weights.
    """
    targets = np.concatenate([split.targets for split in trained_on])
    of_labels = text_weights(labels, targets, plan.class_weights) if plan.class_weights != "none" else None
    of_sets = joined_text_weights(trained_on)
    frequencies = text_weights(labels, targets, "balanced") if plan.balanced_sampling else None
    if of_sets is None:
        return of_labels, frequencies
    weights = of_sets if of_labels is None else of_sets * of_labels
    return weights / weights.mean(), frequencies


def text_weights(labels: LabelSet, targets: np.ndarray, kind: str) -> np.ndarray:
    """Return weights that give a text of a rare label more influence, float32, (texts,), with a mean of 1.

    A text with a teacher's probabilities as targets counts for each label by its probability, and its weight is the
    mean of the weights of the labels under these probabilities.

    Args:
        labels: labels of which a text has one.
        targets: the targets of all texts, (texts, outputs).
        kind: "balanced" for the inverse of the number of texts of the label, with which all labels have the same
            influence in total, or "effective" for the inverse of their effective number, (1 - beta^n) / (1 - beta) of
            n texts. Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (2019).
    """
    probabilities = np.asarray(targets, np.float64)
    if labels.is_binary:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
    numbers = np.maximum(probabilities.sum(axis=0), 1.0)  # a teacher may hardly ever predict a label
    if kind == "effective":
        numbers = (1 - EFFECTIVE_NUMBER_BETA**numbers) / (1 - EFFECTIVE_NUMBER_BETA)
    weights = probabilities @ (1 / numbers)
    return (weights / weights.mean()).astype(np.float32)
