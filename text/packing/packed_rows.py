"""Rows of tokens on disk, which are read without filling the memory."""

import dataclasses
import functools
import mmap

import numpy as np

ROWS_COUNTED_AT_ONCE = 1 << 16
BYTES_PER_MAP = 1 << 27


@dataclasses.dataclass(frozen=True)
class PackedRows:
    """Rows of tokens.

    Attributes:
        input_ids: unsigned integers, (rows, max_seq_len), on disk; 0 is padding.
        continues_word: bool, (rows, max_seq_len), True where a token belongs to the same word as the one before it;
            None for rows that were packed without `whole_words`.
        documents: number of documents in the rows.
        characters: number of characters in the documents.
        tokens: number of tokens in the documents, without special tokens and padding.
        pairs: uint32, (rows, 2), the position of the first token of the second text of each row, 0 in a row without a
            pair, and the number of its document; None for rows that were packed without `next_sentence`.
    """

    input_ids: np.ndarray
    continues_word: np.ndarray | None
    documents: int
    characters: int
    tokens: int
    pairs: np.ndarray | None = None

    @functools.cached_property
    def num_pairs(self) -> int:
        """The number of rows that are a pair of texts."""
        if self.pairs is None:
            return 0
        read = RowReader(self.pairs)
        starts = range(0, len(self.pairs), ROWS_COUNTED_AT_ONCE)
        parts = (read(slice(start, start + ROWS_COUNTED_AT_ONCE)) for start in starts)
        return sum(int(np.count_nonzero(part[:, 0])) for part in parts)

    @property
    def characters_per_token(self) -> float:
        """The mean number of characters per token."""
        return self.characters / max(self.tokens, 1)


@dataclasses.dataclass(frozen=True)
class PackedCorpus:
    """A corpus as packed rows.

    Attributes:
        train: the rows to train on; none of a corpus without text.
        held_out: the rows to evaluate on, which training never sees; few documents may leave none.
        sha256: a hash of texts and settings.
    """

    train: PackedRows
    held_out: PackedRows
    sha256: str


class RowReader:
    """A reader of rows, whose memory does not depend on their number.

    What has been read of a mapped file counts as memory of the process for as long as the file is mapped. So the file
    is mapped anew now and then; the operating system keeps what it has read, as far as there is room.

    Args:
        array: the rows, in memory or in a mapped file.
    """

    def __init__(self, array: np.ndarray):
        # A part of a mapped array does not know where in the file it begins.
        self._is_mapped = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)
        self._array = _mapped_anew(array) if self._is_mapped else array
        self._bytes_read = 0

    def __call__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return a copy of some rows.

        Args:
            rows: their indices, (count,), or a range.
        """
        if self._is_mapped and self._bytes_read > BYTES_PER_MAP:
            self._array = _mapped_anew(self._array)
            self._bytes_read = 0
        found = np.array(self._array[rows])
        self._bytes_read += found.nbytes
        return found


def _mapped_anew(array: np.memmap) -> np.memmap:
    return np.memmap(array.filename, array.dtype, "r", array.offset, array.shape)
