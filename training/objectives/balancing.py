"""The weights of texts that correct how often each label occurs."""

import numpy as np

from text.labels import LabelSet

# With it the effective number of texts never exceeds 1 / (1 - 0.999) = 1,000: frequent labels, of which a further text
# adds little, weigh the same. Cui et al. compare 0.9, 0.99, 0.999 and 0.9999.
EFFECTIVE_NUMBER_BETA = 0.999


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
