"""The sizes of pyarrow's values, those of slices too."""

import pyarrow
import pytest

from text.tables.input import arrow_sizes
from text.tables.input.arrow_sizes import parts_that_fit, row_sizes

LISTS = [["好好", None], None, [], ["abc"]]


@pytest.mark.parametrize(
    ("array", "sizes"),
    [
        (pyarrow.array(["好好", None, "", "abc"]), [2, 0, 0, 3]),
        (pyarrow.array(["好好", None, "", "abc"], pyarrow.large_string()), [2, 0, 0, 3]),
        (pyarrow.array(["好好", None, "", "abc"]).dictionary_encode(), [2, 0, 0, 3]),
        (pyarrow.nulls(2).dictionary_encode(), [0, 0]),
        (pyarrow.array([b"ab", None]), [2, 0]),
        (pyarrow.array([1.5, None]), [1, 1]),
        (pyarrow.array(LISTS), [3, 1, 1, 4]),
        (pyarrow.array(LISTS, pyarrow.large_list(pyarrow.string())), [3, 1, 1, 4]),
        (pyarrow.array([[1, 2], [3, 4]], pyarrow.list_(pyarrow.int8(), 2)), [3, 3]),
        (pyarrow.array([{"a": "abc", "b": 1}, None]), [5, 2]),
        (pyarrow.array([[("a", "xyz")], []], pyarrow.map_(pyarrow.string(), pyarrow.string())), [6, 1]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pyarrow.Array) else "",
)
def test_each_type(array, sizes):
    assert row_sizes(array).tolist() == sizes
    assert row_sizes(array.slice(1)).tolist() == sizes[1:]


def test_parts(monkeypatch):
    monkeypatch.setattr("text.tables.input.limits.MAX_ROW_CHARACTERS", 5)
    monkeypatch.setattr(arrow_sizes, "PART_CHARACTERS", 6)
    lengths = [3, 3, 1, 9, 5, 5, 9, 2]
    batch = pyarrow.record_batch({"text": ["a" * length for length in lengths]})
    parts = [([len(text) for text in part["text"].to_pylist()], fits) for part, fits in parts_that_fit(batch)]
    assert parts == [([3, 3], True), ([1], True), ([9], False), ([5], True), ([5], True), ([9], False), ([2], True)]


@pytest.mark.parametrize("index", [2, -2, 1000])
def test_a_reference_to_a_missing_value_is_an_error(index):
    indices = pyarrow.array([0, index, 1], pyarrow.int32())
    damaged = pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array(["a", "bc"]), safe=False)
    with pytest.raises(pyarrow.ArrowInvalid):
        row_sizes(damaged)


@pytest.mark.parametrize("offsets", [[0, 3, 1], [0, 1, 9]])
def test_offsets_outside_of_the_values_are_an_error(offsets):
    with pytest.raises(pyarrow.ArrowInvalid):
        row_sizes(pyarrow.ListArray.from_arrays(pyarrow.array(offsets, pyarrow.int32()), pyarrow.array([1, 2])))
