"""Read the wire format of Protocol Buffers."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from serving.runtimes.protobuf import Message, text_of

ANY = range(1, 100)


@given(name=st.text(), axis=st.integers(-(2**63), 2**63 - 1), sizes=st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_it_reads_what_the_library_writes(name, axis, sizes):
    attribute = onnx.AttributeProto(name=name, i=axis, f=1.5, ints=sizes)
    message = Message(memoryview(attribute.SerializeToString()), ANY)
    assert (message.text(1), message.integer(3), message.integers(8)) == (name, axis, sizes)
    assert message.size(2) == 4


@given(names=st.lists(st.text(), max_size=5))
def test_a_repeated_field_keeps_its_order(names):
    node = helper.make_node("Add", names, [])
    assert [text_of(each) for each in Message(memoryview(node.SerializeToString()), ANY).all(1)] == names


def test_a_packed_list_may_be_in_two_parts():
    assert Message(memoryview(b"\x42\x02\x01\x02\x40\x03"), ANY).integers(8) == [1, 2, 3]


@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        message = Message(memoryview(data), ANY)
        message.integers(1), message.one(2), message.text(3)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x0a\x05ab", "ends too early"),
        (b"\x0a", "ends too early"),
        (b"\x08" + b"\xff" * 11, "too long"),
        (b"\x0b", "not in the format"),
        (b"\xa2\x06\x00", "has the field 100"),
    ],
    ids=["short", "no length", "long number", "group", "unknown"],
)
def test_damage_is_refused(data, words):
    with pytest.raises(ValueError, match=words):
        Message(memoryview(data), ANY)


def test_a_field_that_may_occur_once_is_refused_twice():
    message = Message(memoryview(b"\x0a\x01a\x0a\x01b\x10\x01\x10\x02"), ANY)
    for read in (lambda: message.one(1), lambda: message.integer(2)):
        with pytest.raises(ValueError, match="occurs 2 times"):
            read()
    with pytest.raises(ValueError, match="is a number"):
        message.all(2)
