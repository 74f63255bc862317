"""Chunks of documents put into rows of a fixed length, each into the fullest open row with enough room."""

from collections.abc import Iterable

import numpy as np

MAX_OPEN_ROWS = 4096
# A token is four bytes: its id, and in the highest bit whether it belongs to the same word as the token before it. So
# chunks and rows are byte strings, which are cut, joined and passed between processes faster than anything else.
TOKEN = np.dtype("<u4")
CONTINUES_WORD = 1 << 31
ID_BITS = CONTINUES_WORD - 1


def tokens_as_bytes(ids: Iterable[int], continues_word: Iterable[bool] | None = None) -> bytes:
    """Return tokens as a byte string of `TOKEN`.

    Args:
        ids: ids of tokens, below 2^31.
        continues_word: for each token, whether it belongs to the same word as the one before it; None for no token.
    """
    tokens = np.array(ids, TOKEN)
    if continues_word is not None:
        tokens |= np.array(continues_word, TOKEN) << np.array(31, TOKEN)
    return tokens.tobytes()


def num_tokens(tokens: bytes) -> int:
    return len(tokens) // TOKEN.itemsize


class RowPacker:
    """A packer of chunks into rows, by best fit.

    Args:
        max_seq_len: tokens per row.
        classify_id: the token that begins a row.
        max_open_rows: number of rows to keep open; beyond it the fullest row is closed.
        open_rows: the rows that an earlier packer has left open, as its `open_rows` returns them.

    Attributes:
        num_open_rows: number of rows that are open now.
    """

    def __init__(
        self, max_seq_len: int, classify_id: int, max_open_rows: int = MAX_OPEN_ROWS, open_rows: Iterable[bytes] = ()
    ):
        self.max_seq_len = max_seq_len
        self.max_open_rows = max_open_rows
        self.num_open_rows = 0
        self._begin = tokens_as_bytes([classify_id])
        # Open rows by the number of free positions in them, and the set of these numbers, as bits.
        self._open_rows: list[list[bytes]] = [[] for _ in range(max_seq_len)]
        self._free_positions = 0
        for row in open_rows:
            self._open(row, max_seq_len - num_tokens(row))

    def add(self, chunk: bytes) -> bytes | None:
        """Put a chunk, with the separator at its end, into a row.

        Returns:
            A row that is closed by this, because it is full or because too many are open; None if there is none.
        """
        size = num_tokens(chunk)
        enough = self._free_positions >> size
        if enough:
            free = size + _lowest_bit(enough)
            row = self._take(free, -1) + chunk
        else:
            free = self.max_seq_len - 1
            row = self._begin + chunk
        free -= size
        # One free position would hold a separator and no token.
        if free < 2:
            return row
        self._open(row, free)
        return self._take(_lowest_bit(self._free_positions), 0) if self.num_open_rows > self.max_open_rows else None

    def finish(self) -> list[bytes]:
        """Close the rows that are still open, and return them."""
        rows = self.open_rows
        self._open_rows = [[] for _ in range(self.max_seq_len)]
        self._free_positions = self.num_open_rows = 0
        return rows

    @property
    def open_rows(self) -> list[bytes]:
        """The rows that are open now, the fullest first."""
        return [row for rows in self._open_rows for row in rows]

    def _open(self, row: bytes, free: int) -> None:
        self._open_rows[free].append(row)
        self._free_positions |= 1 << free
        self.num_open_rows += 1

    def _take(self, free: int, index: int) -> bytes:
        """Remove one of the open rows with so many free positions."""
        rows = self._open_rows[free]
        row = rows.pop(index)
        if not rows:
            self._free_positions ^= 1 << free
        self.num_open_rows -= 1
        return row


def _lowest_bit(bits: int) -> int:
    """Return the position of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1
