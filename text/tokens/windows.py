"""Long texts as windows, since the network reads a limited number of tokens at once.

Each window has its own logits; `WindowSettings` says how to combine them into the logits of the text. A model file
keeps the settings that the model was trained with, and training, evaluation and serving all use them.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from text.tokens.checks.panics import UNREADABLE, panics_as_input_error
from text.tokens.tokenizer import CLASSIFY, SEPARATE
from text.tokens.window_settings import WindowSettings

TEXTS_PER_BLOCK = 4096


class Windows(NamedTuple):
    """The windows of some texts, in the order of the texts.

    Attributes:
        input_ids: int32, (windows, max_seq_len); 0 is padding.
        num_tokens: int32, (windows,), number of tokens in each window, without special tokens.
        text_index: int32, (windows,), the index of the text of each window; every text has at least one window.
        is_truncated: bool, (texts,), whether a text has more tokens than its windows hold.
        aggregate: see `WindowSettings`.
        unread_fraction: the fraction of the tokens of all texts that no window holds.
    """

    input_ids: np.ndarray
    num_tokens: np.ndarray
    text_index: np.ndarray
    is_truncated: np.ndarray
    aggregate: str = WindowSettings.aggregate
    unread_fraction: float = 0.0

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs of the network."""
        return {"input_ids": self.input_ids, "token_type_ids": np.zeros_like(self.input_ids)}

    @property
    def weights(self) -> np.ndarray:
        """The weight of each window in its text, float32, (windows,); the weights of a text sum to 1."""
        weights = np.maximum(self.num_tokens, 1.0)  # a text may have no token
        if self.aggregate == "harmonic":
            weights /= 1 + np.arange(len(weights)) - self._starts[self.text_index]
        return (weights / np.bincount(self.text_index, weights)[self.text_index]).astype(np.float32)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted mean of `values`, (windows, …), over the windows of each text, (texts, …)."""
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
        # The highest is subtracted first, because the exponential of a large number overflows.
        return highest + np.log(self.mean(np.exp(values - highest[self.text_index])))

    @property
    def _starts(self) -> np.ndarray:
        """The index of the first window of each text."""
        return np.searchsorted(self.text_index, np.arange(len(self.is_truncated)))


def encode_windows(
    tokenizer: Tokenizer, texts: Iterable[str], max_seq_len: int, settings: WindowSettings | None = None
) -> Windows:
    """Return the windows, `[CLS] … [SEP]`, of each text.

    Args:
        tokenizer: the tokenizer of the model.
        texts: the texts.
        max_seq_len: maximum number of tokens that the network reads at once.
        settings: how to split the texts; None uses the defaults.

    Raises:
        InputError: the settings do not fit the network, or the tokenizer fails on a text.
    """
    token_ids, remaining = [], iter(texts)
    # A block at a time, because an encoding takes ten times the memory of its ids.
    while block := list(itertools.islice(remaining, TEXTS_PER_BLOCK)):
        with panics_as_input_error(UNREADABLE):
            encodings = tokenizer.encode_batch_fast(block, add_special_tokens=False)
        token_ids += [encoding.ids for encoding in encodings]
    return windows_of(token_ids, tokenizer, max_seq_len, settings or WindowSettings())


def windows_of(token_ids: list[list[int]], tokenizer: Tokenizer, max_seq_len: int, settings: WindowSettings) -> Windows:
    """Return the windows of texts that are already tokenized, without special tokens; see `encode_windows`."""
    capacity = settings.capacity(max_seq_len)
    starts, num_tokens, text_index, num_unread, before = [], [], [], [], 0
    for index, ids in enumerate(token_ids):
        num_unread.append(0)
        read_to = 0
        for start, end in settings.spans(len(ids), capacity):
            starts.append(before + start)
            num_tokens.append(end - start)
            text_index.append(index)
            num_unread[-1] += max(start - read_to, 0)
            read_to = end
        num_unread[-1] += len(ids) - read_to
        before += len(ids)
    starts, num_tokens, text_index = (np.array(values, np.int32) for values in (starts, num_tokens, text_index))
    # All windows at once: one by one, they would add an eighth to the time of the tokenizer.
    all_ids = np.fromiter(itertools.chain.from_iterable(token_ids), np.int32, before)
    columns = np.arange(capacity)
    is_token = columns < num_tokens[:, None]
    input_ids = np.zeros((len(starts), max_seq_len), np.int32)
    input_ids[:, 1 : capacity + 1][is_token] = all_ids[(starts[:, None] + columns)[is_token]]
    input_ids[:, 0] = tokenizer.token_to_id(CLASSIFY)
    input_ids[np.arange(len(starts)), num_tokens + 1] = tokenizer.token_to_id(SEPARATE)
    unread_fraction = sum(num_unread) / max(before, 1)
    return Windows(
        input_ids, num_tokens, text_index, np.array(num_unread, int) > 0, settings.aggregate, unread_fraction
    )
