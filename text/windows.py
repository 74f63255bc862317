"""Long texts as windows: a text of more tokens than the network reads at once is read piece by piece.

The pieces of a text are of nearly the same length and share no token. Each is judged alone; the text's logit is the
mean of its windows' logits.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from text.tokenizer import CLASSIFY, SEPARATE

NUM_SPECIAL_TOKENS = 2  # [CLS] before a window, [SEP] after it
SMALLEST_PROBABILITY = 1e-7  # a float32 next to 1 is not much nearer to it


class Windows(NamedTuple):
    """The windows of some texts, one text's after the other's.

    Attributes:
        input_ids: int32, (windows, max_seq_len); 0 is padding.
        text_index: int32, (windows,), which text a window belongs to; every text has at least one.
        is_cut: bool, (texts,), whether a text has more tokens than its windows hold.
    """

    input_ids: np.ndarray
    text_index: np.ndarray
    is_cut: np.ndarray

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs of the network."""
        return {"input_ids": self.input_ids, "token_type_ids": np.zeros_like(self.input_ids)}

    @property
    def weights(self) -> np.ndarray:
        """The share that each window has in its text, float32, (windows,)."""
        return (1 / np.bincount(self.text_index)[self.text_index]).astype(np.float32)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Returns the mean over each text's windows of `values`, (windows, …), as (texts, …)."""
        starts = np.searchsorted(self.text_index, np.arange(len(self.is_cut)))
        weights = self.weights.reshape(-1, *[1] * (values.ndim - 1))
        return np.add.reduceat(values * weights, starts) if len(starts) else values

    def text_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Returns the probability of each text, (texts,), from those of the windows, (windows,)."""
        clipped = np.clip(probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        means = 1 / (1 + np.exp(-self.mean(np.log(clipped) - np.log1p(-clipped))))
        # A single window's probability stays what it is, to the last bit: a threshold may lie right there.
        is_alone = np.bincount(self.text_index, minlength=len(self.is_cut)) == 1
        return np.where(is_alone, self.mean(probabilities), means)


def encode_windows(
    tokenizer: Tokenizer, texts: Iterable[str], max_seq_len: int, max_windows: int | None = None
) -> Windows:
    """Returns the windows, `[CLS] … [SEP]`, of each text.

    Args:
        max_seq_len: tokens a window, the two special ones included.
        max_windows: how many windows of a text are read, from its beginning on; None reads all of it.
    """
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    capacity = max_seq_len - NUM_SPECIAL_TOKENS
    rows, text_index, is_cut = [], [], np.zeros(len(encodings), bool)
    for index, encoding in enumerate(encodings):
        num_windows = max(1, -(-len(encoding.ids) // capacity))
        if max_windows is not None and num_windows > max_windows:
            num_windows, is_cut[index] = max_windows, True
        kept = encoding.ids[: num_windows * capacity]
        borders = [len(kept) * number // num_windows for number in range(num_windows + 1)]
        rows.extend(kept[start:end] for start, end in zip(borders, borders[1:], strict=False))
        text_index.extend([index] * num_windows)
    input_ids = np.zeros((len(rows), max_seq_len), np.int32)
    classify, separate = tokenizer.token_to_id(CLASSIFY), tokenizer.token_to_id(SEPARATE)
    for row, ids in enumerate(rows):
        input_ids[row, : len(ids) + NUM_SPECIAL_TOKENS] = [classify, *ids, separate]
    return Windows(input_ids, np.array(text_index, np.int32), is_cut)
