"""Long texts as windows: a text of more tokens than the network reads at once is read piece by piece.

Each window has logits of its own, and the logits of the text are made of these as `WindowSettings` says. A model file
keeps the settings that the model was trained with; training, evaluation and serving read texts by them.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from text.tokens.tokenizer import CLASSIFY, SEPARATE
from text.tokens.window_settings import WindowSettings


class Windows(NamedTuple):
    """The windows of some texts, one text's after the other's.

    Attributes:
        input_ids: int32, (windows, max_seq_len); 0 is padding.
        num_tokens: int32, (windows,), how many tokens of its text a window holds.
        text_index: int32, (windows,), which text a window belongs to; every text has at least one.
        is_truncated: bool, (texts,), whether a text has more tokens than its windows hold.
        aggregate: see `WindowSettings`.
    """

    input_ids: np.ndarray
    num_tokens: np.ndarray
    text_index: np.ndarray
    is_truncated: np.ndarray
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
        return np.add.reduceat(values * weights, self._starts) if len(self.is_truncated) else values

    def document_logits(self, logits: np.ndarray) -> np.ndarray:
        """Return the logits of each text, float64, (texts, outputs), from those of the windows, (windows, outputs)."""
        values = logits.astype(np.float64)
        if not len(self.is_truncated) or self.aggregate in ("mean", "harmonic"):
            return self.mean(values)
        highest = np.maximum.reduceat(values, self._starts)
        if self.aggregate == "max":
            return highest
        # The highest is taken out first: the exponential of a large number overflows.
        return highest + np.log(self.mean(np.exp(values - highest[self.text_index])))

    @property
    def _starts(self) -> np.ndarray:
        """The index of each text's first window."""
        return np.searchsorted(self.text_index, np.arange(len(self.is_truncated)))


def encode_windows(
    tokenizer: Tokenizer, texts: Iterable[str], max_seq_len: int, settings: WindowSettings | None = None
) -> Windows:
    """Return the windows, `[CLS] … [SEP]`, of each text.

    Args:
        max_seq_len: tokens that the network reads at once.
        settings: those of `WindowSettings()` where None.

    Raises:
        InputError: the settings do not fit the network.
    """
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return windows_of([encoding.ids for encoding in encodings], tokenizer, max_seq_len, settings or WindowSettings())


def windows_of(token_ids: list[list[int]], tokenizer: Tokenizer, max_seq_len: int, settings: WindowSettings) -> Windows:
    """Return the windows of texts that are tokenized already, without special tokens; see `encode_windows`."""
    capacity = settings.capacity(max_seq_len)
    starts, num_tokens, text_index, is_truncated, before = [], [], [], np.zeros(len(token_ids), bool), 0
    for index, ids in enumerate(token_ids):
        for start, end in settings.spans(len(ids), capacity):
            starts.append(before + start)
            num_tokens.append(end - start)
            text_index.append(index)
        is_truncated[index] = end < len(ids)
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
    return Windows(input_ids, num_tokens, text_index, is_truncated, settings.aggregate)
