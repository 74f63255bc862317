"""The row packer: every token gets into a row, and rows are filled by best fit."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import CLASSIFY, PAD, SEPARATE, chunks_in, marks_of, tokens_of

from text.packing.row_packer import MAX_OPEN_ROWS, RowPacker, tokens_as_bytes

CHUNKS = st.lists(st.lists(st.integers(5, 99), min_size=1, max_size=10), max_size=40)


def added(packer, chunks):
    """Add chunks to a packer, and return the rows that it has closed meanwhile."""
    rows = (packer.add(tokens_as_bytes([*ids, SEPARATE])) for ids in chunks)
    return [row for row in rows if row is not None]


def packed(packer, chunks):
    """Return the tokens of all rows that a packer makes of chunks."""
    return [tokens_of(row) for row in [*added(packer, chunks), *packer.finish()]]


@given(ids=st.lists(st.integers(0, 2**31 - 1), min_size=1), data=st.data())
def test_tokens_and_their_marks_are_restored(ids, data):
    marks = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    tokens = tokens_as_bytes(ids, marks)
    assert (tokens_of(tokens), marks_of(tokens)) == (ids, marks)
    assert tokens_of(tokens_as_bytes(ids)) == ids and not any(marks_of(tokens_as_bytes(ids)))


@pytest.mark.parametrize("max_open_rows", [2, MAX_OPEN_ROWS])
@given(chunks=CHUNKS, max_seq_len=st.integers(12, 16))
def test_every_chunk_is_in_a_row(max_open_rows, chunks, max_seq_len):
    rows = packed(RowPacker(max_seq_len, CLASSIFY, max_open_rows), chunks)
    assert all(len(row) <= max_seq_len for row in rows)
    assert chunks_in([row + [PAD] * (max_seq_len - len(row)) for row in rows]) == Counter(map(tuple, chunks))


@given(chunks=CHUNKS)
def test_no_more_rows_are_open_than_allowed(chunks):
    packer = RowPacker(12, CLASSIFY, max_open_rows=2)
    for chunk in chunks:
        added(packer, [chunk])
        assert packer.num_open_rows == len(packer.open_rows) <= 2
    assert len(packer.finish()) <= 2
    assert packer.num_open_rows == 0 and packer.open_rows == []


def test_a_chunk_goes_into_the_fullest_row_with_room():
    assert packed(RowPacker(8, CLASSIFY), ([5] * 4, [6] * 5, [7] * 2, [8])) == [
        [CLASSIFY, *[6] * 5, SEPARATE],
        [CLASSIFY, *[5] * 4, SEPARATE, 8, SEPARATE],
        [CLASSIFY, 7, 7, SEPARATE],
    ]


@pytest.mark.parametrize("max_open_rows", [3, MAX_OPEN_ROWS])
@given(chunks=CHUNKS, data=st.data())
def test_another_packer_continues_with_the_open_rows(max_open_rows, chunks, data):
    middle = data.draw(st.integers(0, len(chunks)))
    first = RowPacker(12, CLASSIFY, max_open_rows)
    rows = [tokens_of(row) for row in added(first, chunks[:middle])]
    second = RowPacker(12, CLASSIFY, max_open_rows, open_rows=first.open_rows)
    assert second.num_open_rows == first.num_open_rows
    assert rows + packed(second, chunks[middle:]) == packed(RowPacker(12, CLASSIFY, max_open_rows), chunks)
