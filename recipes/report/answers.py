"""What a model answers to the texts of a test, and the words that caused its mistakes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evaluation.analysis.mistakes import Mistake
from evaluation.analysis.robustness.measurement import PerturbationResult, measure_robustness
from evaluation.analysis.robustness.perturbations import PERTURBATIONS
from serving.explanation.marking import marked_as_html
from serving.explanation.occlusion import explain
from serving.predictor import Predictor
from system.output.display import progress
from system.output.page import escaped

TEXTS_AT_ONCE = 1024
MOST_PERTURBED = 1000  # texts, which are classified once more for each perturbation
SEED = 42
MOST_TOKENS = 200  # examined of each mistake, so that twenty long texts take seconds
SHORT_REST = 20  # characters after the examined words that are shown too, rather than cut


class Answers(NamedTuple):
    """The answers of a model to some texts.

    Attributes:
        logits: before calibration, float64, (texts, outputs).
        num_windows: the number of windows of each text, (texts,).
        num_truncated: how many texts are not read to their end.
    """

    logits: np.ndarray
    num_windows: np.ndarray
    num_truncated: int


def answers_of(predictor: Predictor, texts: Sequence[str]) -> Answers:
    """Return the answers of a model.

    Raises:
        InputError: the model fails.
    """
    rows = progress(_answers(predictor, texts), "classifying", " texts", len(texts))
    logits, num_windows, is_truncated = zip(*rows, strict=True)
    return Answers(np.stack(logits), np.array(num_windows), sum(is_truncated))


def _answers(predictor: Predictor, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, int, bool]]:
    """Yield the logits of one text after another, (outputs,), its number of windows, and whether it is truncated."""
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        windows = predictor.encode(texts[start : start + TEXTS_AT_ONCE])
        logits = windows.document_logits(predictor.window_logits(windows.input_ids))
        yield from zip(logits, np.bincount(windows.text_index).tolist(), windows.is_truncated.tolist(), strict=True)


def marker_of(predictor: Predictor, texts: Sequence[str]) -> Callable[[Mistake], str]:
    """Return a function that turns a mistake into the HTML of its text, with the words marked that caused it."""
    return functools.partial(_marked, predictor, texts)


def _marked(predictor: Predictor, texts: Sequence[str], mistake: Mistake) -> str:
    text = texts[mistake.row]
    explanation = explain(predictor, text, predictor.labels.names[mistake.label], MOST_TOKENS)
    end = explanation.words[-1].end if explanation.words else 2 * MOST_TOKENS
    end = end if end + SHORT_REST < len(text) else None
    escape = functools.partial(escaped, keep="\n\t")
    return marked_as_html(explanation, end, escape) + ("" if end is None else "…")


def robustness_of(
    predictor: Predictor, texts: Sequence[str], labels: np.ndarray
) -> tuple[list[PerturbationResult], int]:
    """Return the results of a model on perturbed texts, and how many texts they are, at most `MOST_PERTURBED`.

    Args:
        predictor: the model.
        texts: the texts of a test.
        labels: their labels, (texts,) or (texts, labels), see `LabelSet`.
    """
    rows = np.sort(np.random.default_rng(SEED).permutation(len(texts))[:MOST_PERTURBED])
    # One step for the texts themselves and one for each perturbation.
    steps = progress(range(1 + len(PERTURBATIONS)), "perturbing texts", " steps", 1 + len(PERTURBATIONS))

    def predict_proba(some: list[str]) -> np.ndarray:
        next(steps, None)
        return predictor.predict_proba(some)

    sample = [texts[row] for row in rows]
    results = measure_robustness(predict_proba, sample, labels[rows], predictor.labels, SEED, predictor.threshold)
    next(steps, None)  # ends the line of the progress
    return results, len(rows)
