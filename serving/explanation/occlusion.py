"""Says which words pushed a verdict: by what becomes of it without them.

Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure" (2016), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.predictor import Prediction, Predictor
from text.tokens.windows import Windows, logits

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
    """A verdict and the words of its text, in their order; none where there is no verdict."""

    prediction: Prediction
    words: list[Word]

    def strongest(self, count: int) -> list[Word]:
        """Returns the words without which the probability would be furthest from what it is, the strongest first.

        They all push the same way, or leaving them out would undo itself: the way in which the sum of their effects
        moves the probability further.
        """
        if not self.words:
            return []
        logit = logits(self.prediction.probability)

        def shift(words: list[Word]) -> tuple[float, float]:
            push = sum(word.effect for word in words)
            # The second decides where the first is rounded to nothing.
            return abs(np.exp(-np.logaddexp(0, push - logit)) - np.exp(-np.logaddexp(0, -logit))), abs(push)

        return max((self.pushing(direction)[:count] for direction in (1, -1)), key=shift)

    def pushing(self, direction: int) -> list[Word]:
        """Returns the words that push towards the positive (1) or the negative (-1), the strongest first."""
        pushing = (word for word in self.words if word.effect * direction > 0)
        return sorted(pushing, key=lambda word: -abs(word.effect))


def explain(predictor: Predictor, text: str) -> Explanation:
    """Returns the verdict on a text with the effect of each word.

    Each word is left out of the windows that it stands in, all in one batch; no gradients are needed. Words behind the
    first `MOST_TOKENS` tokens are left as they are.
    """
    prediction = predictor.predict([text])[0]
    if prediction.problem:
        return Explanation(prediction, [])
    offsets, spans = predictor.tokens(text)
    windows = predictor.encode([text])
    # Which token is left out of which window.
    tokens = np.concatenate([np.arange(start, end) for start, end in spans])
    rows = np.repeat(np.arange(len(spans)), [end - start for start, end in spans])
    positions = np.concatenate([np.arange(end - start) for start, end in spans]) + CLASSIFY_OFFSET
    is_examined = tokens < MOST_TOKENS
    tokens, rows, positions = tokens[is_examined], rows[is_examined], positions[is_examined]
    shortened = windows.input_ids[rows]
    is_after = np.arange(shortened.shape[1] - 1) >= positions[:, None]
    shortened[:, :-1] = np.where(is_after, shortened[:, 1:], shortened[:, :-1])
    shortened[:, -1] = 0

    whole, *without = np.split(
        predictor.window_probabilities(np.concatenate([windows.input_ids, shortened])), [len(spans)]
    )
    read = np.unique(tokens)  # the others lie behind the last window
    variants = np.tile(whole, (len(read), 1))
    variants[np.searchsorted(read, tokens), rows] = without[0]
    count = len(read) + 1
    text_index = np.repeat(np.arange(count), len(spans))
    # A window counts by its tokens, also by the one that is left out of it.
    num_tokens = np.tile(windows.num_tokens, count)
    all_variants = Windows(windows.input_ids, num_tokens, text_index, np.zeros(count, bool), windows.aggregate)
    probabilities = all_variants.text_probabilities(np.append(whole, variants.ravel()), predictor.temperature)
    effects = logits(probabilities[0]) - logits(probabilities[1:])
    return Explanation(prediction, _words(text, [offsets[token] for token in read], effects))


def _words(text: str, offsets: list[tuple[int, int]], effects: np.ndarray) -> list[Word]:
    """Returns the words; tokens that are made of the same characters are one."""
    words = []
    for (start, end), effect in zip(offsets, effects.tolist(), strict=True):
        if words and start < words[-1].end:
            earlier = words.pop()
            start, end, effect = earlier.start, max(earlier.end, end), earlier.effect + effect
        if start < end:
            words.append(Word(text[start:end], start, end, effect))
    return words
