"""The mistakes of which a model was most sure, which say most about what it has not learnt, or about wrong labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from text.labels import LabelSet

MOST_SHOWN = 20


class Mistake(NamedTuple):
    """A wrong decision.

    Attributes:
        row: the index of the text.
        label: the index of the label that the text got wrongly; of several labels also one that it wrongly lacks.
        confidence: the probability that the model gave its decision.
    """

    row: int
    label: int
    confidence: float


def confident_mistakes(
    label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray, decisions: np.ndarray, count: int = MOST_SHOWN
) -> list[Mistake]:
    """Return the wrong decisions with the highest confidence, the highest first, and at most one of each text.

    If a text may have several labels, each pair of text and label is a decision.

    Args:
        label_set: the labels.
        labels: of the texts, (texts,) or (texts, labels), see `LabelSet`.
        probabilities: (texts, labels).
        decisions: in the form of `labels`.
        count: the largest number of mistakes.
    """
    if label_set.multi_label:
        confidence = np.where(decisions == labels, -1.0, np.where(decisions == 1, probabilities, 1 - probabilities))
        wrong_label, confidence = confidence.argmax(axis=1), confidence.max(axis=1)
    else:
        wrong_label = decisions
        confidence = np.take_along_axis(probabilities, decisions[:, None], axis=1)[:, 0]
        confidence = np.where(decisions == labels, -1.0, confidence)
    order = np.argsort(-confidence, kind="stable")[:count]
    return [
        Mistake(row, int(wrong_label[row]), float(confidence[row])) for row in order.tolist() if confidence[row] >= 0
    ]
