"""How sure a metric is: confidence intervals from a bootstrap of the texts.

Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3 (percentile intervals). Texts with the
same labels and the same decisions are alike, so a resample is the number of texts of each kind, not a list of texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from text.labels import LabelSet

ROUNDS = 1000
CONFIDENCE = 0.95
ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)  # of an interval, as quantiles
Z = 1.959964  # of the normal distribution, for `CONFIDENCE`
COUNTS_AT_ONCE = 2_000_000  # of resamples times kinds of texts, which bounds the memory
TEXTS_PER_KIND = 50  # with fewer it is faster to draw texts than to draw the numbers of texts of each kind


class Interval(NamedTuple):
    """A number and the ends of its interval, `CONFIDENCE` wide; the ends are NaN where there is none."""

    value: float
    low: float
    high: float


class Scores(NamedTuple):
    """Metrics of the texts themselves, in row 0, and of each resample, in the others.

    Attributes:
        accuracy: the fraction of texts with exactly their labels, (1 + rounds,).
        macro_f1: the mean F1 of the labels that occur or are predicted, (1 + rounds,).
        micro_f1: the F1 of all pairs of text and label, (1 + rounds,); for one label a text it is the accuracy.
        precision: of each label, (1 + rounds, labels), 0 where it would divide by zero, as `recall` and `f1`.
        recall: of each label, (1 + rounds, labels).
        f1: of each label, (1 + rounds, labels).
    """

    accuracy: np.ndarray
    macro_f1: np.ndarray
    micro_f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def bootstrap_scores(
    label_set: LabelSet,
    labels: np.ndarray,
    decisions: Mapping[str, np.ndarray],
    rounds: int = ROUNDS,
    seed: int = 0,
) -> dict[str, Scores]:
    """Return the metrics of several models on the same resamples of the texts, so that differences are paired.

    Args:
        label_set: the labels.
        labels: of the texts, (texts,) or (texts, labels), see `LabelSet`.
        decisions: those of each model, by its name, in the same form.
        rounds: the number of resamples.
        seed: seed of the resamples.
    """
    truth, decided, kind_of = _kinds(label_set, labels, decisions)
    counts = np.bincount(kind_of)
    rng = np.random.default_rng(seed)
    at_once, parts = max(1, COUNTS_AT_ONCE // len(counts)), _parts_of_tallies(truth, decided)
    tallies = [counts[None].astype(np.float32) @ parts]
    for start in range(0, rounds, at_once):
        drawn = _resampled(rng, kind_of, counts, min(at_once, rounds - start))
        tallies.append(drawn.astype(np.float32) @ parts)
    of_models = np.split(np.concatenate(tallies).astype(np.float64), len(decided), axis=1)
    return {name: _scores(of_model) for name, of_model in zip(decisions, of_models, strict=True)}


def interval(values: np.ndarray) -> Interval:
    """Return the interval of a metric, (1 + rounds,), whose row 0 is that of the texts themselves."""
    low, high = np.quantile(values[1:], ENDS)
    return Interval(float(values[0]), float(low), float(high))


def fraction_interval(count: int, total: int) -> Interval:
    """Return the interval of a fraction, which is wide for few texts even where all are right.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    """
    if not total:
        return Interval(np.nan, np.nan, np.nan)
    fraction, spread = count / total, Z**2 / total
    middle = (fraction + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * np.sqrt(fraction * (1 - fraction) / total + spread / (4 * total))
    return Interval(fraction, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def _kinds(
    label_set: LabelSet, labels: np.ndarray, decisions: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return the labels and each model's decisions of each kind of text, (kinds, labels), and the kind of each text.

    Texts are of one kind if they have the same labels and all models decide the same.
    """
    columns = np.stack([labels, *decisions.values()], axis=1)  # (texts, 1 + models) or (texts, 1 + models, labels)
    kinds, kind_of = np.unique(columns.astype(np.int32), axis=0, return_inverse=True)
    truth, *decided = (indicators(label_set, kinds[:, column]).astype(np.float32) for column in range(columns.shape[1]))
    return truth, decided, kind_of.ravel()


def _resampled(rng: np.random.Generator, kind_of: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Return the number of texts of each kind in `size` resamples, (size, kinds).

    Args:
        rng: the random generator.
        kind_of: the kind of each text, (texts,).
        counts: the number of texts of each kind, (kinds,).
        size: the number of resamples.
    """
    if len(kind_of) > TEXTS_PER_KIND * len(counts):
        return rng.multinomial(len(kind_of), counts / len(kind_of), size)
    drawn = (kind_of[rng.integers(0, len(kind_of), len(kind_of))] for _ in range(size))
    return np.stack([np.bincount(kinds, minlength=len(counts)) for kinds in drawn])


def indicators(label_set: LabelSet, labels: np.ndarray) -> np.ndarray:
    """Return 1 where a text has a label, else 0, int64, (texts, labels).

    Args:
        label_set: the labels.
        labels: of the texts, (texts,) or (texts, labels), see `LabelSet`.
    """
    if label_set.multi_label:
        return np.asarray(labels, np.int64)
    return (np.asarray(labels)[:, None] == np.arange(len(label_set.names))).astype(np.int64)


def _parts_of_tallies(truth: np.ndarray, decided: list[np.ndarray]) -> np.ndarray:
    """Return what a text of each kind adds to the tallies, 0 or 1, float32, (kinds, models * (2 + 3 * labels)).

    The tallies of a model are all texts, those with exactly their labels, and of each label those that have it, that
    got it, and that rightly got it. Their sums are exact up to 2^24 texts.

    Args:
        truth: of each kind of text, (kinds, labels).
        decided: the same for each model.
    """
    parts = []
    for of_model in decided:
        is_exact = (truth == of_model).all(axis=1, keepdims=True)
        parts += [np.ones_like(is_exact), is_exact, truth, of_model, truth * of_model]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _scores(tallies: np.ndarray) -> Scores:
    """Return the metrics of a model from its tallies, (resamples, 2 + 3 * labels)."""
    total, exact = tallies[:, 0], tallies[:, 1]
    true, predicted, correct = np.split(tallies[:, 2:], 3, axis=1)
    f1 = _divide(2 * correct, true + predicted)
    occurs = true + predicted > 0
    return Scores(
        accuracy=exact / total,
        macro_f1=_divide((f1 * occurs).sum(axis=1), occurs.sum(axis=1)),
        micro_f1=_divide(2 * correct.sum(axis=1), (true + predicted).sum(axis=1)),
        precision=_divide(correct, predicted),
        recall=_divide(correct, true),
        f1=f1,
    )


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return numerator / np.maximum(denominator, 1)
