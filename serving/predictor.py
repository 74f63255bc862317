"""Predict the labels of texts: the one path used by the command line, the prompt, files and programs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from serving.prediction import NOTHING_KNOWN, SPREAD_REMARK, TRUNCATED_REMARK, Prediction
from serving.runtimes.selection import open_runtime
from system.errors import InputError
from system.files import sha256_of_file
from text.labels import Threshold
from text.tables.problems import text_problem
from text.tokens.checks.panics import UNREADABLE, panics_as_input_error
from text.tokens.tokenizer import special_ids, tokenizer_from_json
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import Windows, encode_windows, windows_of

CALIBRATED = "auto"
BATCH_SIZE = 32


class Reading(NamedTuple):
    """A text as the model reads it.

    Attributes:
        windows: the windows of the text.
        offsets: the start and end of each token in the text, in characters.
        spans: the index of each window's first token, and the index after its last token.
        problem: why there can be no prediction; None if there can.
    """

    windows: Windows
    offsets: list[tuple[int, int]]
    spans: list[tuple[int, int]]
    problem: str | None


class Predictor:
    """A trained model that predicts labels; several threads may use it at once.

    Example:
        >>> predictor = Predictor("mini_bert_sentiment_classifier.keras")
        >>> predictor.predict(["房间很干净。"])[0].label
        '正面'

    Args:
        model_path: a `.keras` file that `fine_tuning.py` or `model.py` wrote, or an `.onnx` file.
        threshold: of two labels, the lowest probability of the second one at which a text gets it, 0..1. None: 0.7 for
            negative and positive, 0.5 for other pairs; "auto": the best threshold on the model's validation split. If
            a text may have several labels: one number for all labels or one for each; None and "auto": the best
            thresholds on the validation split. Otherwise more labels have no threshold.
        abstain: which texts stay undecided; None: no text. Of two labels (low, high): those for which the probability
            of the second label is between the two, both excluded. Otherwise the lowest confidence of a decided text.
        runtime: "auto", "onnx" or "keras"; see `serving.runtimes.selection.open_runtime`.
        batch_size: the maximum number of windows per batch.
        windows: fields of `WindowSettings` to change from the settings of the model's training; `max_windows` also
            replaces their `spread_windows`, and the other way round.

    Attributes:
        model_path: the model file.
        tokenizer: the tokenizer of the model.
        labels: the labels, in the order of the columns of `predict_proba`.
        window_settings: how texts are split into windows; assign to `windows` to change it.
        temperature: the divisor of the logits of a text.

    Raises:
        InputError: the model cannot be loaded, or an argument is out of range.
    """

    def __init__(
        self,
        model_path: str | os.PathLike,
        threshold: Threshold | str = None,
        *,
        abstain: tuple[float, float] | float | None = None,
        runtime: str = "auto",
        batch_size: int = BATCH_SIZE,
        windows: dict[str, int | str | None] | None = None,
    ) -> None:
        if not isinstance(batch_size, int | np.integer) or isinstance(batch_size, bool) or batch_size < 1:
            raise InputError(f"the batch size must be a whole number above 0, not {batch_size!r}")
        self.model_path = model_path
        self._runtime = open_runtime(model_path, runtime)
        self.tokenizer = tokenizer_from_json(self._runtime.tokenizer_file, str(model_path), self._runtime.vocab_size)
        self._special_ids = special_ids(self.tokenizer)
        self._metadata = self._runtime.metadata
        self.labels = self._metadata.labels
        self.temperature = self._metadata.temperature
        try:
            self._metadata.windows.capacity(self._runtime.max_seq_len)
        except InputError as error:
            raise InputError(f"{model_path}: the metadata of the model cannot be used: windows: {error}") from None
        self.windows = windows or {}
        self.batch_size = int(batch_size)
        self.abstain = abstain
        self.threshold = threshold

    @property
    def runtime(self) -> str:
        """The name of the runtime in use: "onnx" or "keras"."""
        return self._runtime.name

    @property
    def windows(self) -> dict[str, int | str | None]:
        """The fields of `WindowSettings` that are changed from the settings of the model's training."""
        return self._windows

    @windows.setter
    def windows(self, value: dict[str, int | str | None]) -> None:
        names = [field.name for field in dataclasses.fields(WindowSettings)]
        if unknown := value.keys() - set(names):
            raise InputError(f"unknown window setting {min(unknown)!r}; choose from {', '.join(names)}")
        settings = self._metadata.windows.replaced(value)
        settings.capacity(self._runtime.max_seq_len)  # raises an InputError if they do not fit
        self._windows, self.window_settings = value, settings

    @property
    def truncated_remark(self) -> str:
        """What to say about a text of which parts were ignored."""
        # A single window is at the beginning.
        return TRUNCATED_REMARK if self.window_settings.spread_windows in (None, 1) else SPREAD_REMARK

    @property
    def threshold(self) -> float | tuple[float, ...] | None:
        """The lowest probability at which a text gets the second of two labels, or each of several; else None."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: Threshold | str) -> None:
        is_several = self.labels.multi_label
        if value is None and not is_several:
            self._threshold = self.labels.default_threshold
        elif not is_several and not self.labels.is_binary:
            raise InputError(f"a threshold decides between two labels only; this model has {len(self.labels.names)}")
        elif value is None or (isinstance(value, str) and value == CALIBRATED):
            self._threshold = self._metadata.threshold
        else:
            count = len(self.labels.names) if is_several else 1
            each = list(value) if is_several and isinstance(value, Sequence | np.ndarray) else [value] * count
            if len(each) != count or not all(_is_number(one) and 0 <= one <= 1 for one in each):
                raise InputError(f"the threshold must be a number from 0 to 1, or 'auto', not {value!r}")
            self._threshold = tuple(map(float, each)) if is_several else float(value)

    @property
    def abstain(self) -> tuple[float, float] | float | None:
        """The probabilities between which a text of two labels stays undecided; else the lowest confidence."""
        return self._abstain

    @abstain.setter
    def abstain(self, value: tuple[float, float] | float | None) -> None:
        if value is not None and self.labels.is_binary:
            is_pair = isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))
            if not (is_pair and 0 <= value[0] < value[1] <= 1):
                raise InputError(
                    f"abstain needs a lower and a higher number from 0 to 1, not {value!r}: this model has two labels"
                )
        elif value is not None and not (_is_number(value) and 0 <= value <= 1):
            raise InputError(
                f"abstain needs one number from 0 to 1, the lowest confidence, not {value!r}: this model has "
                f"{len(self.labels.names)} labels"
            )
        self._abstain = tuple(map(float, value)) if isinstance(value, Sequence) else value

    def description(self) -> dict:
        """Return all that predictions depend on, as JSON values; equal descriptions mean equal predictions."""
        return {
            "model": sha256_of_file(self.model_path),
            "runtime": self.runtime,
            "threshold": np.array(self.threshold).tolist(),
            "abstain": np.array(self.abstain).tolist(),
            "batch_size": self.batch_size,
            **dataclasses.asdict(self.window_settings),
        }

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Return one prediction per text, in the same order; `problem` says why a text has none.

        Raises:
            InputError: `texts` is one string; give a list of one string.
        """
        windows, is_known = self._encode_known(texts)
        return self._predictions(texts, windows, self._known_window_logits(windows, is_known), is_known)

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Return the probability of each label, float64, (texts, labels); NaN for texts without a prediction."""
        windows, is_known = self._encode_known(texts)
        probabilities = self._probabilities(windows, self._known_window_logits(windows, is_known))
        probabilities[~is_known] = np.nan
        return probabilities

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Return the logits of each text, float64, (texts, outputs), before calibration."""
        if not len(texts):
            return np.zeros((0, self.labels.num_outputs))
        windows = self.encode(texts)
        return windows.document_logits(self.window_logits(windows.input_ids))

    def read(self, text: str) -> Reading:
        """Return a text as the model reads it, with the position of each token."""
        with panics_as_input_error(UNREADABLE):
            encoding = self.tokenizer.encode(_readable(text), add_special_tokens=False)
        max_seq_len, settings = self._runtime.max_seq_len, self.window_settings
        windows = windows_of([encoding.ids], self.tokenizer, max_seq_len, settings)
        spans = settings.spans(len(encoding.ids), settings.capacity(max_seq_len))
        problem = None if self._is_known_text(windows)[0] else text_problem(text) or NOTHING_KNOWN
        return Reading(windows, encoding.offsets, spans, problem)

    def encode(self, texts: Iterable[str]) -> Windows:
        """Return the windows of the texts; what is no text is read as an empty one.

        Raises:
            InputError: `texts` is one string.
        """
        if isinstance(texts, str):  # a sequence too, of its characters
            raise InputError("the texts must be a list of strings, not one string")
        readable = map(_readable, texts)
        return encode_windows(self.tokenizer, readable, self._runtime.max_seq_len, self.window_settings)

    def window_logits(self, input_ids: np.ndarray) -> np.ndarray:
        """Return the logits, float32, (windows, outputs), of windows of ids, int32, (windows, max_seq_len).

        Raises:
            InputError: the model fails, or its logits are no numbers.
        """
        logits = self._runtime.logits(input_ids, self.batch_size)
        if logits.shape != (len(input_ids), self.labels.num_outputs) or not np.isfinite(logits).all():
            raise InputError(
                f"{self.model_path}: the network does not compute {self.labels.num_outputs} finite numbers of a text, "
                "so the file is damaged, or its training failed; use another model"
            )
        return logits

    def to_predictions(self, texts: Sequence[str], windows: Windows, window_logits: np.ndarray) -> list[Prediction]:
        """Return one prediction per text from the logits, (windows, outputs), of their windows."""
        return self._predictions(texts, windows, window_logits, self._is_known_text(windows))

    def _predictions(
        self, texts: Sequence[str], windows: Windows, window_logits: np.ndarray, is_known: np.ndarray
    ) -> list[Prediction]:
        probabilities = self._probabilities(windows, window_logits)
        threshold, abstain = self.threshold, self.abstain  # once, because another thread may set them meanwhile
        decisions = self.labels.decide(probabilities, threshold, abstain)
        # Of several labels the confidence says why a text is undecided, so it is that of the labels without `abstain`.
        decided = self.labels.decide(probabilities, threshold) if self.labels.multi_label else decisions
        confidences = self.labels.confidences(probabilities, decided)
        shown = probabilities[:, 1] if self.labels.is_binary else probabilities.max(axis=1, initial=0.0)
        columns = (is_known, decisions, shown, confidences, windows.is_truncated, probabilities)
        return [
            Prediction(
                text=text,
                label=self.labels.name(decision),
                probability=probability,
                confidence=confidence,
                is_truncated=is_truncated,
                probabilities=tuple(by_label),
                labels=self.labels.names_of(decision),
            )
            if is_known
            else Prediction(text, problem=text_problem(text) or NOTHING_KNOWN)
            for text, is_known, decision, probability, confidence, is_truncated, by_label in zip(
                texts, *(column.tolist() for column in columns), strict=True
            )
        ]

    def _probabilities(self, windows: Windows, window_logits: np.ndarray) -> np.ndarray:
        return self.labels.probabilities(windows.document_logits(window_logits) / self.temperature)

    def _encode_known(self, texts: Sequence[str]) -> tuple[Windows, np.ndarray]:
        """Return the windows of the texts, and whether the model knows any token of each, bool, (texts,)."""
        windows = self.encode(texts)
        return windows, self._is_known_text(windows)

    def _known_window_logits(self, windows: Windows, is_known_text: np.ndarray) -> np.ndarray:
        """Return the logits of the windows, zeros for texts of which the model knows no token."""
        is_known = is_known_text[windows.text_index]
        logits = np.zeros((len(is_known), self.labels.num_outputs), np.float32)
        if is_known.any():
            logits[is_known] = self.window_logits(windows.input_ids[is_known])
        return logits

    def _is_known_text(self, windows: Windows) -> np.ndarray:
        """Return whether the model knows any token of each text, bool, (texts,)."""
        is_known = np.zeros(len(windows.is_truncated), bool)
        np.logical_or.at(is_known, windows.text_index, ~np.isin(windows.input_ids, self._special_ids).all(axis=1))
        return is_known


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _readable(text: object) -> str:
    """Return the text, or "" if the tokenizer cannot read it."""
    return "" if text_problem(text) else text
