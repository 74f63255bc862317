"""Documents put into rows of a fixed length: chunks of several, or two consecutive texts of one."""

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

MAX_OPEN_ROWS = 4096
# A shorter pair would leave most of its row to padding.
SHORTEST_PAIR = 0.25
SENTENCE_END = re.compile(r"[。！？!?…\r\n]+[”’」』）)】》]*")
CLAUSE_END = re.compile(r"[，；：、;\s]+|,(?!\d)")
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
            chunk = _chunk(ids, continues_word, start, start + longest)
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


def _chunk(ids: list[int], continues_word: list[bool], start: int, end: int) -> TokenRow:
    tokens = list(zip(ids[start:end], continues_word[start:end], strict=True))
    return [(ids[start], False), *tokens[1:]]  # a word split between two chunks begins anew in the second


def begins_inside_word(text: str, offsets: list[tuple[int, int]]) -> list[bool]:
    """Return, for each token, whether it begins inside a word, by jieba's segmentation of the text into words.

    Args:
        text: a document.
        offsets: the first character of each of its tokens, and the one after the last.
    """
    import rjieba

    word_starts = {0, *itertools.accumulate(len(word) for word in rjieba.cut(text))}
    return [start not in word_starts for start, _ in offsets]


class Borders(NamedTuple):
    """The tokens at which a new sentence or clause begins, in ascending order, without the first token.

    Attributes:
        sentences: indices of tokens.
        clauses: indices of tokens.
    """

    sentences: list[int]
    clauses: list[int]


def borders_of(text: str, offsets: list[tuple[int, int]]) -> Borders:
    """Return the borders of sentences and clauses; for the arguments see `begins_inside_word`."""
    starts = [start for start, _ in offsets]

    def tokens_after(pattern: re.Pattern) -> list[int]:
        found = {bisect_left(starts, match.end()) for match in pattern.finditer(text)}
        return sorted(found - {0, len(starts)})

    return Borders(tokens_after(SENTENCE_END), tokens_after(CLAUSE_END))


class PairPacker:
    """A packer of documents into rows of two consecutive texts, `[CLS] A [SEP] B [SEP]`.

    A and B are runs of sentences, together as many as a row holds, and of about the same length. A single sentence is
    divided between two clauses. What makes no pair, or a short one, shares rows with other such text, see `RowPacker`.

    Args:
        max_seq_len: tokens per row.
        classify_id: the token that begins a row.
        separate_id: the token that ends a text.
    """

    def __init__(self, max_seq_len: int, classify_id: int, separate_id: int):
        self.max_seq_len = max_seq_len
        self.classify_id = classify_id
        self.separate_id = separate_id
        self.without_pair = RowPacker(max_seq_len, classify_id, separate_id)

    def add(self, ids: list[int], continues_word: list[bool], borders: Borders) -> Iterator[tuple[TokenRow, int]]:
        """Add one document.

        Yields:
            The rows that it filled, each with the position of the first token of B, 0 in a row without a pair.
        """
        longest = max(1, self.max_seq_len - 3)
        start = 0
        while start < len(ids):
            end = _last_border(borders, start, start + longest) if len(ids) - start > longest else len(ids)
            middle = _middle_border(borders, start, end)
            if middle is None or end - start < SHORTEST_PAIR * self.max_seq_len:
                for row in self.without_pair.add(ids[start:end], continues_word[start:end]):
                    yield row, 0
            else:
                separator = (self.separate_id, False)
                first = [(self.classify_id, False), *_chunk(ids, continues_word, start, middle), separator]
                yield [*first, *_chunk(ids, continues_word, middle, end), separator], len(first)
            start = end

    def finish(self) -> Iterator[tuple[TokenRow, int]]:
        """Close the rows that are still open.

        Yields:
            These rows, as `add` does.
        """
        for row in self.without_pair.finish():
            yield row, 0


def _last_border(borders: Borders, start: int, limit: int) -> int:
    """Return the last border after `start` and up to `limit`: of a sentence, else of a clause, else `limit`."""
    for kind in borders:
        found = kind[bisect_right(kind, start) : bisect_right(kind, limit)]
        if found:
            return found[-1]
    return limit


def _middle_border(borders: Borders, start: int, end: int) -> int | None:
    """Return the border nearest to the middle between `start` and `end`: of a sentence, else of a clause, else None."""
    for kind in borders:
        found = kind[bisect_right(kind, start) : bisect_left(kind, end)]
        if found:
            return min(found, key=lambda border: abs(2 * border - start - end))
    return None
