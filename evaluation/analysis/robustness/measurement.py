"""The accuracy of a classifier on perturbed texts, and the verdicts that a perturbation changes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from evaluation.analysis.robustness.perturbations import PERTURBATIONS, perturbed
from text.labels import UNDECIDED, LabelSet, Threshold

ORIGINAL = "original"
WORST_SHOWN = 5


class ChangedVerdict(NamedTuple):
    """A text that a classifier gets right, and wrong when it is perturbed.

    Attributes:
        text: the text.
        perturbed: the same, perturbed.
        label: the name of its true label; several are joined as in `LabelSet.name`.
        before: the predicted probability that this label is right, as in `LabelSet.confidences`.
        after: the same for the perturbed text; NaN if the model knows no token of it.
    """

    text: str
    perturbed: str
    label: str
    before: float
    after: float


class PerturbationResult(NamedTuple):
    """The verdicts of a classifier on perturbed texts.

    Attributes:
        name: the name of the perturbation, or `ORIGINAL`.
        accuracy: the fraction of texts with the true label; of several labels, with exactly these (exact match, as in
            `evaluation.multi_label`). A text of which the model knows no token has no verdict, which is wrong.
        changed: the fraction of texts whose verdict is another one than that of the original text, or is missing.
        worst: texts with a right verdict before and a wrong one after; at first those of which the model was surest.
    """

    name: str
    accuracy: float
    changed: float
    worst: list[ChangedVerdict]


def measure_robustness(
    predict_proba: Callable[[list[str]], np.ndarray],
    texts: Sequence[str],
    labels: np.ndarray,
    label_set: LabelSet,
    seed: int,
    threshold: Threshold = None,
) -> list[PerturbationResult]:
    """Return the result of the texts as they are, and one for each of `PERTURBATIONS`.

    Args:
        predict_proba: returns the probability of each label, (texts, labels); NaN for a text without a prediction.
        texts: the texts of a test.
        labels: (texts,), the index of each text's label; or 1 where a text has a label, else 0, (texts, labels).
        label_set: the labels.
        seed: of the random numbers that choose characters and orders.
        threshold: see `LabelSet.decide`.

    Raises:
        ValueError: there is no text, or shapes do not match.
    """
    texts, labels = list(texts), np.asarray(labels)
    if not texts or len(labels) != len(texts):
        raise ValueError(f"{len(labels)} labels do not match {len(texts)} texts, or there is no text")
    before = predict_proba(texts)
    verdicts = _verdicts(before, label_set, threshold)
    is_right = _are_equal(verdicts, labels)
    results = [PerturbationResult(ORIGINAL, float(is_right.mean()), 0.0, [])]
    confidences = label_set.confidences(before, labels)
    for name in PERTURBATIONS:
        changed_texts = perturbed(texts, name, seed)
        after = predict_proba(changed_texts)
        verdicts_after = _verdicts(after, label_set, threshold)
        is_right_after = _are_equal(verdicts_after, labels)
        confidences_after = label_set.confidences(after, labels)
        lost = np.flatnonzero(is_right & ~is_right_after)
        surest = lost[np.argsort(-confidences[lost], kind="stable")][:WORST_SHOWN]
        worst = [
            ChangedVerdict(
                texts[text],
                changed_texts[text],
                label_set.name(labels[text]),
                float(confidences[text]),
                float(confidences_after[text]),
            )
            for text in surest
        ]
        is_changed = ~_are_equal(verdicts_after, verdicts)
        results.append(PerturbationResult(name, float(is_right_after.mean()), float(is_changed.mean()), worst))
    return results


def _verdicts(probabilities: np.ndarray, label_set: LabelSet, threshold: Threshold) -> np.ndarray:
    """Return the decisions, (texts,) or (texts, labels); `UNDECIDED` for texts without a prediction."""
    verdicts = label_set.decide(probabilities, threshold)
    verdicts[np.isnan(probabilities).any(axis=1)] = UNDECIDED
    return verdicts


def _are_equal(verdicts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return whether both labels of each text are the same, bool, (texts,)."""
    return (verdicts == others).reshape(len(verdicts), -1).all(axis=1)
