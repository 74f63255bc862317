"""Chunks of documents put into rows of a fixed length."""

from collections.abc import Iterator

MAX_OPEN_ROWS = 4096
TokenRow = list[tuple[int, bool]]  # tokens, each with whether it belongs to the same word as the one before it


class RowPacker:
    """A packer of documents into rows, each chunk into the fullest open row with enough room (best fit).

    Args:
        max_seq_len: tokens per row.
        classify_id: the token that begins a row.
        separate_id: the token that ends a chunk.
        max_open_rows: number of rows to keep open; beyond it the fullest row is closed.

    Attributes:
        num_open_rows: number of rows that are open now.
    """

    def __init__(self, max_seq_len: int, classify_id: int, separate_id: int, max_open_rows: int = MAX_OPEN_ROWS):
        self.max_seq_len = max_seq_len
        self.classify_id = classify_id
        self.separate_id = separate_id
        self.max_open_rows = max_open_rows
        self.num_open_rows = 0
        # Open rows by the number of free positions in them.
        self._open_rows: list[list[TokenRow]] = [[] for _ in range(max_seq_len)]

    def add(self, ids: list[int], continues_word: list[bool]) -> Iterator[TokenRow]:
        """Add one document, in chunks if it is longer than a row.

        Yields:
            The rows that it filled.
        """
        longest = self.max_seq_len - 2
        for start in range(0, len(ids), longest):
            chunk = list(zip(ids[start : start + longest], continues_word[start : start + longest], strict=True))
            chunk[0] = (chunk[0][0], False)  # a word split between two rows begins anew in the second
            yield from self._place([*chunk, (self.separate_id, False)])

    def finish(self) -> Iterator[TokenRow]:
        """Close the rows that are still open.

        Yields:
            These rows.
        """
        for rows in self._open_rows:
            yield from rows
            rows.clear()
        self.num_open_rows = 0

    def _place(self, chunk: TokenRow) -> Iterator[TokenRow]:
        fitting = (free for free in range(len(chunk), self.max_seq_len) if self._open_rows[free])
        free = next(fitting, None)
        if free is None:
            row = [(self.classify_id, False)]
            self.num_open_rows += 1
        else:
            row = self._open_rows[free].pop()
        row.extend(chunk)
        # One free position would hold a separator and no token.
        if self.max_seq_len - len(row) < 2:
            self.num_open_rows -= 1
            yield row
            return
        self._open_rows[self.max_seq_len - len(row)].append(row)
        if self.num_open_rows > self.max_open_rows:
            self.num_open_rows -= 1
            yield next(rows for rows in self._open_rows if rows).pop(0)
