"""The row packer: every token gets into a row, and rows are filled by best fit."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import CLASSIFY, PAD, SEPARATE, chunks_in

from text.tokens.row_packer import MAX_OPEN_ROWS, RowPacker


def packed(packer, documents):
    """Return the rows that the packer makes of documents."""
    rows = [row for ids in documents for row in packer.add(ids, [False] * len(ids))]
    return [*rows, *packer.finish()]


def tokens_of(rows):
    return [[token for token, _ in row] for row in rows]


@pytest.mark.parametrize("max_open_rows", [2, MAX_OPEN_ROWS])
@given(documents=st.lists(st.lists(st.integers(5, 99), max_size=30), max_size=40), max_seq_len=st.integers(3, 12))
def test_every_token_is_in_a_row_in_order(max_open_rows, documents, max_seq_len):
    rows = tokens_of(packed(RowPacker(max_seq_len, CLASSIFY, SEPARATE, max_open_rows), documents))
    assert all(len(row) <= max_seq_len for row in rows)
    longest = max_seq_len - 2
    expected = Counter(tuple(ids[at : at + longest]) for ids in documents for at in range(0, len(ids), longest))
    assert chunks_in([row + [PAD] * (max_seq_len - len(row)) for row in rows]) == expected


@given(documents=st.lists(st.lists(st.integers(5, 99), max_size=30), max_size=40))
def test_no_more_rows_are_open_than_allowed(documents):
    packer = RowPacker(12, CLASSIFY, SEPARATE, max_open_rows=2)
    for ids in documents:
        list(packer.add(ids, [False] * len(ids)))
        assert packer.num_open_rows <= 2
    assert len(list(packer.finish())) <= 2
    assert packer.num_open_rows == 0


def test_a_chunk_goes_into_the_fullest_row_with_room():
    rows = packed(RowPacker(8, CLASSIFY, SEPARATE), ([5] * 4, [6] * 5, [7] * 2, [8]))
    assert tokens_of(rows) == [
        [CLASSIFY, *[6] * 5, SEPARATE],
        [CLASSIFY, *[5] * 4, SEPARATE, 8, SEPARATE],
        [CLASSIFY, 7, 7, SEPARATE],
    ]


def test_a_word_split_between_two_rows_begins_anew():
    rows = list(RowPacker(4, CLASSIFY, SEPARATE).add([5, 6, 7, 8], [False, True, True, True]))
    assert [continues for row in rows for _, continues in row] == [False, False, True, False] * 2
