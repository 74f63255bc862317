"""One way from a text to a verdict, for the one-shot call, the prompt, files and programs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from serving.runtimes.selection import open_runtime
from system.errors import InputError
from text.tokens.tokenizer import special_ids, tokenizer_from_json
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import Windows, encode_windows

POSITIVE_THRESHOLD = 0.7
CALIBRATED = "auto"
BATCH_SIZE = 32
UNDECIDED = "不确定"
CUT_REMARK = "(only the beginning of this long text was read)"
NOT_UNICODE = "the text is not valid Unicode"
EMPTY = "the text is empty"
NOTHING_KNOWN = "the model knows no character of the text"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The verdict on one text.

    Attributes:
        text: as it was given.
        label: the name of the verdict, such as 正面; None where the text has none.
        probability: of the text being positive, 0..1; None where the text has no verdict.
        confidence: the probability of the verdict: `probability`, or 1 minus it for a negative one; of a text that is
            left undecided, the larger of the two.
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
    """Answers with a trained model; several threads may ask it at once.

    Args:
        model_path: a `.keras` file that `fine_tuning.py` or `model.py` wrote, or an `.onnx` file.
        threshold: the lowest probability of a positive verdict, 0..1; "auto" takes the one that the model's validation
            part says is best.
        abstain: (low, high), between which, both excluded, a text is left undecided; None decides all.
        runtime: "auto", "onnx" or "keras"; see `serving.runtimes.selection.open_runtime`.
        batch_size: windows, at most, that the network reads together.
        windows: values of `WindowSettings` that differ from those that the model was trained with.

    Attributes:
        labels: the names of the negative and of the positive verdict.
        settings: how it reads a text, `text.tokens.window_settings.WindowSettings`.

    Raises:
        InputError: the model cannot be loaded, or an argument is out of range.
    """

    def __init__(
        self,
        model_path: str | os.PathLike,
        threshold: float | str = POSITIVE_THRESHOLD,
        *,
        abstain: tuple[float, float] | None = None,
        runtime: str = "auto",
        batch_size: int = BATCH_SIZE,
        windows: dict | None = None,
    ):
        self._runtime = open_runtime(model_path, runtime)
        self._tokenizer = tokenizer_from_json(self._runtime.tokenizer_file, where=str(model_path))
        self._not_text = special_ids(self._tokenizer)
        metadata = self._runtime.metadata
        self.labels = tuple(metadata.get("labels", ("负面", "正面")))
        self.temperature = metadata.get("temperature", 1.0)
        self._calibrated_threshold = metadata.get("threshold", POSITIVE_THRESHOLD)
        self.settings = WindowSettings(**metadata.get("windows", {}) | (windows or {}))
        self.settings.capacity(self._runtime.max_seq_len)  # raises where they do not fit
        self.batch_size = batch_size
        self.abstain = abstain
        self.threshold = threshold

    @property
    def runtime(self) -> str:
        """The name of the runtime in use: "onnx" or "keras"."""
        return self._runtime.name

    @property
    def threshold(self) -> float:
        """The lowest probability of a positive verdict."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float | str) -> None:
        value = self._calibrated_threshold if value == CALIBRATED else value
        if not 0 <= value <= 1:
            raise InputError(f"the threshold must be from 0 to 1, and {value} is not")
        self._threshold = value

    @property
    def abstain(self) -> tuple[float, float] | None:
        """The probabilities between which a text is left undecided."""
        return self._abstain

    @abstain.setter
    def abstain(self, value: tuple[float, float] | None) -> None:
        if value is not None and not 0 <= value[0] < value[1] <= 1:
            raise InputError(f"to abstain takes a lower and a higher number from 0 to 1, not {value[0]} and {value[1]}")
        self._abstain = value

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Returns one prediction a text, in their order; one that cannot be judged says why in `problem`."""
        readable = [text if _is_unicode(text) else "" for text in texts]
        windows = self.encode(readable)
        knows_something = np.zeros(len(texts), bool)
        np.logical_or.at(knows_something, windows.text_index, self.is_known(windows.input_ids).any(axis=1))
        problems = [_problem(text, known) for text, known in zip(texts, knows_something, strict=True)]
        judged = knows_something[windows.text_index]
        probabilities = np.full(len(judged), 0.5)  # of the others, which are not looked at
        if judged.any():
            probabilities[judged] = self.window_probabilities(windows.input_ids[judged])
        return [
            Prediction(text, problem=problem) if problem else self._verdict(text, probability, is_cut)
            for text, problem, probability, is_cut in zip(
                texts,
                problems,
                windows.text_probabilities(probabilities, self.temperature).tolist(),
                windows.is_cut.tolist(),
                strict=True,
            )
        ]

    def raw_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the probability of each text to be positive, (n,), as the network says it, before calibration."""
        windows = self.encode(texts)
        return windows.text_probabilities(self.window_probabilities(windows.input_ids))

    def encode(self, texts: Iterable[str]) -> Windows:
        """Returns the windows of the texts, as the model reads them."""
        return encode_windows(self._tokenizer, texts, self._runtime.max_seq_len, self.settings)

    def tokens(self, text: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Returns where each token stands in the text, in characters, and which tokens each window holds."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets, self.settings.spans(len(offsets), self.settings.capacity(self._runtime.max_seq_len))

    def window_probabilities(self, input_ids: np.ndarray) -> np.ndarray:
        """Returns the probability of each window to be positive, (n,), for int32 ids of (n, max_seq_len), n > 0."""
        return self._runtime.probabilities(input_ids, self.batch_size)

    def is_known(self, input_ids: np.ndarray) -> np.ndarray:
        """Returns bool, as `input_ids`: whether there stands a token of the text that the model knows."""
        return ~np.isin(input_ids, self._not_text)

    def _verdict(self, text: str, probability: float, cut: bool) -> Prediction:
        if self.abstain and self.abstain[0] < probability < self.abstain[1]:
            return Prediction(text, UNDECIDED, probability, max(probability, 1 - probability), cut)
        positive = probability >= self.threshold
        return Prediction(text, self.labels[positive], probability, probability if positive else 1 - probability, cut)


def _problem(text: str, knows_something: bool) -> str | None:
    if knows_something:
        return None
    if not _is_unicode(text):
        return NOT_UNICODE
    return NOTHING_KNOWN if text.strip() else EMPTY


def _is_unicode(text: str) -> bool:
    """Returns whether the text is free of halves of surrogate pairs, as undecodable bytes leave them."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
