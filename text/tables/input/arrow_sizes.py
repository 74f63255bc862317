"""The sizes of values in pyarrow's form, before they become Python values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow
from pyarrow import compute, types

from text.tables.input import limits

PART_CHARACTERS = 4 * limits.MAX_ROW_CHARACTERS


def row_sizes(array: pyarrow.Array) -> np.ndarray:
    """Return the size of each value, int64, (values,): the characters or bytes of text, and 1 for any other value.

    A text in a dictionary counts as often as it occurs. The size of a list, a map or a struct is that of its values.

    Raises:
        pyarrow.ArrowException: the array is of a damaged file, and refers to values that are not there.
    """
    kind = array.type
    if types.is_dictionary(kind):
        sizes = np.append(row_sizes(array.dictionary), 0)  # the last one is that of a missing value
        indices = array.indices.cast(pyarrow.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        _require(indices.min(initial=-1) >= -1 and indices.max(initial=-1) < len(array.dictionary))
        return sizes[indices]
    if types.is_string(kind) or types.is_large_string(kind):
        return _numbers(compute.utf8_length(array))
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _numbers(compute.binary_length(array))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        ends = np.concatenate([[0], np.cumsum(row_sizes(array.values))])
        offsets = array.offsets.to_numpy()
        _require(offsets[0] >= 0 and offsets[-1] < len(ends) and (np.diff(offsets) >= 0).all())
        return 1 + np.diff(ends[offsets])
    if types.is_fixed_size_list(kind):
        values = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        return 1 + row_sizes(values).reshape(len(array), kind.list_size).sum(axis=1)
    if types.is_struct(kind):
        return sum((row_sizes(array.field(index)) for index in range(kind.num_fields)), np.ones(len(array), np.int64))
    return np.ones(len(array), np.int64)


def parts_that_fit(batch: pyarrow.RecordBatch) -> Iterator[tuple[pyarrow.RecordBatch, bool]]:
    """Yield a batch in parts that fit into memory as Python values.

    Returns:
        Each part, and whether its rows are short enough to be read; one that is not is a part of its own.
    """
    sizes = sum(map(row_sizes, batch.columns), np.zeros(batch.num_rows, np.int64))
    if sizes.sum() <= min(PART_CHARACTERS, limits.MAX_ROW_CHARACTERS):  # nearly always
        yield batch, True
        return
    start = characters = 0
    for row, size in enumerate(sizes.tolist()):
        if row > start and (characters + size > PART_CHARACTERS or size > limits.MAX_ROW_CHARACTERS):
            yield _rows(batch, start, row), True
            start, characters = row, 0
        characters += size
        if size > limits.MAX_ROW_CHARACTERS:
            yield batch.slice(row, 1), False
            start, characters = row + 1, 0
    if start < batch.num_rows:
        yield _rows(batch, start, batch.num_rows), True


def _rows(batch: pyarrow.RecordBatch, start: int, end: int) -> pyarrow.RecordBatch:
    # Not a slice, of whose lists pyarrow would later cast the values of the whole batch.
    return batch.take(pyarrow.array(range(start, end)))


def _require(refers_to_values: bool) -> None:
    # Not by pyarrow's own validation, which also refuses text that is not UTF-8, and this is kept as it is.
    if not refers_to_values:
        raise pyarrow.ArrowInvalid("a value that is not there is referred to")


def _numbers(sizes: pyarrow.Array) -> np.ndarray:
    return sizes.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
