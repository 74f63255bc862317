"""The pickle of a PyTorch state dict, read by an interpreter that runs nothing of what the file names.

A restricted `pickle.Unpickler` would not be enough. A single operation makes it allocate 64 GB (LONG_BINPUT), another
changes the functions that it may call (BUILD), and a deeply nested key of a dictionary ends the process. PyTorch has an
interpreter of its own for the same purpose: `torch/_weights_only_unpickler.py`.
"""

import math
import pickletools
from dataclasses import dataclass
from types import FunctionType
from typing import BinaryIO

import numpy as np

from network.checkpoints.floats import BFLOAT16
from system.errors import InputError

MAX_DIMENSIONS = 64  # of a NumPy array
MAX_NUMBER = 2**63 - 1  # PyTorch counts in int64
MAX_NAME = 100  # characters of an unknown name in an error message


@dataclass(frozen=True, slots=True)
class Storage:
    """A one-dimensional array to which tensors refer. Its values are elsewhere in the file.

    Attributes:
        dtype: the type of its values.
        key: its name in the file.
        numel: the number of its values.
    """

    dtype: np.dtype
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A part of a storage, at most as large as the storage and completely inside of it.

    Attributes:
        storage: the storage.
        offset: the position of its first value in the storage.
        size: its shape.
        stride: how many values of the storage to move for a step along each dimension.
    """

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def unpickle(stream: BinaryIO, where: str) -> tuple[object, dict[str, Storage]]:
    """Read one pickle, up to its end and no further.

    Args:
        stream: the position is the first byte of the pickle, and afterwards the one behind its last byte. Reading more
            bytes than there are must not allocate them.
        where: the file, for the error message.

    Returns:
        The value of the pickle, made of `Tensor` and Python's own types, and all storages by their keys.

    Raises:
        InputError: the pickle needs more than the tensors of a model need; it may be hostile.
        ValueError, TypeError, LookupError: the pickle is damaged.
    """
    interpreter = _Interpreter(where)
    return interpreter.run(stream), interpreter.storages


def _new_dict() -> dict:
    return {}


def _rebuild_tensor(
    storage: Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    _requires_grad: bool = False,
    _hooks: object = None,
    metadata: object = None,
) -> Tensor:
    if type(storage) is not Storage or type(size) is not tuple or type(stride) is not tuple:
        raise ValueError("a tensor has no storage, size or stride")
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS or not all(map(_is_count, (offset, *size, *stride))):
        raise ValueError("the size, stride or offset of a tensor is impossible")
    numel = math.prod(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if numel and (numel > storage.numel or last >= storage.numel):
        raise ValueError(f"a tensor of the size {size} reaches outside its storage of {storage.numel} values")
    if metadata:
        raise ValueError("a tensor is marked as negated or conjugated, which no weight of a model is")
    return Tensor(storage, offset, size, stride)


def _rebuild_parameter(
    tensor: Tensor, _requires_grad: bool = True, _hooks: object = None, _state: object = None
) -> Tensor:
    if type(tensor) is not Tensor:
        raise ValueError("a parameter has no tensor")
    return tensor


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_NUMBER


# What the names in the pickle of a state dict mean here. None of it changes anything, and BUILD cannot change it.
KNOWN_NAMES = {
    "collections.OrderedDict": _new_dict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,  # until PyTorch 0.4
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": BFLOAT16,
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}
# Operations that push a value that follows them in the pickle, and those that push a value of their own.
LITERALS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
)
CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
LENGTHS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Interpreter:
    """The stack machine of the pickle format, with the operations that a state dict needs.

    Lists and dictionaries grow by what the file contains; no operation copies a value of any size. Keys of dictionaries
    are strings and integers, because the hash of a nested tuple can take forever.
    """

    def __init__(self, where: str) -> None:
        self.storages: dict[str, Storage] = {}
        self._where = where
        self._stack: list = []
        self._below_marks: list[list] = []
        self._memo: dict[int, object] = {}

    def run(self, stream: BinaryIO) -> object:
        for operation, argument, _ in pickletools.genops(stream):
            if operation.name in LITERALS:
                self._stack.append(argument)
            elif operation.name in CONSTANTS:
                self._stack.append(CONSTANTS[operation.name]())
            elif operation.name == "STOP":
                return self._stack.pop()
            else:
                self._execute(operation.name, argument)
        raise ValueError("the pickle has no end")

    def _execute(self, name: str, argument: object) -> None:
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._below_marks.append(self._stack)
                self._stack = []
            case "TUPLE":
                items = self._pop_to_mark()
                self._stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self._stack.pop() for _ in range(LENGTHS[name])]
                self._stack.append(tuple(reversed(items)))
            case "APPEND":
                self._extend([self._stack.pop()])
            case "APPENDS":
                self._extend(self._pop_to_mark())
            case "SETITEM":
                value, key = self._stack.pop(), self._stack.pop()
                self._set_items([key, value])
            case "SETITEMS":
                self._set_items(self._pop_to_mark())
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case "GLOBAL":
                self._stack.append(self._known(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                attribute, module = self._stack.pop(), self._stack.pop()
                if type(attribute) is not str or type(module) is not str:
                    raise ValueError("a name is not a string")
                self._stack.append(self._known(f"{module}.{attribute}"))
            case "BINPERSID":
                self._stack.append(self._storage(self._stack.pop()))
            case "REDUCE":
                arguments, function = self._stack.pop(), self._stack.pop()
                if type(function) is not FunctionType or type(arguments) is not tuple:
                    raise ValueError("something that is not a function is called")
                self._stack.append(function(*arguments))
            case "BUILD":  # the attributes of an OrderedDict: `_metadata`, the versions of the layers
                self._stack.pop()
                self._last(dict)
            case _:
                raise self._hostile(name if argument is None else f"{name} {argument}")

    def _pop_to_mark(self) -> list:
        items, self._stack = self._stack, self._below_marks.pop()
        return items

    def _last(self, kind: type) -> list | dict:
        """Return the last value on the stack, which must be a list or a dictionary, as the argument says."""
        if type(self._stack[-1]) is not kind:
            raise ValueError(f"a {type(self._stack[-1]).__name__} is changed as if it were a {kind.__name__}")
        return self._stack[-1]

    def _extend(self, items: list) -> None:
        self._last(list).extend(items)

    def _set_items(self, items: list) -> None:
        keys, values = items[::2], items[1::2]
        if not all(type(key) in (str, int) for key in keys):
            raise ValueError("the key of a dictionary is neither a string nor an integer")
        self._last(dict).update(zip(keys, values, strict=True))

    def _known(self, name: str) -> object:
        if name not in KNOWN_NAMES:
            raise self._hostile(name)
        return KNOWN_NAMES[name]

    def _hostile(self, name: str) -> InputError:
        return InputError(
            f"{self._where}: contains {name[:MAX_NAME]!r}, which the tensors of a model do not need; the file may be "
            "hostile, or contains more than a state dict. Nothing in it was run. Use the model.safetensors of the "
            "model, which cannot contain a program"
        )

    def _storage(self, identity: object) -> Storage:
        """Return the storage of an identity: "storage", type, key, device, number of values; in old files also None."""
        if type(identity) is not tuple or len(identity) not in (5, 6) or type(identity[0]) is not str:
            raise ValueError("a storage has no identity")
        word, dtype, key, _, numel = identity[:5]
        is_view = len(identity) == 6 and identity[5] is not None
        if word != "storage" or not isinstance(dtype, np.dtype) or type(key) is not str or not _is_count(numel):
            raise ValueError("the identity of a storage is impossible")
        if is_view:
            raise ValueError("a storage is a part of another one; save the file again with PyTorch 1.0 or later")
        storage = Storage(dtype, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"the storage {key[:MAX_NAME]!r} has two types or two lengths")
        return storage
