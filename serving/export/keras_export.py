"""Write a classifier for OpenVINO, TensorFlow or LiteRT, through the export of Keras."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras

from network.bert import BertClassifier, logits_model
from network.pretrained import read_pretrained
from serving.export.folders import README, TOKENIZER, is_export, portable_tokenizer
from serving.export.keras_readme import MARK, readme
from serving.runtimes.onnx_check import INPUT, OUTPUT
from system.errors import InputError
from system.files import replace_folder_atomically, write_atomically
from system.libraries import quiet_imports

BACKEND = "tensorflow"


class KerasFormat(NamedTuple):
    """A format that Keras exports to.

    Attributes:
        package: the package that writes it.
        write: writes the files of a network to a folder.
        files: the names of these files and folders.
    """

    package: str
    write: Callable[[keras.Model, Path], None]
    files: frozenset[str]


def _write_openvino(network: keras.Model, folder: Path) -> None:
    network.export(str(folder / "model.xml"), format="openvino", verbose=False)


def _write_saved_model(network: keras.Model, folder: Path) -> None:
    # `Model.export` of Keras 3.15 also tracks the model itself, and so writes every weight twice (keras issue 23553).
    archive = keras.export.ExportArchive()
    signature = {INPUT: keras.InputSpec(dtype="int32", shape=(None, None), name=INPUT)}
    archive.add_endpoint("serve", lambda inputs: network(inputs, training=False), input_signature=[signature])
    archive.write_out(str(folder), verbose=False)


def _write_litert(network: keras.Model, folder: Path) -> None:
    network.export(str(folder / "model.tflite"), format="litert", verbose=False)


KERAS_FORMATS = {
    "openvino": KerasFormat("openvino", _write_openvino, frozenset({"model.xml", "model.bin"})),
    "saved-model": KerasFormat(
        "tensorflow", _write_saved_model, frozenset({"assets", "fingerprint.pb", "saved_model.pb", "variables"})
    ),
    "litert": KerasFormat("tensorflow", _write_litert, frozenset({"model.tflite"})),
}
FILES = frozenset({README, TOKENIZER}).union(*(each.files for each in KERAS_FORMATS.values()))


def export_keras(source: str | os.PathLike, folder: str | os.PathLike, name: str) -> list[str]:
    """Write a classifier as a folder with its network, its tokenizer.json and a README.md.

    The network returns logits, float32, (batch, outputs), for `input_ids`, int32, (batch, length). Both dimensions may
    change from call to call; the length is at most the model's. The folder appears completely or not at all; an earlier
    export is kept as `NAME.previous`.

    Args:
        source: a classifier as `network.pretrained.read_pretrained` accepts it.
        folder: the folder to write.
        name: a format, one of `KERAS_FORMATS`.

    Returns:
        The lines to print: remarks about the model, and where it is.

    Raises:
        InputError: a package is missing, Keras runs on another backend, or the model cannot be loaded.
        OutputError: the folder cannot be written, or contains other files than an earlier export.
    """
    format_ = KERAS_FORMATS[name]
    if importlib.util.find_spec(format_.package) is None:
        raise InputError(f"--to {name} needs {format_.package}; run `pip install {format_.package}`")
    if keras.backend.backend() != BACKEND:
        raise InputError(
            f"--to {name} works with Keras on {BACKEND}, not on {keras.backend.backend()}; set KERAS_BACKEND={BACKEND}"
        )
    classifier, remarks = read_pretrained(str(source), BertClassifier)
    network = serving_network(classifier)
    is_earlier = functools.partial(is_export, names=FILES, mark=re.escape(MARK))
    with replace_folder_atomically(folder, is_earlier) as temporary:
        with quiet_imports():  # the converters report their progress to standard error
            format_.write(network, temporary)
        with write_atomically(temporary / TOKENIZER) as file:
            file.write(portable_tokenizer(classifier).to_str(pretty=True))
        with write_atomically(temporary / README) as file:
            file.write(readme(classifier, name))
    return [*remarks, f"Model saved to {folder}; {README} there shows how to use it"]


def serving_network(classifier: BertClassifier) -> keras.Model:
    """Return the network from a dict of `input_ids`, int32, (batch, length), to a dict of `logits`, (batch, outputs).

    It shares the weights of `classifier`. All tokens are in the first segment.
    """
    network = logits_model(classifier, any_length=True)
    input_ids = keras.Input((None,), dtype="int32", name=INPUT)
    # Without names, OpenVINO's converter makes outputs of intermediate values too.
    logits = network({INPUT: input_ids, "token_type_ids": keras.ops.zeros_like(input_ids)})
    return keras.Model({INPUT: input_ids}, {OUTPUT: logits}, name="classifier")
