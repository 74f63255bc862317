"""The order in which an epoch reads its rows: all shuffled, or in blocks if there are too many for that."""

import numpy as np

ROWS_PER_BLOCK = 4096
TOKENS_PER_BUFFER = 1 << 26  # 128 MiB on disk


class BlockOrder:
    """A random order of rows in which those of a time are close together on the disk.

    Blocks of consecutive rows come in random order. So many of them as fill a buffer are shuffled together. The memory
    does not depend on the number of rows, and the operating system reads a buffer of blocks instead of single rows from
    all over the disk. The order depends only on the arguments, and any part of it can be had at any time.

    Args:
        count: number of rows.
        seed: seed of the order.
        epoch: number of the epoch, which also seeds the order.
        rows_per_buffer: number of rows that are shuffled together.
        rows_per_block: number of consecutive rows in a block.
    """

    def __init__(self, count: int, seed: int, epoch: int, rows_per_buffer: int, rows_per_block: int):
        self.count = count
        self.seed = (seed, epoch)
        self.rows_per_block = rows_per_block
        self._blocks = np.random.default_rng(self.seed).permutation(-(-count // rows_per_block))
        self._blocks_per_buffer = max(1, rows_per_buffer // rows_per_block)
        # The last block may be short, and is anywhere in the order. So the buffers differ in length.
        lengths = np.minimum(count - self._blocks * rows_per_block, rows_per_block)
        self._starts = np.append(0, np.cumsum(lengths))[:: self._blocks_per_buffer]
        self._number, self._buffer = -1, np.empty(0, np.int64)  # the last buffer that was asked for

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return the rows at some consecutive places of the order, int64, (rows,)."""
        start, end, _ = part.indices(self.count)
        parts = []
        number = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < end:
            buffer = self._rows_of_buffer(number)
            first = start - int(self._starts[number])
            parts.append(buffer[first : first + end - start])
            start += len(parts[-1])
            number += 1
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _rows_of_buffer(self, number: int) -> np.ndarray:
        if number != self._number:
            blocks = self._blocks[number * self._blocks_per_buffer :][: self._blocks_per_buffer]
            rows = (blocks[:, None] * self.rows_per_block + np.arange(self.rows_per_block)).ravel()
            self._buffer = np.random.default_rng((*self.seed, number)).permutation(rows[rows < self.count])
            self._number = number
        return self._buffer


def random_order(count: int, seed: int, epoch: int, max_seq_len: int) -> np.ndarray | BlockOrder:
    """Return the order of an epoch over packed rows, of which slices are the rows: shuffled in blocks if they are many.

    Args:
        count: number of rows.
        seed: seed of the order.
        epoch: number of the epoch.
        max_seq_len: tokens per row.
    """
    rows_per_buffer = max(ROWS_PER_BLOCK, TOKENS_PER_BUFFER // max_seq_len)
    if count <= rows_per_buffer:
        return np.random.default_rng((seed, epoch)).permutation(count)
    return BlockOrder(count, seed, epoch, rows_per_buffer, ROWS_PER_BLOCK)
