"""Files of safetensors: every type that NumPy knows, bfloat16, and damage."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from network.checkpoints.formats import read_tensors
from system.errors import InputError

TENSORS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([1.5, -2], np.float16),
    "double": np.array(0.1),
    "position_ids": np.arange(4)[None],
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
}
CONTENT = save(TENSORS)


def read(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    return read_tensors(folder)


def by_hand(tensors):
    """Return a file of tensors, each a type of the format, a shape and bytes."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_floats_become_float32_and_others_stay(tmp_path):
    found = read(tmp_path, CONTENT)
    assert found.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        expected = values.astype(np.float32) if values.dtype.kind == "f" else values
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_bfloat16(tmp_path):
    bits = np.array([[0x3F80, 0xC020], [0x7F80, 0x0000]], "<u2").tobytes()
    content = by_hand({"before": ("U8", [3], b"abc"), "a": ("BF16", [2, 2], bits), "scalar": ("BF16", [], bits[2:4])})
    found = read(tmp_path, content)
    assert found["a"].dtype == found["scalar"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], [[1, -2.5], [np.inf, 0]])
    assert found["scalar"] == -2.5 and found["scalar"].shape == ()
    np.testing.assert_array_equal(found["before"], list(b"abc"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        CONTENT[:-1],
        CONTENT[:20],
        CONTENT + b"a",
        b"\xff" * 100,
        by_hand({"a": ("F8_E4M3", [1], b"a")}),
        by_hand({"a": ("F32", [2**40], b"abcd")}),
        by_hand({"a": ("BF16", [3], b"abcd")}),
    ],
)
def test_damaged_files_are_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"model\.safetensors: damaged, or not a checkpoint"):
        read(tmp_path, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, len(CONTENT)), length=st.integers(0, 8), other=st.binary(max_size=8))
def test_any_damage_is_read_or_refused(tmp_path, start, length, other):
    try:
        read(tmp_path, CONTENT[:start] + other + CONTENT[start + length :])
    except InputError as error:
        assert "model.safetensors" in str(error)
