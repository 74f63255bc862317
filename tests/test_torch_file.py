"""Files of torch.save in both forms: the same tensors as PyTorch, damage, and hostile files."""

import functools
import importlib.util
import io
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_files import (
    dict_operations,
    legacy_file,
    operations,
    pickled,
    storage_operations,
    tensor_operations,
    zip_file,
)

from network.checkpoints.formats import read_tensors
from system.errors import InputError

FORMS = ("zip", "legacy")
VALUES = np.arange(12, dtype=np.float32)


def read(folder, content):
    (folder / "pytorch_model.bin").write_bytes(content)
    return read_tensors(folder)


def file_of(form, body_of_storage, kind="FloatStorage", values=VALUES, numel=None, **options):
    """Return a file with one storage, "0"; `body_of_storage` returns the operations of the state dict."""
    numel = len(values) if numel is None else numel
    further = () if form == "zip" else (None,)
    body = body_of_storage(storage_operations("0", kind, numel, *further))
    if form == "zip":
        return zip_file(body, {"0": values.tobytes()}, **options)
    return legacy_file(body, {"0": (len(values), values.tobytes())}, **options)


def one_tensor(size, stride, offset=0):
    return lambda storage: dict_operations({"a": tensor_operations(storage, size, stride, offset)})


def two_tensors(storage):
    first, second = tensor_operations(storage, (4, 3), (1, 4)), tensor_operations(storage, (2, 2), (6, 2), 3)
    return dict_operations({"a": first, "b": second})


def refused(folder, content):
    with pytest.raises(InputError) as caught:
        read(folder, content)
    assert "pytorch_model.bin" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
class TestByHand:
    def test_strided_offset_and_shared_tensors(self, tmp_path, form):
        found = read(tmp_path, file_of(form, two_tensors))
        np.testing.assert_array_equal(found["a"], VALUES.reshape(3, 4).T)
        np.testing.assert_array_equal(found["b"], [[3, 5], [9, 11]])
        assert np.shares_memory(found["a"], found["b"])
        found["b"][0, 0] = 50  # they can be written to
        assert found["a"][3, 0] == 50

    @pytest.mark.parametrize(
        ("kind", "dtype", "expected"),
        [
            ("HalfStorage", "<f2", np.float32),
            ("DoubleStorage", "<f8", np.float32),
            ("LongStorage", "<i8", np.int64),
            ("IntStorage", "<i4", np.int32),
            ("ByteStorage", "u1", np.uint8),
            ("BoolStorage", "?", np.bool_),
        ],
    )
    def test_types(self, tmp_path, form, kind, dtype, expected):
        values = np.array([0, 1, 0, 1], dtype)
        tensor = read(tmp_path, file_of(form, one_tensor((2, 2), (2, 1)), kind, values))["a"]
        assert tensor.dtype == expected
        np.testing.assert_array_equal(tensor, [[0, 1], [0, 1]])

    def test_bfloat16(self, tmp_path, form):
        bits = np.array([0x3F80, 0xC020, 0x7F80], "<u2")
        tensor = read(tmp_path, file_of(form, one_tensor((3,), (1,)), "BFloat16Storage", bits))["a"]
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, [1, -2.5, np.inf])

    def test_scalars_and_empty_tensors(self, tmp_path, form):
        assert read(tmp_path, file_of(form, one_tensor((), (), 7)))["a"] == 7
        assert read(tmp_path, file_of(form, one_tensor((0, 3), (3, 1)), values=VALUES[:0]))["a"].shape == (0, 3)

    @pytest.mark.parametrize("key", ["state_dict", "model"])
    def test_a_state_dict_inside_of_a_dictionary(self, tmp_path, form, key):
        def body(storage):
            return dict_operations({"epoch": operations(3), key: two_tensors(storage)})

        assert list(read(tmp_path, file_of(form, body))) == ["a", "b"]

    def test_big_endian_numbers_are_refused(self, tmp_path, form):
        option = {"byte_order": b"big"} if form == "zip" else {"little_endian": False}
        assert "big-endian" in refused(tmp_path, file_of(form, two_tensors, **option))

    @pytest.mark.parametrize(
        "content", [operations([1]), operations({}), operations({"a": 1}), operations({"model": {}}), b"cos\nsystem\n"]
    )
    def test_files_without_tensors_are_refused(self, tmp_path, form, content):
        refused(tmp_path, file_of(form, lambda storage: content))

    @pytest.mark.parametrize("numel", [0, 11, 13, 2**40, 2**63 - 1])
    def test_wrong_lengths_are_refused(self, tmp_path, form, numel):
        refused(tmp_path, file_of(form, one_tensor((), (), 0), numel=numel))

    def test_truncated_files_are_refused(self, tmp_path, form):
        content = file_of(form, two_tensors)
        for length in range(0, len(content), 7):
            refused(tmp_path, content[:length])


def test_a_hostile_file_is_named_and_runs_nothing(tmp_path):
    marker = tmp_path / "marker"
    attack = b"cos\nsystem\n" + operations((f"touch {marker}",)) + b"R"
    for content in (
        zip_file(dict_operations({"a": attack}), {}),
        legacy_file(dict_operations({"a": attack}), {}),
        pickled(attack),
        legacy_file(operations({}), {}) + pickled(attack),
    ):
        assert "'os.system'" in (message := refused(tmp_path, content)) or "no tensors" in message
        assert not marker.exists()


def archive(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_a_compressed_archive_is_refused(tmp_path):
    bomb = archive({"a/data.pkl": pickled(b"N"), "a/data/0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    assert "compressed" in refused(tmp_path, bomb)


def test_an_archive_whose_members_overlap_is_refused(tmp_path):
    content = file_of("zip", two_tensors, values=np.arange(1000, dtype=np.float32))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry_of_values = content[content.rindex(b"PK\x01\x02", start, end) : end]
    entries = content[start:end] + entry_of_values * 2  # as well as data.pkl, byteorder and the values themselves
    ending = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 5, 5, len(entries), start, 0)
    assert "larger than the whole" in refused(tmp_path, content[:start] + entries + ending)


@pytest.mark.parametrize("members", [{}, {"a/b": b""}, {"a/data.pkl": b"", "b/data.pkl": b""}])
def test_other_archives_are_refused(tmp_path, members):
    refused(tmp_path, archive(members))


@pytest.mark.parametrize("keys", [5, [("0",)], ["1"], [], ["0", "0"], [0]])
def test_wrong_keys_of_storages_are_refused(tmp_path, keys):
    content = file_of("legacy", two_tensors)
    refused(tmp_path, content.replace(pickled(operations(["0"])), pickled(operations(keys))))


@functools.cache
def content_of(form):
    return file_of(form, two_tensors)


@pytest.mark.parametrize("form", FORMS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), length=st.integers(0, 8), other=st.binary(max_size=8))
def test_any_damage_is_read_or_refused(tmp_path, form, place, length, other):
    content = content_of(form)
    start = round(place * len(content))
    try:
        found = read(tmp_path, content[:start] + other + content[start + length :])
    except InputError as error:
        assert "pytorch_model.bin" in str(error)
    else:
        assert all(tensor.size <= len(VALUES) for tensor in found.values())


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="compares with torch: requirements-dev.txt")
@pytest.mark.parametrize("form", FORMS)
class TestComparedWithTorch:
    def save(self, folder, form, value):
        import torch

        torch.save(value, folder / "pytorch_model.bin", _use_new_zipfile_serialization=form == "zip")

    def check(self, folder, expected):
        found = read_tensors(folder)
        assert list(found) == list(expected)
        for name, tensor in expected.items():
            values = (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
            assert found[name].dtype == values.dtype, name
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        return found

    def test_every_type(self, tmp_path, form):
        import torch

        names = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
        tensors = {name: (torch.arange(6) - 3).reshape(2, 3).to(getattr(torch, name)) for name in names}
        self.save(tmp_path, form, tensors)
        self.check(tmp_path, tensors)

    def test_every_shape(self, tmp_path, form):
        import torch

        whole = torch.randn(5, 6, 7)
        tensors = {
            "whole": whole,
            "transposed": whole.permute(2, 0, 1),
            "part": whole[1:3, ::2, 3],
            "half": whole.half()[2:, 1],
            "tied": whole,
            "position_ids": torch.arange(512).expand((1, -1)),
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 3),
            "empty part": whole[:, 2:2],
            "parameter": torch.nn.Parameter(torch.randn(3)),
        }
        tensors["parameter"].initialized = True  # saved with its attributes
        self.save(tmp_path, form, tensors)
        found = self.check(tmp_path, tensors)
        assert np.shares_memory(found["whole"], found["tied"])

    def test_the_state_dict_of_a_model(self, tmp_path, form):
        import torch

        model = torch.nn.Sequential(torch.nn.Embedding(20, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 20))
        model[2].weight = model[0].weight
        state = model.state_dict()
        assert isinstance(state, OrderedDict) and "_metadata" in vars(state)
        self.save(tmp_path, form, state)
        self.check(tmp_path, state)
        self.save(tmp_path, form, {"epoch": 3, "state_dict": state, "args": {"lr": 1e-5}})
        self.check(tmp_path, state)

    def test_an_expanded_tensor_is_refused(self, tmp_path, form):
        import torch

        self.save(tmp_path, form, {"a": torch.zeros(1).expand(10**6, 10**6)})
        with pytest.raises(InputError, match="reaches outside its storage"):
            read_tensors(tmp_path)

    def test_a_whole_model_is_refused(self, tmp_path, form):
        import torch

        self.save(tmp_path, form, torch.nn.Linear(2, 2))
        with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear"):
            read_tensors(tmp_path)
