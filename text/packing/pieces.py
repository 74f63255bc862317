"""Documents divided into what fits into a row: chunks, or pairs of consecutive texts."""

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from text.packing.row_packer import CONTINUES_WORD, TOKEN, num_tokens, tokens_as_bytes

# A shorter pair would leave most of its row to padding.
SHORTEST_PAIR = 0.25
SENTENCE_END = re.compile(r"[。！？!?…\r\n]+[”’」』）)】》]*")
CLAUSE_END = re.compile(r"[，；：、;\s]+|,(?!\d)")
# The last of the four bytes of a token has the bit of `CONTINUES_WORD`.
LAST_BYTE, LAST_BYTE_OF_ID = TOKEN.itemsize - 1, (CONTINUES_WORD >> 24) - 1

# Tokens, see `text.packing.row_packer`, and the position of the first token of the second text: 0 for a chunk, which
# shares its row with others. A pair is a whole row. A tuple without names, since millions travel between processes.
Piece = tuple[bytes, int]


class Borders(NamedTuple):
    """The tokens at which a new sentence or clause begins, in ascending order, without the first token.

    Attributes:
        sentences: indices of tokens.
        clauses: indices of tokens.
    """

    sentences: list[int]
    clauses: list[int]


class PieceCutter:
    """A divider of documents into pieces.

    Args:
        max_seq_len: tokens per row.
        classify_id: the token that begins a row.
        separate_id: the token that ends a text.
    """

    def __init__(self, max_seq_len: int, classify_id: int, separate_id: int):
        self.max_seq_len = max_seq_len
        self._classify = tokens_as_bytes([classify_id])
        self._separate = tokens_as_bytes([separate_id])

    def chunks(self, tokens: bytes) -> list[Piece]:
        """Divide a document into chunks as long as a row allows."""
        longest = (self.max_seq_len - 2) * TOKEN.itemsize
        starts = range(0, len(tokens), longest)
        return [(_begin_word(tokens[start : start + longest]) + self._separate, 0) for start in starts]

    def pairs(self, tokens: bytes, borders: Borders) -> Iterator[Piece]:
        """Divide a document into pairs, `[CLS] A [SEP] B [SEP]`, and chunks of what makes no pair.

        A and B are runs of sentences, together as many as a row holds, and of about the same length. A single sentence
        is divided between two clauses. What makes no pair, or a short one, is a chunk.
        """
        longest = max(1, self.max_seq_len - 3)
        start, length = 0, num_tokens(tokens)

        def text(first: int, end: int) -> bytes:
            return _begin_word(tokens[first * TOKEN.itemsize : end * TOKEN.itemsize]) + self._separate

        while start < length:
            end = _last_border(borders, start, start + longest) if length - start > longest else length
            middle = _middle_border(borders, start, end)
            if middle is None or end - start < SHORTEST_PAIR * self.max_seq_len:
                yield text(start, end), 0
            else:
                first = self._classify + text(start, middle)
                yield first + text(middle, end), num_tokens(first)
            start = end


def _begin_word(tokens: bytes) -> bytes:
    """Let the first token begin a word; a word split between two chunks begins anew in the second."""
    if tokens[LAST_BYTE] <= LAST_BYTE_OF_ID:
        return tokens
    return tokens[:LAST_BYTE] + bytes([tokens[LAST_BYTE] & LAST_BYTE_OF_ID]) + tokens[LAST_BYTE + 1 :]


def begins_inside_word(text: str, offsets: list[tuple[int, int]]) -> list[bool]:
    """Return, for each token, whether it begins inside a word, by jieba's segmentation of the text into words.

    Args:
        text: a document.
        offsets: the first character of each of its tokens, and the one after the last.
    """
    import rjieba

    word_starts = {0, *itertools.accumulate(len(word) for word in rjieba.cut(text))}
    return [start not in word_starts for start, _ in offsets]


def borders_of(text: str, offsets: list[tuple[int, int]]) -> Borders:
    """Return the borders of sentences and clauses; for the arguments see `begins_inside_word`."""
    starts = [start for start, _ in offsets]

    def tokens_after(pattern: re.Pattern) -> list[int]:
        found = {bisect_left(starts, match.end()) for match in pattern.finditer(text)}
        return sorted(found - {0, len(starts)})

    return Borders(tokens_after(SENTENCE_END), tokens_after(CLAUSE_END))


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
