"""Files of the safetensors format, https://github.com/huggingface/safetensors."""

import json
import struct
from pathlib import Path

import numpy as np

from network.checkpoints.floats import BFLOAT16, as_float32


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file, floating-point ones as float32.

    Raises:
        Exception: the file is damaged, or a tensor has a type that NumPy does not know, such as a float of 8 bits.
        OSError: the file cannot be read.
    """
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.offset_keys()}
        bfloat16 = [name for name, kind in kinds.items() if kind == "BF16"]
        found = {name: as_float32(file.get_tensor(name)) for name, kind in kinds.items() if kind != "BF16"}
    return found | _read_bfloat16(path, bfloat16)


def _read_bfloat16(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Return bfloat16 tensors as float32, which the library refuses because NumPy has no such type.

    The library has checked the header: the length of its JSON, uint64, and the JSON with the shape and place of each
    tensor behind it.
    """
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        found = {}
        for name in names:
            start, end = header[name]["data_offsets"]
            file.seek(8 + length + start)
            bits = np.frombuffer(file.read(end - start), BFLOAT16)
            found[name] = as_float32(bits).reshape(header[name]["shape"])
    return found
