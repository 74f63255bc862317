"""Which words pushed a prediction: by what becomes of it without them.

Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure" (2016), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from serving.predictor import Prediction, Predictor
from text.tokens.windows import Windows

CLASSIFY_OFFSET = 1  # [CLS] stands before the first token of a window
MOST_TOKENS = 2000  # what a person might look at; time and memory grow with its product with the number of windows


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, as the tokenizer cuts it.

    Attributes:
        text: as it stands in the text.
        start, end: where, in characters.
        effect: by how much it raises the logit of the text's being positive; below 0 it lowers it.
    """

    text: str
    start: int
    end: int
    effect: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A prediction and the words of its text, in their order; no words where there is no prediction.

    Attributes:
        logit: of the text being positive, after calibration.
    """

    prediction: Prediction
    words: list[Word]
    logit: float = 0.0

    def strongest(self, count: int) -> list[Word]:
        """Return the words whose removal changes the probability most, the strongest first.

        All push in the same direction, the one whose words together move the probability further; otherwise their
        effects would cancel.
        """

        def shift(words: list[Word]) -> tuple[float, float]:
            push = sum(word.effect for word in words)
            # The second decides where the first is rounded to nothing.
            return abs(_probability(self.logit - push) - _probability(self.logit)), abs(push)

        if not self.words:
            return []
        return max((self.pushing(direction)[:count] for direction in (1, -1)), key=shift)

    def pushing(self, direction: int) -> list[Word]:
        """Return the words that push towards the positive (1) or the negative (-1), the strongest first."""
        pushing = (word for word in self.words if word.effect * direction > 0)
        return sorted(pushing, key=lambda word: -abs(word.effect))


class _Occlusions(NamedTuple):
    """Which token is left out of which window; a token in overlapping windows is left out of each.

    Attributes:
        tokens: (occlusions,), the number of the token in the text.
        windows: (occlusions,), the number of the window.
        positions: (occlusions,), where the token stands in the window.
    """

    tokens: np.ndarray
    windows: np.ndarray
    positions: np.ndarray


def explain(predictor: Predictor, text: str) -> Explanation:
    """Return the prediction for a text with the effect of each word.

    Each word is left out of the windows that it stands in, all in one batch; no gradients are needed. Words behind the
    first `MOST_TOKENS` tokens are left as they are.
    """
    reading = predictor.read(text)
    if reading.problem:
        return Explanation(Prediction(text, problem=reading.problem), [])
    occlusions = _occlusions(reading.spans)
    num_windows = len(reading.spans)
    input_ids = np.concatenate([reading.windows.input_ids, _shortened(reading.windows.input_ids, occlusions)])
    logits = predictor.window_logits(input_ids)
    whole, occluded = logits[:num_windows], logits[num_windows:]
    prediction = predictor.to_predictions([text], reading.windows, whole)[0]

    tokens = np.unique(occlusions.tokens)  # the others lie behind the last window
    text_logits = _variant_logits(reading.windows, tokens, occlusions, whole, occluded)[:, 0] / predictor.temperature
    words = _words(text, [reading.offsets[token] for token in tokens], text_logits[0] - text_logits[1:])
    return Explanation(prediction, words, float(text_logits[0]))


def _occlusions(spans: list[tuple[int, int]]) -> _Occlusions:
    """Return what is left out of a text whose windows hold the tokens of `spans`."""
    tokens = np.concatenate([np.arange(start, end) for start, end in spans])
    windows = np.repeat(np.arange(len(spans)), [end - start for start, end in spans])
    positions = np.concatenate([np.arange(end - start) for start, end in spans]) + CLASSIFY_OFFSET
    is_examined = tokens < MOST_TOKENS
    return _Occlusions(tokens[is_examined], windows[is_examined], positions[is_examined])


def _shortened(input_ids: np.ndarray, occlusions: _Occlusions) -> np.ndarray:
    """Return the windows, (occlusions, max_seq_len), each without its token."""
    shortened = input_ids[occlusions.windows]
    is_after = np.arange(shortened.shape[1] - 1) >= occlusions.positions[:, None]
    shortened[:, :-1] = np.where(is_after, shortened[:, 1:], shortened[:, :-1])
    shortened[:, -1] = 0
    return shortened


def _variant_logits(
    windows: Windows, tokens: np.ndarray, occlusions: _Occlusions, whole: np.ndarray, occluded: np.ndarray
) -> np.ndarray:
    """Return the logits, (1 + tokens, outputs), of the whole text, and of the text without each token.

    Args:
        tokens: the numbers of the tokens that are left out.
        whole: (windows, outputs), the logits of the windows.
        occluded: (occlusions, outputs), those of the windows that lack a token.
    """
    num_variants = 1 + len(tokens)
    variants = np.tile(whole, (num_variants, 1, 1))
    variants[1 + np.searchsorted(tokens, occlusions.tokens), occlusions.windows] = occluded
    text_index = np.repeat(np.arange(num_variants), len(whole))
    # A window counts by its tokens, also by the one that is left out of it.
    num_tokens = np.tile(windows.num_tokens, num_variants)
    repeated = windows._replace(num_tokens=num_tokens, text_index=text_index, is_truncated=np.zeros(num_variants, bool))
    return repeated.document_logits(variants.reshape(-1, whole.shape[1]))


def _probability(logit: float) -> float:
    return float(np.exp(-np.logaddexp(0, -logit)))


def _words(text: str, offsets: list[tuple[int, int]], effects: np.ndarray) -> list[Word]:
    """Return the words; tokens that are made of the same characters are one."""
    words = []
    for (start, end), effect in zip(offsets, effects.tolist(), strict=True):
        if words and start < words[-1].end:
            earlier = words.pop()
            start, end, effect = earlier.start, max(earlier.end, end), earlier.effect + effect
        if start < end:
            words.append(Word(text[start:end], start, end, effect))
    return words
