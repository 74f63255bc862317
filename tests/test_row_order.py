"""The order of the rows of an epoch: every row once, close together on the disk, the same for seed and epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text.packing import row_order
from text.packing.row_order import BlockOrder, random_order

SIZES = {"count": st.integers(1, 300), "rows_per_block": st.integers(1, 9), "blocks_per_buffer": st.integers(1, 6)}


def block_order(count, rows_per_block, blocks_per_buffer, seed=1, epoch=2):
    return BlockOrder(count, seed, epoch, blocks_per_buffer * rows_per_block, rows_per_block)


@given(**SIZES, epoch=st.integers(0, 3))
def test_every_row_comes_once(count, rows_per_block, blocks_per_buffer, epoch):
    order = block_order(count, rows_per_block, blocks_per_buffer, epoch=epoch)
    rows = order[:]
    assert len(order) == count and rows.dtype == np.int64
    assert sorted(rows) == list(range(count))


@given(**SIZES)
def test_the_rows_of_a_time_are_of_few_blocks(count, rows_per_block, blocks_per_buffer):
    rows = block_order(count, rows_per_block, blocks_per_buffer)[:]
    size = rows_per_block * blocks_per_buffer
    for start in range(0, count, size):
        # A short block makes one buffer shorter, so that the later ones begin earlier.
        assert len(set(rows[start : start + size] // rows_per_block)) <= 2 * blocks_per_buffer


@given(**SIZES, data=st.data())
def test_any_part_can_be_had_at_any_time(count, rows_per_block, blocks_per_buffer, data):
    order = block_order(count, rows_per_block, blocks_per_buffer)
    rows = order[:]
    for _ in range(3):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, count + 3)] * 2)))
        np.testing.assert_array_equal(order[start:end], rows[start:end])
        np.testing.assert_array_equal(block_order(count, rows_per_block, blocks_per_buffer)[start:end], rows[start:end])


def test_blocks_and_rows_are_shuffled_anew_by_seed_and_epoch():
    orders = [block_order(400, 10, 4, seed, epoch)[:] for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    blocks = [[set(order[start : start + 40] // 10) for start in range(0, 400, 40)] for order in orders]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert blocks[one] != blocks[other]
        assert np.count_nonzero(orders[one] == orders[other]) < 20
    assert [len(each) for each in blocks[0]] == [4] * 10
    assert np.count_nonzero(np.diff(orders[0]) == 1) < 40, "rows in the order of the file"


@pytest.mark.parametrize("count", [1, 5, 32])
def test_few_rows_have_the_order_of_a_permutation(monkeypatch, count):
    monkeypatch.setattr(row_order, "ROWS_PER_BLOCK", 4)
    monkeypatch.setattr(row_order, "TOKENS_PER_BUFFER", 32 * 8)
    expected = np.random.default_rng((3, 1)).permutation(count)
    np.testing.assert_array_equal(random_order(count, 3, 1, max_seq_len=8)[:], expected)


def test_many_rows_are_shuffled_in_blocks(monkeypatch):
    monkeypatch.setattr(row_order, "ROWS_PER_BLOCK", 4)
    monkeypatch.setattr(row_order, "TOKENS_PER_BUFFER", 32 * 8)
    np.testing.assert_array_equal(random_order(33, 3, 1, max_seq_len=8)[:], BlockOrder(33, 3, 1, 32, 4)[:])


def test_a_million_rows_of_the_usual_length_are_few():
    assert isinstance(random_order(1 << 20, 0, 0, max_seq_len=64), np.ndarray)
    assert isinstance(random_order((1 << 20) + 1, 0, 0, max_seq_len=64), BlockOrder)
