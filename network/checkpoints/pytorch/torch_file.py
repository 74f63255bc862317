"""Files that `torch.save` wrote, read without PyTorch: zip archives, and the older form of PyTorch before 1.6.

Both are described by `torch/serialization.py` (`_load` and `_legacy_load`).
"""

import io
import mmap
import os
import struct
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from network.checkpoints.floats import as_float32
from network.checkpoints.pytorch.torch_pickle import Storage, Tensor, unpickle

ZIP_START, PICKLE_START = b"PK\x03\x04", b"\x80"
MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001  # of the older form
# Under which programs keep the state dict in a larger dictionary.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "module")


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict, floating-point ones as float32.

    Tensors that share values in the file, such as tied weights, share them in memory.

    Args:
        path: the file. It may be hostile: nothing in it is run.

    Raises:
        InputError: the file contains more than the tensors of a model.
        Exception: the file is damaged; each kind of damage has its own class.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(len(ZIP_START))
        file.seek(0)
        if start == ZIP_START:
            return _read_zip(file, str(path))
        if start.startswith(PICKLE_START):
            return _read_legacy(file, str(path))
    raise ValueError("it does not begin like a file of torch.save")


def _read_zip(file: IO[bytes], where: str) -> dict[str, np.ndarray]:
    """Return the tensors of an archive with `data.pkl`, `byteorder` and a file `data/KEY` for each storage."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        _check_members(archive.infolist(), os.fstat(file.fileno()).st_size)
        folders = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise ValueError("a zip archive without one data.pkl, so not of torch.save")
        folder = folders[0]
        if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are big-endian; save it again on a little-endian computer")
        value, _ = unpickle(io.BytesIO(archive.read(f"{folder}data.pkl")), where)
        tensors = _state_dict(value)
        storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        arrays = {
            key: _array(storage, archive.read(members[f"{folder}data/{key}"])) for key, storage in storages.items()
        }
    return _with_values(tensors, arrays)


def _check_members(members: list[zipfile.ZipInfo], file_size: int) -> None:
    """Check that an archive does not expand: its members are stored as they are, and do not overlap."""
    if any(info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size for info in members):
        raise ValueError("it is compressed, which torch.save never does")
    if sum(info.file_size for info in members) > file_size:
        raise ValueError("its parts are larger than the whole")


def _read_legacy(file: IO[bytes], where: str) -> dict[str, np.ndarray]:
    """Return the tensors of a file of five pickles, behind which the storages follow.

    The pickles are the magic number, the version, a description of the computer, the state dict and the keys of the
    storages. A storage is the number of its values, int64, and the values.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        if unpickle(stream, where)[0] != MAGIC_NUMBER or unpickle(stream, where)[0] != PROTOCOL_VERSION:
            raise ValueError("a pickle, but not of torch.save")
        system, _ = unpickle(stream, where)
        if type(system) is not dict or system.get("little_endian") is not True:
            raise ValueError("its numbers are big-endian; save it again on a little-endian computer")
        value, storages = unpickle(stream, where)
        tensors = _state_dict(value)
        keys, _ = unpickle(stream, where)
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise ValueError("it has no list of storages")
        needed = {tensor.storage.key for tensor in tensors.values()}
        arrays = {}
        for key in keys:
            storage = storages[key]
            if struct.unpack("<q", stream.read(8)) != (storage.numel,):
                raise ValueError("the length of a storage is not that of its values")
            data = stream.read(storage.numel * storage.dtype.itemsize)
            if key in needed:
                arrays[key] = _array(storage, data)
    return _with_values(tensors, arrays)


def _state_dict(value: object) -> dict[str, Tensor]:
    """Return the tensors of a state dict, which may be inside of another dictionary."""
    if type(value) is not dict:
        raise ValueError("it contains no state dict")
    inner = [value[key] for key in STATE_DICT_KEYS if type(value.get(key)) is dict]
    found = inner[0] if inner else value
    tensors = {name: part for name, part in found.items() if type(name) is str and type(part) is Tensor}
    if not tensors:
        raise ValueError("it contains no tensors by name")
    return tensors


def _array(storage: Storage, data: bytes) -> np.ndarray:
    """Return the values of a storage, floating-point ones as float32, (values,)."""
    if len(data) != storage.numel * storage.dtype.itemsize:
        raise ValueError("it ends too early, or the length of a storage is not that of its values")
    return as_float32(np.frombuffer(bytearray(data), storage.dtype))  # a bytearray can be written to


def _with_values(tensors: dict[str, Tensor], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: _view(tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _view(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    """Return the values of a tensor, a view of those of its storage."""
    if 0 in tensor.size:
        return np.zeros(tensor.size, array.dtype)
    strides = [step * array.itemsize for step in tensor.stride]
    return np.ndarray(tensor.size, array.dtype, array, tensor.offset * array.itemsize, strides)
