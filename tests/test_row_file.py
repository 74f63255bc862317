"""Files of rows: NumPy reads them, and a later run continues them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text.packing.row_file import RowFile, ShortFile

ROWS = np.arange(40, dtype=np.uint16).reshape(10, 4)


@pytest.mark.parametrize("count", [0, 1, 10, 123_456])
def test_the_file_is_the_one_that_numpy_writes(tmp_path, count):
    rows = np.arange(2 * count, dtype=np.uint32).reshape(count, 2)
    file = RowFile(tmp_path / "rows.npy", rows.dtype, 2)
    for part in np.array_split(rows, 3):
        file.append(part)
    file.finish()
    np.save(tmp_path / "expected.npy", rows)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


@given(kept=st.integers(0, 10), written=st.integers(0, 10))
def test_an_interrupted_file_is_cut_and_continued(tmp_path_factory, kept, written):
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    first = RowFile(path, np.uint16, 4)
    first.append(ROWS[:written])
    first.close()
    if written < kept:
        with pytest.raises(ShortFile):
            RowFile(path, np.uint16, 4, kept)
        return
    second = RowFile(path, np.uint16, 4, kept)
    assert second.num_rows == kept
    second.append(ROWS[kept:])
    second.finish()
    np.testing.assert_array_equal(np.load(path), ROWS)


def test_a_missing_file_is_short(tmp_path):
    with pytest.raises(ShortFile):
        RowFile(tmp_path / "rows.npy", np.uint16, 4, 0)
