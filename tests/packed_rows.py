"""Reading packed rows back into the chunks of text that they contain."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

PAD, CLASSIFY, SEPARATE = 0, 2, 3


def chunks_in(rows: Iterable[Iterable[int]]) -> Counter:
    """Return how often each chunk, a tuple of tokens, is in the rows; check the form of each row."""
    chunks = Counter()
    for row in np.asarray(rows).tolist():
        length = row.index(PAD) if PAD in row else len(row)
        assert set(row[length:]) <= {PAD}, "padding is only at the end"
        assert row[0] == CLASSIFY
        assert row[length - 1] == SEPARATE
        ends = [0, *(position for position in range(length) if row[position] == SEPARATE)]
        assert all(end - start > 1 for start, end in pairwise(ends)), "no chunk is empty"
        chunks.update(tuple(row[start + 1 : end]) for start, end in pairwise(ends))
    return chunks
