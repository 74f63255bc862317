"""Rows on disk: they are read as they are, without filling the memory, and pairs are counted."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text.packing import packed_rows
from text.packing.packed_rows import PackedRows, RowReader

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, np.arange(400, dtype=np.uint16).reshape(100, 4))
    return path


@pytest.mark.parametrize("bytes_per_map", [0, 60, 1 << 30])
@given(parts=st.lists(st.lists(st.integers(0, 99), max_size=20), max_size=10))
def test_rows_are_those_of_the_file(file, bytes_per_map, parts):
    rows = np.load(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_rows, "BYTES_PER_MAP", bytes_per_map)
        # A part of a mapped array is no whole file.
        for array, first in ((np.load(file, mmap_mode="r"), 0), (np.load(file, mmap_mode="r")[30:], 30), (rows, 0)):
            read = RowReader(array)
            for part in parts:
                part = np.array([number for number in part if number < len(array)], int)
                found = read(part)
                assert type(found) is np.ndarray
                np.testing.assert_array_equal(found, rows[first + part])
            np.testing.assert_array_equal(read(slice(3, 7)), rows[first + 3 : first + 7])


def mapped_mebibytes():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssFile"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much of its mapped files a process has read")
def test_the_memory_does_not_grow_with_what_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_rows, "BYTES_PER_MAP", MEBIBYTE)
    array = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.uint8, (100 * 1024, 1024))
    del array  # what was written through it counted too
    array = np.load(tmp_path / "rows.npy", mmap_mode="r")
    before = mapped_mebibytes()
    read = RowReader(array)
    for start in range(0, len(array), 512):
        read(np.arange(start, start + 512))
    assert mapped_mebibytes() - before < 10
    array.sum()
    assert mapped_mebibytes() - before > 90


def test_pairs_are_counted_in_parts(monkeypatch):
    monkeypatch.setattr(packed_rows, "ROWS_COUNTED_AT_ONCE", 7)
    pairs = np.stack([np.arange(50) % 3, np.arange(50)], axis=1).astype(np.uint32)
    rows = PackedRows(np.zeros((50, 4), np.uint16), None, 50, 0, 0, pairs)
    assert rows.num_pairs == np.count_nonzero(np.arange(50) % 3)
    assert PackedRows(np.zeros((50, 4), np.uint16), None, 50, 0, 0).num_pairs == 0
