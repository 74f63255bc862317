"""The report of a comparison of two sets of texts, for a terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evaluation.analysis.intervals import Interval, Z, fraction_interval, indicators
from evaluation.drift import LEAST_DISTANCE, LEAST_DIVERGENCE, SIGNIFICANCE, Drift, TextSums
from system.output.display import ljust, rjust
from text.labels import LabelSet, Threshold

NUMBER_WIDTH, NAME_WIDTH = 24, 32  # columns of a terminal


class Predictions(NamedTuple):
    """The predictions for a random sample of texts.

    Attributes:
        num_texts: the number of texts.
        num_unknown: the number of those without a prediction, because the model knows no token of them.
        confidence: the mean probability that a decision is right; None if there is no prediction.
        shares: the share of the predictions with each label, by name.
    """

    num_texts: int
    num_unknown: int
    confidence: Interval | None
    shares: dict[str, Interval]


class TextSet(NamedTuple):
    """One of the two sets: its source, the sums over its texts, its share of unknown tokens, and its predictions."""

    source: str
    sums: TextSums
    unknown_fraction: float
    predictions: Predictions | None


def mean_interval(values: np.ndarray) -> Interval:
    """Return the mean of numbers, (texts,), with its interval by the normal distribution."""
    mean, half = float(values.mean()), Z * float(values.std()) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def summarize(label_set: LabelSet, probabilities: np.ndarray, threshold: Threshold) -> Predictions:
    """Return the summary of predictions.

    Args:
        label_set: the labels.
        probabilities: (texts, labels); NaN for texts without a prediction.
        threshold: see `LabelSet.decide`.
    """
    known = probabilities[~np.isnan(probabilities).any(axis=1)]
    num_unknown = len(probabilities) - len(known)
    if not len(known):
        return Predictions(len(probabilities), num_unknown, None, {})
    decisions = label_set.decide(known, threshold)
    counts = indicators(label_set, decisions).sum(axis=0).tolist()
    shares = {name: fraction_interval(n, len(known)) for name, n in zip(label_set.names, counts, strict=True)}
    confidence = mean_interval(label_set.confidences(known, decisions))
    return Predictions(len(probabilities), num_unknown, confidence, shares)


def verdict(drift: Drift) -> str:
    """Return in one sentence whether the texts have changed."""
    p_value = f"p = {drift.p_value:.3f} for both tests together"
    if drift.is_drift:
        return f"Drift: the texts differ more than random samples of one source would ({p_value})."
    if drift.is_significant:
        return f"No drift that matters: the texts differ more than by chance ({p_value}), but only a little."
    return f"No drift: the texts differ no more than random samples of one source would ({p_value})."


def report_lines(sets: list[TextSet], drift: Drift, token_text: Callable[[int], str]) -> list[str]:
    """Return the lines of the report: both sets, the words that differ most, the distances, and the verdict.

    Args:
        sets: the reference and the current texts.
        drift: how much they differ.
        token_text: returns a token for its id.
    """
    lines = [_row("", "reference", "current"), *_set_rows(sets), *_prediction_rows(sets)]
    lines += ["", _row("Words that differ most, per 1,000", "reference", "current", "bits")]
    for word in drift.contributions:
        shares = (f"{1000 * share:.3f}" for share in (word.reference, word.current))
        lines.append(_row(f"  {token_text(word.token)}", *shares, f"{word.bits:.5f}"))
    lines += ["", _row("Distance", "observed", "by chance", "p")]
    for name, distance in (("words, bits", drift.words), ("token vectors, squared", drift.vectors)):
        numbers = (f"{distance.observed:.5f}", f"{distance.expected:.5f}", f"{distance.p_value:.3f}")
        lines.append(_row(f"  {name}", *numbers))
    return [*lines, "", verdict(drift)]


def _row(name: str, *numbers: str) -> str:
    return (ljust(name, NAME_WIDTH) + "".join(rjust(number, NUMBER_WIDTH) for number in numbers)).rstrip()


def _set_rows(sets: list[TextSet]) -> list[str]:
    sums = [each.sums for each in sets]
    return [
        _row("Texts", *(f"{each.num_texts:,}" for each in sums)),
        _row("  different ones, about", *(f"{each.num_distinct:,}" for each in sums)),
        _row("  median length, characters", *(f"{each.length_at(0.5):,}" for each in sums)),
        _row("  95% are at most, characters", *(f"{each.length_at(0.95):,}" for each in sums)),
        _row("Tokens", *(f"{each.token_counts.sum():,}" for each in sums)),
        _row("  unknown", *(f"{each.unknown_fraction:.2%}" for each in sets)),
    ]


def _prediction_rows(sets: list[TextSet]) -> list[str]:
    found = [each.predictions for each in sets if each.predictions]
    if len(found) < len(sets):
        return []
    rows = [
        _row("Predictions", *(f"{each.num_texts - each.num_unknown:,}" for each in found)),
        _row("  mean confidence", *(_shown(each.confidence) for each in found)),
    ]
    names = list(dict.fromkeys(name for each in found for name in each.shares))
    return rows + [_row(f"  {name}", *(_shown(each.shares.get(name)) for each in found)) for name in names]


def _shown(interval: Interval | None) -> str:
    return f"{interval.value:.1%} ({interval.low:.1%}–{interval.high:.1%})" if interval else "–"


def as_json(sets: list[TextSet], drift: Drift, token_text: Callable[[int], str]) -> dict:
    """Return the numbers of the report as JSON values; see `report_lines`."""
    words = [{**word._asdict(), "token": token_text(word.token)} for word in drift.contributions]
    return {
        "reference": _set_json(sets[0]),
        "current": _set_json(sets[1]),
        "compared_texts": list(drift.num_compared),
        "word_divergence_bits": drift.words._asdict() | {"least_excess": LEAST_DIVERGENCE},
        "squared_vector_distance": drift.vectors._asdict() | {"least_excess": LEAST_DISTANCE},
        "words": words,
        "p_value": drift.p_value,
        "significance": SIGNIFICANCE,
        "is_drift": drift.is_drift,
        "verdict": verdict(drift),
    }


def _set_json(texts: TextSet) -> dict:
    sums, predictions = texts.sums, texts.predictions
    described = {
        # The name of a file may have bytes that are not UTF-8; these are spelt out.
        "source": texts.source.encode("utf-8", "backslashreplace").decode("utf-8"),
        "texts": sums.num_texts,
        "different_texts": sums.num_distinct,
        "median_length": sums.length_at(0.5),
        "length_95": sums.length_at(0.95),
        "tokens": int(sums.token_counts.sum()),
        "unknown_fraction": texts.unknown_fraction,
    }
    if predictions:
        described["predictions"] = {
            "texts": predictions.num_texts,
            "without_prediction": predictions.num_unknown,
            "mean_confidence": predictions.confidence and predictions.confidence._asdict(),
            "label_shares": {name: share._asdict() for name, share in predictions.shares.items()},
        }
    return described
