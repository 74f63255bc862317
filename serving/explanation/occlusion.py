"""Measure how much each word influenced a prediction, by leaving it out.

Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure" (2016), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from serving.prediction import Prediction
from serving.predictor import Predictor
from system.errors import InputError
from text.labels import LabelSet
from text.tokens.windows import Windows

CLASSIFY_OFFSET = 1  # [CLS] comes before the first token of a window
MOST_TOKENS = 2000  # more than a person reads; time and memory grow with the tokens times the windows


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text: one token, or several that share characters.

    Attributes:
        text: the characters of the word.
        start: the position of its first character in the text.
        end: the position after its last character.
        effect: the log-odds of the label that is explained for the whole text, minus those without the word; positive
            if the word pushes towards the label.
    """

    text: str
    start: int
    end: int
    effect: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A prediction and the words of its text.

    Attributes:
        prediction: the prediction for the text.
        words: the words in the order of the text; empty without a prediction.
        logit: the log-odds of the label that is explained, after calibration.
        label: the name of that label; None without a prediction.
        other_label: the name of the other label, if there are two.
        remark: what to say about the text if parts of it were ignored; else empty.
    """

    prediction: Prediction
    words: list[Word]
    logit: float = 0.0
    label: str | None = None
    other_label: str | None = None
    remark: str = ""

    @property
    def directions(self) -> tuple[str, str]:
        """Where words of positive and of negative effect push: ("towards 正面", "towards 负面")."""
        against = f"towards {self.other_label}" if self.other_label else f"away from {self.label}"
        return f"towards {self.label}", against

    def strongest(self, count: int) -> list[Word]:
        """Return the words whose removal changes the probability most, the strongest first.

        All push in the same direction, because otherwise their effects would cancel. It is the direction whose words
        together change the probability more.
        """

        def shift(words: list[Word]) -> tuple[float, float]:
            push = sum(word.effect for word in words)
            # The second value decides if the first is rounded to 0.
            return abs(_probability(self.logit - push) - _probability(self.logit)), abs(push)

        if not self.words:
            return []
        return max((self.pushing(direction)[:count] for direction in (1, -1)), key=shift)

    def pushing(self, direction: int) -> list[Word]:
        """Return the words that push towards the label (1) or away from it (-1), the strongest first."""
        pushing = (word for word in self.words if word.effect * direction > 0)
        return sorted(pushing, key=lambda word: -abs(word.effect))


class _Occlusions(NamedTuple):
    """Pairs of a token and a window that it is left out of; a token of overlapping windows has several.

    Attributes:
        tokens: the index of the token in the text, (occlusions,).
        windows: the index of the window, (occlusions,).
        positions: the position of the token in the window, (occlusions,).
    """

    tokens: np.ndarray
    windows: np.ndarray
    positions: np.ndarray


def check_label(labels: LabelSet, name: str) -> None:
    """Raise an InputError if there is no such label."""
    if name not in labels.names:
        raise InputError(f"the model has no label {name!r} to explain; choose from {', '.join(labels.names)}")


def explain(predictor: Predictor, text: str, label: str | None = None, most_tokens: int = MOST_TOKENS) -> Explanation:
    """Return the prediction for a text with the effect of each word.

    Each token is left out of the windows that contain it, all in one batch; no gradients are needed.

    Args:
        predictor: the model.
        text: the text.
        label: the name of the label to explain; None: the second of two labels, the most probable one of more labels.
        most_tokens: only so many tokens are examined, the first ones that the model reads.

    Raises:
        InputError: there is no such label.
    """
    if label is not None:
        check_label(predictor.labels, label)
    reading = predictor.read(text)
    if reading.problem:
        return Explanation(Prediction(text, problem=reading.problem), [])
    occlusions = _occlusions(reading.spans, most_tokens)
    num_windows = len(reading.spans)
    input_ids = np.concatenate([reading.windows.input_ids, _shortened(reading.windows.input_ids, occlusions)])
    logits = predictor.window_logits(input_ids)
    whole, occluded = logits[:num_windows], logits[num_windows:]
    prediction = predictor.to_predictions([text], reading.windows, whole)[0]

    tokens = np.unique(occlusions.tokens)  # no window contains the others
    text_logits = _variant_logits(reading.windows, tokens, occlusions, whole, occluded) / predictor.temperature
    index = _label_to_explain(predictor.labels, prediction, label)
    log_odds = predictor.labels.log_odds(text_logits, index)
    whole_logit, logits_without_token = log_odds[0], log_odds[1:]
    words = _words(text, [reading.offsets[token] for token in tokens], whole_logit - logits_without_token)
    names = predictor.labels.names
    other_label = names[1 - index] if predictor.labels.is_binary else None
    remark = predictor.truncated_remark if prediction.is_truncated else ""
    return Explanation(prediction, words, float(whole_logit), names[index], other_label, remark)


def _label_to_explain(labels: LabelSet, prediction: Prediction, label: str | None) -> int:
    if label is not None:
        return labels.names.index(label)
    # Of two labels always the same one, so that a colour has the same meaning in all texts.
    return 1 if labels.is_binary else int(np.argmax(prediction.probabilities))


def _occlusions(spans: list[tuple[int, int]], most_tokens: int) -> _Occlusions:
    """Return which token to leave out of which window, for windows of the tokens in `spans`."""
    tokens = np.concatenate([np.arange(start, end) for start, end in spans])
    windows = np.repeat(np.arange(len(spans)), [end - start for start, end in spans])
    positions = np.concatenate([np.arange(end - start) for start, end in spans]) + CLASSIFY_OFFSET
    is_examined = np.isin(tokens, np.unique(tokens)[:most_tokens])
    return _Occlusions(tokens[is_examined], windows[is_examined], positions[is_examined])


def _shortened(input_ids: np.ndarray, occlusions: _Occlusions) -> np.ndarray:
    """Return the windows without their tokens, (occlusions, max_seq_len): later tokens move forward."""
    shortened = input_ids[occlusions.windows]
    is_moved = np.arange(shortened.shape[1] - 1) >= occlusions.positions[:, None]
    shortened[:, :-1] = np.where(is_moved, shortened[:, 1:], shortened[:, :-1])
    shortened[:, -1] = 0  # padding
    return shortened


def _variant_logits(
    windows: Windows, tokens: np.ndarray, occlusions: _Occlusions, whole: np.ndarray, occluded: np.ndarray
) -> np.ndarray:
    """Return the logits of the whole text and of the text without each token, (1 + tokens, outputs).

    Args:
        windows: the windows of the whole text.
        tokens: the sorted indices of the tokens that are left out.
        occlusions: the token and the window of each row of `occluded`.
        whole: the logits of the windows, (windows, outputs).
        occluded: the logits of the windows that lack a token, (occlusions, outputs).
    """
    num_variants, num_windows = 1 + len(tokens), len(whole)
    # (variants, windows, outputs): the logits of the whole text, except for the windows that lack a token.
    variants = np.tile(whole, (num_variants, 1, 1))
    variants[1 + np.searchsorted(tokens, occlusions.tokens), occlusions.windows] = occluded
    # The variants are aggregated as texts of as many windows; a window keeps its weight when it lacks a token.
    repeated = windows._replace(
        num_tokens=np.tile(windows.num_tokens, num_variants),
        text_index=np.repeat(np.arange(num_variants), num_windows),
        is_truncated=np.zeros(num_variants, bool),
    )
    return repeated.document_logits(variants.reshape(num_variants * num_windows, -1))


def _probability(logit: float) -> float:
    return float(np.exp(-np.logaddexp(0, -logit)))


def _words(text: str, offsets: list[tuple[int, int]], effects: np.ndarray) -> list[Word]:
    """Return the words; tokens that share characters form one word, whose effect is their sum."""
    words = []
    for (start, end), effect in zip(offsets, effects.tolist(), strict=True):
        if words and start < words[-1].end:
            earlier = words.pop()
            start, end, effect = earlier.start, max(earlier.end, end), earlier.effect + effect
        if start < end:
            words.append(Word(text[start:end], start, end, effect))
    return words
