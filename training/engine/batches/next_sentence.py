"""Rows of two consecutive texts, of which half get the second text of another document."""

from typing import NamedTuple

import numpy as np


class DrawnPairs(NamedTuple):
    """Rows of two texts, and whether the second one follows the first one.

    Attributes:
        input_ids: integers, (rows, length).
        continues_word: bool, (rows, length), or None; see `PackedRows`.
        token_type_ids: int32, (rows, length), 1 in the second text, its `[SEP]` included, and 0 elsewhere.
        labels: float32, (rows, 1), 0 where the second text is of another document, else 1.
        weights: float32, (rows,), 1 for a pair, 0 for a row without a second text.
    """

    input_ids: np.ndarray
    continues_word: np.ndarray | None
    token_type_ids: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def draw_pairs(
    input_ids: np.ndarray, continues_word: np.ndarray | None, pairs: np.ndarray, generator: np.random.Generator
) -> DrawnPairs:
    """Return the rows of a batch, half of its pairs with the second text of another document of the batch.

    Devlin et al. (2019), section 3.1, task 2. Each replaced text gets the next one in the order of lengths, from the
    longest to the shortest. So nothing is truncated, and lengths do not give the label away.

    Args:
        input_ids: integers, (rows, length).
        continues_word: bool, (rows, length), or None.
        pairs: see `PackedRows`.
        generator: draws the pairs whose second text is replaced.
    """
    starts, documents = pairs.astype(np.int64).T
    sources = _sources(starts, documents, np.count_nonzero(input_ids, axis=1), generator)
    input_ids = _with_second_texts(input_ids, starts, sources)
    is_paired = starts > 0
    is_second = is_paired[:, None] & (np.arange(input_ids.shape[1]) >= starts[:, None]) & (input_ids != 0)
    return DrawnPairs(
        input_ids,
        None if continues_word is None else _with_second_texts(continues_word, starts, sources),
        is_second.astype(np.int32),
        (sources == np.arange(len(sources)))[:, None].astype(np.float32),
        is_paired.astype(np.float32),
    )


def _sources(
    starts: np.ndarray, documents: np.ndarray, lengths: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return, for each row, the row that its second text comes from: another one, or the row itself."""
    sources = np.arange(len(starts))
    paired = np.flatnonzero(starts)
    by_length = paired[np.lexsort((generator.random(len(paired)), (lengths - starts)[paired]))]
    shorter, longer = by_length[:-1], by_length[1:]
    replaceable = np.flatnonzero(documents[shorter] != documents[longer])
    chosen = generator.permutation(replaceable)[: len(paired) // 2]
    sources[longer[chosen]] = shorter[chosen]
    return sources


def _with_second_texts(values: np.ndarray, starts: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return the values of each row up to its second text, followed by those of the second text of its source.

    Args:
        values: (rows, length), 0 or False at padding.
        starts: (rows,), the position of the second text in each row.
        sources: (rows,), the row that the second text comes from.
    """
    length = values.shape[1]
    positions = np.arange(length)
    is_first = positions < starts[:, None]
    rows = np.where(is_first, np.arange(len(values))[:, None], sources[:, None])
    columns = np.where(is_first, positions, positions - starts[:, None] + starts[sources][:, None])
    return np.where(columns < length, values[rows, np.minimum(columns, length - 1)], 0).astype(values.dtype)
