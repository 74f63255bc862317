"""Whose label is probably wrong: folds, and how much out-of-fold probabilities speak against the given labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from text.dataset.draws.drawing import deal_out
from text.labels import LabelSet


class Doubts(NamedTuple):
    """How doubtful the label of each text is.

    Attributes:
        scores: higher is more doubtful, float64, (texts,).
        probabilities: the probability of the label, (texts,); of several labels, of the most doubtful one, which the
            text has or lacks.
        suggested: the most probable labels, (texts,), or 1 for each label that is probable, else 0, (texts, labels).
    """

    scores: np.ndarray
    probabilities: np.ndarray
    suggested: np.ndarray


def stratified_folds(strata: np.ndarray, ids: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return the fold of each text, int64, (texts,), with about the same number of texts of each stratum in every fold.

    Args:
        strata: such as the label of each text, of any type, (texts,).
        ids: equal for copies of a text, which get the same fold, (texts,).
        num_folds: the number of folds.
        seed: seed of the draw.
    """
    _, first, position = np.unique(ids, return_index=True, return_inverse=True)
    return deal_out(strata[first], num_folds, seed)[position]


def doubts_of(label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray) -> Doubts:
    """Return how doubtful given labels are, by the margin of the most probable other label.

    As in confident learning, probabilities are compared with the mean that a label has in the texts with that label,
    because a rare label has lower ones, which would otherwise fill the list. Northcutt et al., "Confident Learning:
    Estimating Uncertainty in Dataset Labels" (2021), sections 3.1 and 3.2. Each of several labels is a question of its
    own, whether a text has it, and the most doubtful one counts.

    Args:
        label_set: the labels.
        labels: the given ones, (texts,), or 1 where a text has a label, else 0, (texts, labels).
        probabilities: out-of-fold probabilities, (texts, labels): from models that did not learn the text's own label.
    """
    suggested = label_set.decide(probabilities)
    if label_set.multi_label:
        return _doubts_of_several(labels, probabilities, suggested)
    rows = np.arange(len(labels))
    means = [_mean(probabilities[labels == label, label]) for label in range(len(label_set.names))]
    above_mean = probabilities - means
    others = above_mean.copy()
    others[rows, labels] = -np.inf
    return Doubts(others.max(axis=1) - above_mean[rows, labels], probabilities[rows, labels], suggested)


def _doubts_of_several(labels: np.ndarray, probabilities: np.ndarray, suggested: np.ndarray) -> Doubts:
    has_label = labels == 1
    of_given = np.where(has_label, probabilities, 1 - probabilities)
    means = [
        [_mean(of_given[has == answer, label]) for answer in (False, True)] for label, has in enumerate(has_label.T)
    ]
    without, having = np.transpose(means)
    margins = 1 - 2 * of_given + np.where(has_label, having - without, without - having)
    # A label that is right by its probability is in doubt only where all others are too.
    margins = np.where((suggested == labels) & (suggested != labels).any(axis=1, keepdims=True), -np.inf, margins)
    worst = margins.argmax(axis=1)
    rows = np.arange(len(labels))
    return Doubts(margins[rows, worst], of_given[rows, worst], suggested)


def _mean(probabilities: np.ndarray) -> float:
    """Return the mean of probabilities; 1 for none."""
    return float(probabilities.mean()) if len(probabilities) else 1.0


def most_doubtful(scores: np.ndarray, kinds: Sequence[np.ndarray], most: int) -> list[int]:
    """Return the texts with the `most` highest scores of each kind, as indices, the highest of all first.

    Args:
        scores: see `Doubts`, (texts,).
        kinds: for each kind, which texts are of it, bool, (texts,).
        most: how many texts of a kind to return at most.
    """
    order = np.argsort(-scores, kind="stable")
    is_listed = np.zeros(len(scores), bool)
    for is_of_kind in kinds:
        is_listed[order[is_of_kind[order]][:most]] = True
    return order[is_listed[order]].tolist()


def contradicting_copies(ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each text the first copy with another label, int64, (texts,); -1 for a text without one.

    Args:
        ids: equal for copies of a text, (texts,).
        labels: (texts,) or (texts, labels).
    """
    firsts: dict[int, dict[bytes, int]] = {}  # by text and label, so that many copies take no longer than others
    for index, (text, label) in enumerate(zip(ids.tolist(), labels, strict=True)):
        firsts.setdefault(text, {}).setdefault(label.tobytes(), index)
    copies = np.full(len(ids), -1, np.int64)
    for index, (text, label) in enumerate(zip(ids.tolist(), labels, strict=True)):
        if len(firsts[text]) > 1:
            own = label.tobytes()
            copies[index] = next(first for other, first in firsts[text].items() if other != own)
    return copies
