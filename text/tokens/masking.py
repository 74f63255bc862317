"""Masking of tokens for masked language modelling, as a pure function of the tokens and a random generator."""

from typing import NamedTuple

import numpy as np


class MaskedTokens(NamedTuple):
    """Rows of tokens in which some are masked, and the original tokens.

    Attributes:
        input_ids: int32, (rows, length), with tokens replaced.
        positions: int32, (rows, predictions), the masked positions of each row.
        targets: int32, (rows, predictions), the original tokens at these positions.
        weights: float32, (rows, predictions), 1 for a masked token, 0 where a row masks fewer than `predictions`.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class Masker:
    """A random choice of the tokens to mask and of their replacements. Devlin et al. (2019), section 3.1.

    Of the masked tokens 80% become `[MASK]`, 10% become a random token, and 10% stay as they are. The number of
    predictions per row is fixed, as compiled training steps require; a row with little text uses only some of them.

    Args:
        vocab_size: number of tokens.
        special_ids: ids that are never masked and never drawn as a replacement.
        mask_id: id of `[MASK]`, one of `special_ids`.
        max_seq_len: length of the rows.
        mask_rate: fraction of the ordinary tokens of a row to mask, above 0 and below 1.
    """

    def __init__(self, vocab_size: int, special_ids: np.ndarray, mask_id: int, max_seq_len: int, mask_rate: float):
        self.mask_id = mask_id
        self.mask_rate = mask_rate
        self.num_predictions = max(1, round(max_seq_len * mask_rate))
        self._is_ordinary = np.ones(vocab_size, bool)
        self._is_ordinary[special_ids] = False
        self._ordinary_ids = np.flatnonzero(self._is_ordinary).astype(np.int32)

    def __call__(
        self, input_ids: np.ndarray, generator: np.random.Generator, continues_word: np.ndarray | None = None
    ) -> MaskedTokens:
        """Return the rows with tokens masked, as `generator` draws them.

        Args:
            input_ids: integers, (rows, length).
            continues_word: bool, (rows, length), True where a token belongs to the same word as the one before it. If
                given, words are masked as a whole; a word longer than all that a row may mask stays as it is.
        """
        input_ids = input_ids.astype(np.int32)
        rows, length = input_ids.shape
        ordinary = self._is_ordinary[input_ids]
        scores = generator.random((rows, length), np.float32)
        if continues_word is not None:
            word = np.cumsum(~continues_word, axis=1) - 1
            scores = np.take_along_axis(scores, np.maximum(word, 0), axis=1)
        scores[~ordinary] = np.inf
        # The sort is stable, so the tokens of one word, which share a score, stay together and in order.
        order = np.argsort(scores, axis=1, kind="stable")[:, : self.num_predictions + 1]
        allowed = np.clip(np.rint(ordinary.sum(1) * self.mask_rate), 1, self.num_predictions)
        chosen = _whole_groups(np.take_along_axis(scores, order, axis=1), allowed)[:, : self.num_predictions]
        order = order[:, : self.num_predictions]

        targets = np.take_along_axis(input_ids, order, axis=1)
        draws = generator.random(targets.shape, np.float32)
        random_ids = generator.choice(self._ordinary_ids, targets.shape)
        replacements = np.where(draws < 0.8, self.mask_id, np.where(draws < 0.9, random_ids, targets))
        np.put_along_axis(input_ids, order, np.where(chosen, replacements, targets), axis=1)
        return MaskedTokens(input_ids, order.astype(np.int32), targets, chosen.astype(np.float32))


def _whole_groups(sorted_scores: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Mark the groups of equal scores that end within the first `allowed` columns.

    The last column serves only to see whether the group before it continues there.

    Args:
        sorted_scores: (rows, columns), ascending in each row; infinite scores belong to no group.
        allowed: (rows,), the number of columns that a row may use.

    Returns:
        bool, (rows, columns)
    """
    ends_group = np.ones(sorted_scores.shape, bool)
    ends_group[:, :-1] = sorted_scores[:, 1:] != sorted_scores[:, :-1]
    ends_group[:, -1] = False
    ranks = np.arange(sorted_scores.shape[1])
    usable_end = ends_group & (ranks < allowed[:, None]) & np.isfinite(sorted_scores)
    last_end = np.where(usable_end, ranks, -1).max(axis=1)
    return ranks <= last_end[:, None]
