"""Hostile `.keras` files, each made from a good one."""

import functools
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from benchmarks.hostile_files.tokenizers import TOKENIZERS, hostile_tokenizer
from network.checks.archive import CONFIG, WEIGHTS

TOKENIZER = "assets/tokenizer_asset/tokenizer.json"
KERNEL = "layers/dense/vars/0"  # of the last layer
Parts = dict[str, bytes]  # the members of an archive, by name


def write(good: Path, path: Path, change: Callable[[Parts], None]) -> Path:
    """Write a copy of a model file with other parts; return its path."""
    with zipfile.ZipFile(good) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def with_config(change: Callable[[dict], None], parts: Parts) -> None:
    """Change the JSON value of `config.json`."""
    values = json.loads(parts[CONFIG])
    change(values)
    parts[CONFIG] = json.dumps(values).encode()


def with_sizes(parts: Parts, **sizes: object) -> None:
    """Change sizes of the network, which the weights no longer fit."""
    with_config(lambda values: values["config"]["config"].update(sizes), parts)


def with_options(parts: Parts, **options: object) -> None:
    """Change options of the model."""
    with_config(lambda values: values["config"].update(options), parts)


def with_class(parts: Parts, **names: object) -> None:
    """Name another class."""
    with_config(lambda values: values.update(names), parts)


def with_weights(change: Callable[[h5py.File], None], parts: Parts) -> None:
    """Change the HDF5 file of the weights."""
    content = io.BytesIO(parts[WEIGHTS])
    with h5py.File(content, "r+") as file:
        change(file)
    parts[WEIGHTS] = content.getvalue()


def replace_kernel(file: h5py.File, **storage: object) -> None:
    """Store the weights of the last layer in another way."""
    shape = file[KERNEL].shape
    del file[KERNEL]
    file.create_dataset(KERNEL, shape, "f4", **storage)


def link(file: h5py.File, target: object) -> None:
    """Let the weights of the last layer be a link."""
    del file[KERNEL]
    file[KERNEL] = target


def virtual(file: h5py.File) -> None:
    """Take the weights of the last layer from another file."""
    shape = file[KERNEL].shape
    del file[KERNEL]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", shape)
    file.create_virtual_dataset(KERNEL, layout)


def zeros(good: Path, path: Path, size: int) -> Path:
    """Write a file whose weights are a thousand times as large when they are read."""
    block = bytes(2**20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, zipfile.ZipFile(good) as source:
        archive.writestr(zipfile.ZipInfo(CONFIG), source.read(CONFIG))
        with archive.open(WEIGHTS, "w", force_zip64=True) as member:
            for _ in range(size // len(block)):
                member.write(block)
    return path


def twice(good: Path, path: Path) -> Path:
    """Write a file with two configs, of which readers may choose different ones."""
    write(good, path, lambda parts: None)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the second name
        archive.writestr(zipfile.ZipInfo(CONFIG), source.read(CONFIG))
    return path


def _sized(**sizes: object) -> Callable[[Parts], None]:
    return functools.partial(with_sizes, **sizes)


def _stored(change: Callable[[h5py.File], None]) -> Callable[[Parts], None]:
    return functools.partial(with_weights, change)


CHANGES: dict[str, Callable[[Parts], None]] = {
    "config-30-megabytes": functools.partial(with_options, metadata={"data": {"name": "x" * 30_000_000}}),
    "config-deep": lambda parts: parts.update({CONFIG: b"[" * 100_000}),
    "vocab-size": _sized(vocab_size=10**7),
    "vocab-size-in-range": _sized(vocab_size=10**6),
    "num-layers": _sized(num_layers=10**5),
    "num-layers-in-range": _sized(num_layers=100),
    "max-seq-len": _sized(max_seq_len=10**9),
    "d-model": _sized(d_model=-64),
    "d-model-text": _sized(d_model="64"),
    "num-heads": _sized(num_heads=0),
    "dff": _sized(dff=10**12),
    "dropout-rate": _sized(dropout_rate=float("nan")),
    "activation": _sized(activation={"class_name": "__lambda__", "config": {"value": ""}}),
    "size-unknown": _sized(callback="print"),
    "unfreeze": functools.partial(with_options, unfreeze=10**9),
    "option-unknown": functools.partial(with_options, layers=[{"class_name": "Lambda", "config": {}}]),
    "lambda": functools.partial(with_class, class_name="Lambda", module="keras.layers", registered_name=None),
    "module": functools.partial(with_class, module="os"),
    "registered-name": functools.partial(with_class, registered_name="mini_bert>BertMaskedLM"),
    "member-outside": lambda parts: parts.update({"assets/../../outside": b"x"}),
    "member-unknown": lambda parts: parts.update({"assets/code.py": b"x"}),
    "weights-missing": lambda parts: parts.pop(WEIGHTS) and None,
    "weights-no-hdf5": lambda parts: parts.update({WEIGHTS: bytes(5000)}),
    "weights-external": _stored(functools.partial(replace_kernel, external=[("/etc/passwd", 0, 10**6)])),
    "weights-compressed": _stored(functools.partial(replace_kernel, chunks=(1, 1), compression="gzip")),
    "weights-absent": _stored(replace_kernel),
    "weights-link": _stored(functools.partial(link, target=h5py.ExternalLink("/etc/passwd", "a"))),
    "weights-soft-link": _stored(functools.partial(link, target=h5py.SoftLink("/layers"))),
    "weights-virtual": _stored(virtual),
    "weights-circle": _stored(lambda file: file.__setitem__("layers/circle", file["layers"])),
    "weights-more": _stored(lambda file: file.create_dataset("layers/more", data=np.zeros(10, np.float32)) and None),
}


def hostile_keras_files(good: Path, folder: Path, zeros_size: int) -> dict[str, Path]:
    """Write all hostile `.keras` files.

    Args:
        good: the model file of a classifier.
        folder: an existing folder for the files.
        zeros_size: the number of zeros that one file claims to have, in bytes.

    Returns:
        Their paths, by what is hostile in them.
    """
    with zipfile.ZipFile(good) as archive:
        tokenizer = archive.read(TOKENIZER)
    changes = dict(CHANGES)
    for name in TOKENIZERS:
        changes[f"tokenizer-{name}"] = functools.partial(
            lambda content, parts: parts.update({TOKENIZER: content}), hostile_tokenizer(tokenizer, name)
        )
    found = {name: write(good, folder / f"{name}.keras", change) for name, change in changes.items()}
    found["zeros"] = zeros(good, folder / "zeros.keras", zeros_size)
    found["config-twice"] = twice(good, folder / "config-twice.keras")
    return found
