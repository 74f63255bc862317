"""Long texts as windows: a text of more tokens than the network reads at once is read piece by piece.

Each window is judged alone; the text's logit is made of its windows' logits. How, `WindowSettings` says: a model file
keeps the settings that the model was trained with, and training, evaluation and serving read texts by them.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from text.commands import InputError
from text.tokenizer import CLASSIFY, SEPARATE

NUM_SPECIAL_TOKENS = 2  # [CLS] before a window, [SEP] after it
SMALLEST_PROBABILITY = 1e-7  # a float32 next to 1 is not much nearer to it
AGGREGATES = ("harmonic", "mean", "max", "logsumexp")


@dataclass(frozen=True)
class WindowSettings:
    """How a text is read in windows, and how one verdict is made of theirs.

    Attributes:
        window: tokens a window, the two special ones included; None takes as many as the model reads at once.
        stride: most tokens from one window's start to the next one's; windows overlap then, all are full, and the last
            ends where the text does. None puts them side by side, and the last holds what is left.
        max_windows: how many windows of a text are read, from its beginning on; None reads all of it.
        aggregate: what the text's logit is of those of its windows: their "mean", in which each counts by its tokens; a
            mean in which the n-th counts 1/n of that ("harmonic", since reviews say at their beginning what they are
            about); their maximum; or between the two the logarithm of the mean of their exponentials ("logsumexp",
            less its growth with the number of windows).

    Raises:
        InputError: one of the values is none that can be meant.
    """

    window: int | None = None
    stride: int | None = None
    max_windows: int | None = None
    aggregate: str = "harmonic"

    def __post_init__(self):
        if self.window is not None and self.window <= NUM_SPECIAL_TOKENS:
            raise InputError(f"a window of {self.window} tokens has no room beside the two special ones")
        if self.stride is not None and self.stride < 1:
            raise InputError(f"a stride of {self.stride} tokens leads nowhere: it must be at least 1")
        if self.aggregate not in AGGREGATES:
            raise InputError(f"the windows' logits are aggregated by {', '.join(AGGREGATES)}, not by {self.aggregate}")

    def capacity(self, max_seq_len: int) -> int:
        """Returns the tokens of a text that a window holds, for a network that reads `max_seq_len` tokens at once.

        Raises:
            InputError: the window is longer than that, or the stride longer than the window.
        """
        window = self.window or max_seq_len
        if window > max_seq_len:
            raise InputError(f"a window of {window} tokens is too long: the model reads {max_seq_len} at once")
        capacity = window - NUM_SPECIAL_TOKENS
        if self.stride is not None and self.stride > capacity:
            raise InputError(
                f"a stride of {self.stride} tokens leaves some unread: a window of {window} holds {capacity} of a text"
            )
        return capacity

    def spans(self, num_tokens: int, capacity: int) -> list[tuple[int, int]]:
        """Returns where the windows of a text of `num_tokens` tokens start and end, at least one."""
        if num_tokens <= capacity:
            return [(0, num_tokens)]
        if self.stride is None:
            starts = range(0, num_tokens, capacity)
        else:
            steps = -(-(num_tokens - capacity) // self.stride)
            starts = [(num_tokens - capacity) * number // steps for number in range(steps + 1)]
        return [(start, min(start + capacity, num_tokens)) for start in starts[: self.max_windows]]


class Windows(NamedTuple):
    """The windows of some texts, one text's after the other's.

    Attributes:
        input_ids: int32, (windows, max_seq_len); 0 is padding.
        num_tokens: int32, (windows,), how many tokens of its text a window holds.
        text_index: int32, (windows,), which text a window belongs to; every text has at least one.
        is_cut: bool, (texts,), whether a text has more tokens than its windows hold.
        aggregate: see `WindowSettings`.
    """

    input_ids: np.ndarray
    num_tokens: np.ndarray
    text_index: np.ndarray
    is_cut: np.ndarray
    aggregate: str = WindowSettings.aggregate

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs of the network."""
        return {"input_ids": self.input_ids, "token_type_ids": np.zeros_like(self.input_ids)}

    @property
    def weights(self) -> np.ndarray:
        """The share that each window has in its text, float32, (windows,)."""
        weights = np.maximum(self.num_tokens, 1.0)  # a text may have none
        if self.aggregate == "harmonic":
            weights /= 1 + np.arange(len(weights)) - self._starts[self.text_index]
        return (weights / np.bincount(self.text_index, weights)[self.text_index]).astype(np.float32)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Returns the mean over each text's windows of `values`, (windows, …), by their shares, as (texts, …)."""
        weights = self.weights.reshape(-1, *[1] * (values.ndim - 1))
        return np.add.reduceat(values * weights, self._starts) if len(self.is_cut) else values

    def text_probabilities(self, probabilities: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Returns the probability of each text, (texts,), from those of the windows, (windows,).

        Args:
            temperature: what the texts' logits are divided by. Guo et al., "On Calibration of Modern Neural Networks"
                (2017), section 4.2.
        """
        if not len(self.is_cut):
            return np.zeros(0)
        calibrated = sigmoid(self._text_logits(logits(probabilities)) / temperature)
        if temperature != 1:
            return calibrated
        # A single window's probability stays what it is, to the last bit: a threshold may lie right there.
        is_alone = np.bincount(self.text_index, minlength=len(self.is_cut)) == 1
        return np.where(is_alone, probabilities[self._starts], calibrated)

    def _text_logits(self, values: np.ndarray) -> np.ndarray:
        if self.aggregate in ("mean", "harmonic"):
            return self.mean(values)
        highest = np.maximum.reduceat(values, self._starts)
        if self.aggregate == "max":
            return highest
        # The highest is taken out, since the exponential of a large number is none.
        return highest + np.log(self.mean(np.exp(values - highest[self.text_index])))

    @property
    def _starts(self) -> np.ndarray:
        """The index of each text's first window."""
        return np.searchsorted(self.text_index, np.arange(len(self.is_cut)))


def logits(probabilities: np.ndarray) -> np.ndarray:
    """Returns log(p / (1 - p)), float64, finite also where a probability is rounded to 0 or 1."""
    clipped = np.clip(np.asarray(probabilities, np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.log(clipped) - np.log1p(-clipped)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Returns the probabilities, float64, of logits."""
    return 1 / (1 + np.exp(-values))


def encode_windows(
    tokenizer: Tokenizer, texts: Iterable[str], max_seq_len: int, settings: WindowSettings | None = None
) -> Windows:
    """Returns the windows, `[CLS] … [SEP]`, of each text.

    Args:
        max_seq_len: tokens that the network reads at once.
        settings: those of `WindowSettings()` where None.

    Raises:
        InputError: the settings do not fit the network.
    """
    settings = settings or WindowSettings()
    capacity = settings.capacity(max_seq_len)
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    token_ids = [encoding.ids for encoding in encodings]
    starts, num_tokens, text_index, is_cut, before = [], [], [], np.zeros(len(token_ids), bool), 0
    for index, ids in enumerate(token_ids):
        for start, end in settings.spans(len(ids), capacity):
            starts.append(before + start)
            num_tokens.append(end - start)
            text_index.append(index)
        is_cut[index] = end < len(ids)
        before += len(ids)
    starts, num_tokens, text_index = (np.array(values, np.int32) for values in (starts, num_tokens, text_index))
    # All at once: window by window it would take an eighth of the tokenizer's time.
    all_ids = np.fromiter(itertools.chain.from_iterable(token_ids), np.int32, before)
    columns = np.arange(capacity)
    is_token = columns < num_tokens[:, None]
    input_ids = np.zeros((len(starts), max_seq_len), np.int32)
    input_ids[:, 1 : capacity + 1][is_token] = all_ids[(starts[:, None] + columns)[is_token]]
    input_ids[:, 0] = tokenizer.token_to_id(CLASSIFY)
    input_ids[np.arange(len(starts)), num_tokens + 1] = tokenizer.token_to_id(SEPARATE)
    return Windows(input_ids, num_tokens, text_index, is_cut, settings.aggregate)
