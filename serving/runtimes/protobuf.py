"""Read the wire format of Protocol Buffers, in which an `.onnx` file is written, without the package `onnx`.

Nothing is copied: a message is a view of the file, so that weights that nobody looks at are not even read.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; the others are those of groups, which ONNX does not use
WIDTHS = {FIXED64: 8, FIXED32: 4}
MAX_VARINT_BYTES = 10

Value = int | memoryview


class Message:
    """The fields of a message: numbers as int, anything else as a view of its bytes.

    Args:
        data: the bytes of the message.
        known: the numbers of the fields that it may have.

    Raises:
        ValueError: it is damaged, or has another field.
    """

    def __init__(self, data: memoryview, known: Iterable[int]) -> None:
        self._fields: dict[int, list[Value]] = {}
        known = set(known)
        for number, value in _fields(data):
            if number not in known:
                raise ValueError(f"it has the field {number} in a place where no exported model has it")
            self._fields.setdefault(number, []).append(value)

    def all(self, number: int) -> list[memoryview]:
        """Return the values of a field that may occur any number of times, none of which is a number."""
        values = self._fields.get(number, [])
        if not all(isinstance(value, memoryview) for value in values):
            raise ValueError(f"its field {number} is a number")
        return values

    def one(self, number: int) -> memoryview | None:
        """Return the value of a field that may occur once; readers differ on which of two counts."""
        values = self.all(number)
        if len(values) > 1:
            raise ValueError(f"its field {number} occurs {len(values)} times")
        return values[0] if values else None

    def text(self, number: int) -> str:
        """Return the text of a field that may occur once; "" if it does not."""
        return text_of(self.one(number) or memoryview(b""))

    def integer(self, number: int, default: int = 0) -> int:
        """Return the signed integer of a field that may occur once."""
        values = self.integers(number)
        if len(values) > 1:
            raise ValueError(f"its field {number} occurs {len(values)} times")
        return values[0] if values else default

    def integers(self, number: int) -> list[int]:
        """Return the signed integers of a field, which may be packed into one value."""
        found = []
        for value in self._fields.get(number, []):
            found += [value] if isinstance(value, int) else _packed(value)
        return [each - 2**64 if each >= 2**63 else each for each in found]

    def size(self, number: int) -> int:
        """Return the number of bytes of all values of a field."""
        return sum(1 if isinstance(value, int) else len(value) for value in self._fields.get(number, []))


def text_of(value: memoryview) -> str:
    """Return the text of a value in UTF-8."""
    return str(value, "utf-8")


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, position = _varint(data, position)
        elif wire_type == BYTES or wire_type in WIDTHS:
            length = WIDTHS.get(wire_type)
            if length is None:
                length, position = _varint(data, position)
            if length > end - position:
                raise ValueError("it ends too early")
            value, position = data[position : position + length], position + length
        else:
            raise ValueError("it is not in the format of Protocol Buffers")
        yield number, value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return the number at a position, unsigned, and the position behind it."""
    value = 0
    for index in range(MAX_VARINT_BYTES):
        if position + index >= len(data):
            raise ValueError("it ends too early")
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & 2**64 - 1, position + index + 1
    raise ValueError("it has a number that is too long")


def _packed(data: memoryview) -> list[int]:
    position, found = 0, []
    while position < len(data):
        value, position = _varint(data, position)
        found.append(value)
    return found
