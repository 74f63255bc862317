"""One way from a text to a verdict, for the one-shot call, the prompt and programs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.keras_runtime import KerasRuntime
from text.commands import InputError
from text.tokenizer import special_ids, tokenizer_from_json
from text.windows import encode_windows


@dataclass(frozen=True)
class Prediction:
    """The verdict on one text.

    Attributes:
        text: as it was given.
        label: the name of the verdict, such as 正面; None where the text has none.
        probability: of the text being positive, 0..1; None where the text has no verdict.
        confidence: the probability of the verdict: `probability`, or 1 minus it for a negative one.
        cut: whether the text is longer than the model reads, so that its end was not looked at.
        problem: why the text has no verdict; None where it has one.
    """

    text: str
    label: str | None = None
    probability: float | None = None
    confidence: float | None = None
    cut: bool = False
    problem: str | None = None


class Predictor:
    """Answers with a trained model.

    Args:
        model_path: a `.keras` file that `fine_tuning.py` or `model.py` wrote.
        threshold: the lowest probability of a positive verdict, 0..1; None takes the model's own.

    Raises:
        InputError: the model cannot be loaded, or the threshold is out of range.
    """

    def __init__(self, model_path: str | os.PathLike, threshold: float | None = None):
        self._runtime = KerasRuntime(model_path)
        self._tokenizer = tokenizer_from_json(self._runtime.tokenizer_json, where=str(model_path))
        self._not_text = special_ids(self._tokenizer)
        metadata = self._runtime.metadata
        self.negative_label, self.positive_label = metadata.get("labels", ("负面", "正面"))
        self.max_windows = metadata.get("max_windows", 1)
        self.threshold = metadata.get("threshold", 0.7) if threshold is None else threshold
        if not 0 <= self.threshold <= 1:
            raise InputError(f"the threshold must be from 0 to 1, and {self.threshold} is not")

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Returns one prediction a text, in their order; one that cannot be judged says why in `problem`."""
        readable = [text if _is_unicode(text) else "" for text in texts]
        windows = encode_windows(self._tokenizer, readable, self._runtime.max_seq_len, self.max_windows)
        knows_something = windows.mean(self._is_known(windows.input_ids).any(axis=1)) > 0
        problems = [_problem(text, known) for text, known in zip(texts, knows_something, strict=True)]
        judged = np.array([problem is None for problem in problems], bool)[windows.text_index]
        probabilities = np.full(len(judged), 0.5)  # of the others, which are not looked at
        if judged.any():
            probabilities[judged] = self._runtime.probabilities(windows.input_ids[judged])
        return [
            Prediction(text, problem=problem) if problem else self._verdict(text, float(probability), bool(is_cut))
            for text, problem, probability, is_cut in zip(
                texts, problems, windows.text_probabilities(probabilities), windows.is_cut, strict=True
            )
        ]

    def _is_known(self, input_ids: np.ndarray) -> np.ndarray:
        """Returns bool, as `input_ids`: whether there stands a token of the text that the model knows."""
        return ~np.isin(input_ids, self._not_text)

    def _verdict(self, text: str, probability: float, cut: bool) -> Prediction:
        positive = probability >= self.threshold
        return Prediction(
            text,
            self.positive_label if positive else self.negative_label,
            probability,
            probability if positive else 1 - probability,
            cut,
        )


def _problem(text: str, knows_something: bool) -> str | None:
    if not _is_unicode(text):
        return "the text is not valid Unicode"
    if not text.strip():
        return "the text is empty"
    return None if knows_something else "the model knows no character of the text"


def _is_unicode(text: str) -> bool:
    """Returns whether the text is free of halves of surrogate pairs, as undecodable bytes leave them."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
