"""The interpreter of pickles: state dicts are read, everything else is refused, and nothing in a pickle is run."""

import io
import os
import pickle
import pickletools
import struct
import subprocess
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch_files import (
    EMPTY_ORDERED_DICT,
    REBUILD,
    dict_operations,
    operations,
    pickled,
    storage_operations,
    tensor_operations,
)

from network.checkpoints.pytorch.torch_pickle import KNOWN_NAMES, Storage, Tensor, unpickle
from system.errors import InputError

FLOATS = storage_operations("0", "FloatStorage", 12)
DAMAGE = (ValueError, TypeError, LookupError, OverflowError)


def read(content):
    return unpickle(io.BytesIO(content), "a.bin")[0]


def refused(content):
    """Return the message with which a pickle is refused."""
    with pytest.raises(InputError) as caught:
        read(content)
    assert "a.bin: contains " in str(caught.value)
    assert "may be hostile" in str(caught.value) and "model.safetensors" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_those_of_pickle(protocol):
    value = {"a": [1, 2.5, None, True, False, -(2**70), "好", ("x",) * 300], 3: {}, "t": ((), (1,), (1, 2), (1, 2, 3))}
    assert read(pickle.dumps(value, protocol)) == value


def test_a_state_dict_with_the_versions_of_its_layers():
    found = read(pickled(dict_operations({"a": tensor_operations(FLOATS, (3, 4), (4, 1))})))
    storage = Storage(KNOWN_NAMES["torch.FloatStorage"], "0", 12)
    assert found == {"a": Tensor(storage, 0, (3, 4), (4, 1))}


def test_the_stream_ends_at_the_end_of_the_pickle():
    stream = io.BytesIO(pickled(b"N") + b"rest")
    assert unpickle(stream, "a.bin") == (None, {})
    assert stream.read() == b"rest"


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_hostile_pickles_run_nothing(tmp_path, protocol):
    marker = tmp_path / "marker"
    command = f"touch {marker}"
    hostile = [
        Call(os.system, command),
        Call(subprocess.Popen, ["touch", str(marker)]),
        Call(eval, f"open({str(marker)!r}, 'w')"),
        Call(exec, f"open({str(marker)!r}, 'w')"),
        Call(getattr, Call(open, str(marker), "w"), "close"),
    ]
    for value in hostile:
        refused(pickle.dumps(value, protocol))
        refused(pickle.dumps({"weight": value}, protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"cos\nsystem\n(" + operations("touch {marker}") + b"tR", "'os.system'"),
        (b"cposix\nsystem\n)R", "'posix.system'"),
        (b"c__builtin__\neval\n" + operations(("1",)) + b"R", "'__builtin__.eval'"),
        (b"cbuiltins\ngetattr\n(cos\nenviron\n" + operations("clear") + b"tR)R", "'builtins.getattr'"),
        (operations("os") + operations("system") + b"\x93", "'os.system'"),
        (
            operations("collections") + operations("OrderedDict.fromkeys") + b"\x93",
            "'collections.OrderedDict.fromkeys'",
        ),
        (b"ctorch.serialization\nload\n", "'torch.serialization.load'"),
        (b"ctorch.hub\nload\n", "'torch.hub.load'"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n", "'torch._utils._rebuild_sparse_tensor'"),
        (b"ctorch._utils\n__builtins__\n", "'torch._utils.__builtins__'"),
        (b"(ios\nsystem\n", "'INST os system'"),
        (b"(ccollections\nOrderedDict\no", "'OBJ'"),
        (b"ccollections\nOrderedDict\n)\x81", "'NEWOBJ'"),
        (b"ccollections\nOrderedDict\n)}\x92", "'NEWOBJ_EX'"),
        (b"\x82\x01", "'EXT1 1'"),
        (b"Pcpu\n", "'PERSID cpu'"),
        (b"\x8f", "'EMPTY_SET'"),
        (b"\x96" + struct.pack("<Q", 1) + b"a", "BYTEARRAY8"),
        (b"c" + b"a" * 500 + b"\nb\n", f"'{'a' * 100}'"),
    ],
)
def test_forbidden_names_and_operations_are_named(tmp_path, body, name):
    assert name in refused(pickled(body.replace(b"{marker}", str(tmp_path / "m").encode())))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [
        # Known names with strange arguments.
        b"ccollections\nOrderedDict\n" + operations(([("a", 1)],)) + b"R",
        b"ccollections\nOrderedDict\nNR",
        b"ctorch\nFloatStorage\n" + operations((10**12,)) + b"R",
        operations("os.system") + operations(("true",)) + b"R",
        b")" + REBUILD + b"R",
        REBUILD + b")R",
        REBUILD + operations((1, 2, 3, 4, 5, 6)) + b"R",
        REBUILD + operations((None, 0, (), ())) + b"R",
        REBUILD + REBUILD + b"\x85R",
        b"ctorch._utils\n_rebuild_parameter\n" + operations((5, True, None)) + b"R",
        # Changing what is not a dictionary or a list.
        REBUILD + operations({"__defaults__": ()}) + b"b",
        REBUILD + operations((None, {"__code__": 1})) + b"b",
        REBUILD + operations("a") + b"Ns",
        b"ctorch\nFloatStorage\n" + operations({"type": 1}) + b"b",
        b")Na",
        EMPTY_ORDERED_DICT + b"Na",
        b"]Nb",
        # Keys whose hash could take forever.
        b"}))s",
        b"}((tNu",
        b"}(Nu",
        # Storages and their identities.
        b"NQ",
        b")Q",
        operations(("module", 1, "0", "cpu", 1)) + b"Q",
        operations(("storage", "torch.FloatStorage", "0", "cpu", 1)) + b"Q",
        storage_operations("0", "FloatStorage", -1),
        storage_operations("0", "FloatStorage", 2**63),
        storage_operations(0, "FloatStorage", 1),
        FLOATS + storage_operations("0", "FloatStorage", 13),
        FLOATS + storage_operations("0", "DoubleStorage", 12),
        storage_operations("0", "FloatStorage", 12, ("1", 0, 4)),
        # The stack, the memo and the numbers of the format.
        b"",
        b"u",
        b"a",
        b"t",
        b"\x85",
        b"h\x00",
        b"j\xff\xff\xff\xff",
        b"r\xff\xff\xff\xff",
        b"\x93",
        b"NN\x93",
        b"X\xff\xff\xff\xffa",
        b"\x8d" + b"\xff" * 7 + b"\x7fa",
        b"\x8b\xff\xff\xff\x7f1",
        b"X\x01\x00\x00\x00\xff",
        b"\xff",
    ],
)
def test_strange_pickles_are_refused(body):
    with pytest.raises(DAMAGE):
        read(pickled(body))


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((3, 4), (5, 1), 0),
        ((1,), (1,), 12),
        ((2,), (12,), 0),
        ((2, 2), (2**62, 2**62), 0),
        ((3,), (2**63 - 1,), 0),
        ((2,), (-1,), 1),
        ((-2,), (1,), 0),
        ((-2, -2), (1, 1), 0),
        ((1,), (1,), -1),
        ((1,), (1,), 2**63),
        ((10**9, 10**9), (0, 0), 0),
        ((13,), (0,), 0),
        ((2, 2), (1,), 0),
        ((1.0,), (1,), 0),
        ((True,), (1,), 0),
        (("1",), (1,), 0),
        ((1,) * 65, (1,) * 65, 0),
        ((10 ** (10**5),), (1,), 0),
        ([12], [1], 0),
    ],
)
def test_tensors_outside_their_storage_are_refused(size, stride, offset):
    with pytest.raises(DAMAGE):
        read(pickled(tensor_operations(FLOATS, size, stride, offset)))


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((12,), (1,), 0),
        ((4, 3), (1, 4), 0),
        ((2,), (11,), 0),
        ((), (), 11),
        ((1, 1), (99, 99), 11),
        ((0, 5), (5, 1), 0),
    ],
)
def test_tensors_inside_their_storage_are_read(size, stride, offset):
    tensor = read(pickled(tensor_operations(FLOATS, size, stride, offset)))
    assert (tensor.size, tensor.stride, tensor.offset) == (size, stride, offset)


BOMBS = {
    "a position of the memo for which pickle makes a table of 32 GB": b"Nr\xff\xff\xff\x7f",
    "tuples in tuples": b")" + b"\x85" * 100_000,
    "tuples that double": b")" + b"\x94h\x00\x86" * 50,
    "marks": b"(" * 100_000 + b"N",
    "lists in lists": b"]" * 100_000 + b"a" * 99_999,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_need_no_memory(name):
    content = pickled(BOMBS[name])
    tracemalloc.start()
    try:
        read(content)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_a_nested_key_does_not_end_the_process():
    with pytest.raises(ValueError, match="key of a dictionary"):
        read(pickled(b"})" + b"\x85" * 300_000 + b"Ns"))


STATE_DICT = pickled(dict_operations({"a": tensor_operations(FLOATS, (3, 4), (4, 1)), "b": FLOATS}))
OPERATIONS = st.sampled_from([operation.code.encode("latin-1") for operation in pickletools.opcodes])
PIECES = st.one_of(
    OPERATIONS,
    st.binary(max_size=4),
    st.sampled_from([REBUILD, FLOATS, EMPTY_ORDERED_DICT, tensor_operations(FLOATS, (3,), (1,)), b"cos\nsystem\n"]),
    st.builds(operations, st.integers() | st.text(max_size=3) | st.tuples(st.integers(0, 20), st.integers(0, 20))),
)


def read_or_refuse(content):
    try:
        read(content)
    except InputError as error:
        assert "may be hostile" in str(error)
    except DAMAGE:
        pass


@given(pieces=st.lists(PIECES, max_size=30))
@example(pieces=[b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_any_operations_are_read_or_refused(pieces):
    read_or_refuse(pickled(b"".join(pieces)))


@given(start=st.integers(0, len(STATE_DICT)), length=st.integers(0, 8), other=st.binary(max_size=8))
def test_any_damage_is_read_or_refused(start, length, other):
    read_or_refuse(STATE_DICT[:start] + other + STATE_DICT[start + length :])


@given(content=st.binary())
def test_any_bytes_are_read_or_refused(content):
    read_or_refuse(content)
