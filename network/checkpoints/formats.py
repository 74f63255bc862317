"""The tensors of a checkpoint folder, whichever format they are in."""

import glob
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

import numpy as np

from network.checkpoints.pytorch.torch_file import read_torch
from network.checkpoints.safetensors_file import read_safetensors
from network.checkpoints.tensorflow_file import read_tensorflow
from system.errors import InputError, first_line

# In the order of preference. An index is a JSON file that says in which of several files each tensor is.
FILE_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "bert_model.ckpt.index",
)
OTHER_TENSORFLOW_FILES = "*.ckpt*.index"
READERS = {".safetensors": read_safetensors, ".bin": read_torch, ".index": read_tensorflow}
GIT_LFS_START = b"version https://git-lfs"
MAX_REASON = 200  # characters of an error of another library


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Return all tensors of a checkpoint folder, by their names in the file.

    Floating-point tensors are float32; others, such as `position_ids`, have the type of the file. Tensors that share
    their values in the file may share them in memory.

    Args:
        folder: the folder. Its files may be hostile: nothing in them is run.

    Raises:
        InputError: there is no checkpoint in the folder, or it cannot be used.
    """
    path = checkpoint_file(folder)
    return _read_shards(path) if path.suffix == ".json" else _read_file(path)


def checkpoint_file(folder: Path) -> Path:
    """Return the file of a checkpoint folder that `read_tensors` reads: the tensors, or the index of their files.

    Raises:
        InputError: there is no such file, or it is unclear which one is meant.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder of a BERT checkpoint")
    for name in FILE_NAMES:
        if (folder / name).is_file():
            return folder / name
    others = sorted(path for path in folder.glob(OTHER_TENSORFLOW_FILES) if path.is_file())
    if len(others) > 1:
        names = ", ".join(path.name for path in others)
        raise InputError(f"{folder}: several TensorFlow checkpoints ({names}); move the one to read to a folder")
    if not others:
        raise InputError(
            f"{folder}: no checkpoint in this folder; looked for {', '.join(FILE_NAMES)} and {OTHER_TENSORFLOW_FILES}"
        )
    return others[0]


def checkpoint_files(folder: Path) -> list[Path]:
    """Return all files of a checkpoint folder that `read_tensors` reads, first the one of `checkpoint_file`.

    Raises:
        InputError: see `checkpoint_file`, or an index cannot be used.
    """
    path = checkpoint_file(folder)
    if path.suffix == ".json":
        return [path, *(path.parent / name for name in _tensors_by_shard(path))]
    if path.suffix == ".index":
        return [path, *sorted(path.parent.glob(f"{glob.escape(path.stem)}.data-*"))]
    return [path]


def _read_file(path: Path) -> dict[str, np.ndarray]:
    with _as_input_error(path):
        with open(path, "rb") as file:
            if file.read(len(GIT_LFS_START)) == GIT_LFS_START:
                raise InputError(f"{path}: only the address of the file, not its content; run `git lfs pull`")
        return READERS[path.suffix](path)


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    """Return the tensors of all files that an index names."""
    found = {}
    for file_name, names in _tensors_by_shard(index).items():
        tensors = _read_file(index.parent / file_name)
        if missing := [name for name in names if name not in tensors]:
            raise InputError(f"{index.parent / file_name}: lacks {missing[0]!r}, which {index.name} says is in it")
        found |= {name: tensors[name] for name in names}
    return found


def _tensors_by_shard(index: Path) -> dict[str, list[str]]:
    """Return the names of the tensors of each file that an index names."""
    suffix = index.with_suffix("").with_suffix("").suffix  # of the files: NAME.bin.index.json
    names = {}
    for name, file_name in _weight_map(index).items():
        names.setdefault(file_name, []).append(name)
    for file_name in names:
        path = PureWindowsPath(file_name)  # which also knows `/`
        if path.anchor or ".." in path.parts or path.suffix != suffix:
            raise InputError(f"{index}: names {file_name!r}, which is not a {suffix} file in the folder")
    return names


def _weight_map(index: Path) -> dict[str, str]:
    """Return the name of the file of each tensor."""
    with _as_input_error(index):
        content = json.loads(index.read_text(encoding="utf-8"))
        files = content["weight_map"]
        if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
            raise ValueError("weight_map is not an object with the name of a file for each tensor")
        return files


@contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or first_line(error)}") from error
    except Exception as error:  # each library has its own for a damaged file, without a common base
        raise InputError(
            f"{path}: damaged, or not a checkpoint that can be read ({first_line(error)[:MAX_REASON]}); download it "
            "again, or choose another"
        ) from error
