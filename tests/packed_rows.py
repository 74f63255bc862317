"""Reading packed rows back into the chunks of text that they contain, and packing as simple as it can be."""

import zlib
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from tokenizers import Tokenizer

from text.packing.pieces import Borders, begins_inside_word, borders_of
from text.packing.row_packer import CONTINUES_WORD, ID_BITS, TOKEN

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


def tokens_of(row: bytes) -> list[int]:
    """Return the ids of the tokens in a row of `text.packing.row_packer`."""
    return [token & ID_BITS for token in np.frombuffer(row, TOKEN).tolist()]


def marks_of(row: bytes) -> list[bool]:
    """Return for each token of such a row whether it continues a word."""
    return (np.frombuffer(row, TOKEN) >= CONTINUES_WORD).tolist()


class SimplePacker:
    """The packing of a corpus as simple as it can be, with all texts in memory, to compare with.

    A row is a list of tokens, each an id and whether it continues a word. For the arguments see `pack_corpus`.
    """

    def __init__(self, tokenizer: Tokenizer, max_seq_len: int, whole_words: bool, next_sentence: bool):
        self.tokenizer = tokenizer
        self.max_seq_len = max_seq_len
        self.whole_words = whole_words
        self.next_sentence = next_sentence
        self.open_rows: list[list] = []
        self.documents = 0
        self.rows: list[tuple[list, int, int]] = []

    def add(self, text: str) -> None:
        self.documents += 1
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        marks = begins_inside_word(text, encoding.offsets) if self.whole_words else [False] * len(encoding.ids)
        tokens = list(zip(encoding.ids, marks, strict=True))
        if self.next_sentence:
            self.add_pairs(tokens, borders_of(text, encoding.offsets))
            return
        longest = self.max_seq_len - 2
        for start in range(0, len(tokens), longest):
            self.place(tokens[start : start + longest])

    def add_pairs(self, tokens: list, borders: Borders) -> None:
        longest, start = max(1, self.max_seq_len - 3), 0
        while start < len(tokens):
            end = len(tokens)
            if end - start > longest:
                limit = start + longest
                fitting = ([border for border in kind if start < border <= limit] for kind in borders)
                end = next((found[-1] for found in fitting if found), limit)
            inside = ([border for border in kind if start < border < end] for kind in borders)
            middle = next((min(f, key=lambda border: abs(2 * border - start - end)) for f in inside if f), None)
            if middle is None or 4 * (end - start) < self.max_seq_len:
                self.place(tokens[start:end])
            else:
                first = [(CLASSIFY, False), *self.chunk(tokens[start:middle])]
                self.rows.append(([*first, *self.chunk(tokens[middle:end])], len(first), self.documents))
            start = end

    def chunk(self, tokens: list) -> list:
        return [(tokens[0][0], False), *tokens[1:], (SEPARATE, False)]

    def place(self, tokens: list) -> None:
        chunk = self.chunk(tokens)
        fitting = [row for row in self.open_rows if len(row) + len(chunk) <= self.max_seq_len]
        if fitting:
            # The fullest, and of several the last one that became as full as it is.
            row = max(reversed(fitting), key=len)
            self.open_rows = [other for other in self.open_rows if other is not row]
        else:
            row = [(CLASSIFY, False)]
        row = [*row, *chunk]
        if self.max_seq_len - len(row) < 2:
            self.rows.append((row, 0, self.documents))
        else:
            self.open_rows.append(row)

    def arrays(self) -> dict[str, list]:
        """Return all rows, by the names of `PackedRows`."""
        last = [(row, 0, self.documents) for row in sorted(self.open_rows, key=len, reverse=True)]
        rows = [(row + [(PAD, False)] * (self.max_seq_len - len(row)), *pair) for row, *pair in [*self.rows, *last]]
        found = {"input_ids": [[token for token, _ in row] for row, *_ in rows]}
        if self.whole_words:
            found["continues_word"] = [[mark for _, mark in row] for row, *_ in rows]
        if self.next_sentence:
            found["pairs"] = [pair for _, *pair in rows]
        return found


def packed_simply(
    texts: list[str],
    tokenizer: Tokenizer,
    max_seq_len: int,
    *,
    texts_per_block: int,
    held_out_fraction: float,
    **options,
) -> list[dict[str, list]]:
    """Return the rows to train on and those that are held out, see `SimplePacker`."""
    splits = [SimplePacker(tokenizer, max_seq_len, **options) for _ in range(2)]
    for start in range(0, len(texts), texts_per_block):
        block = texts[start : start + texts_per_block]
        num_tokens = {text: len(tokenizer.encode(text, add_special_tokens=False).ids) for text in block}
        for text in sorted(block, key=lambda text: num_tokens[text] % (max_seq_len - 2), reverse=True):
            splits[zlib.crc32(text.encode()) % 10_000 < 10_000 * held_out_fraction].add(text)
    return [split.arrays() for split in splits]
