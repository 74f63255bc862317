"""Write a classifier for ONNX Runtime."""

from __future__ import annotations

import base64
import json
import os
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from network.metadata import Metadata, stamp_weights, weights_sha256
from serving.runtimes.onnx_check import ABOUT, TOKENIZER, WEIGHTS_SHA256
from serving.runtimes.onnx_runtime import FORMAT
from system.errors import InputError
from system.files import replace_atomically
from system.libraries import quiet_imports

if TYPE_CHECKING:
    from network.bert import BertClassifier


def onnx_path(model_path: str | os.PathLike) -> Path:
    """Return the path of the `.onnx` file that belongs to a `.keras` file."""
    return Path(model_path).with_suffix(".onnx")


def export_onnx(source: str | os.PathLike, path: str | os.PathLike | None = None) -> list[str]:
    """Write a classifier as an `.onnx` file.

    The file contains the tokenizer and the metadata, and accepts windows of any length up to the model's maximum. It
    records the SHA-256 of the weights, and so does the `.keras` file beside it. An earlier file is kept as
    `NAME.previous.onnx`.

    Args:
        source: a classifier as `network.pretrained.read_pretrained` accepts it.
        path: the `.onnx` file; None for the one beside a `.keras` file.

    Returns:
        The lines to print: remarks about the model, and where it is.

    Raises:
        InputError: the model cannot be loaded, or the file cannot be written.
    """
    with quiet_imports():
        from network.bert import BertClassifier
        from network.model_file import sha256_of_weights
        from network.pretrained import read_pretrained

    if path is None and Path(source).suffix != ".keras":
        raise InputError(f"{source}: not a .keras file, so name the file to write: --to onnx FILE.onnx")
    path = Path(path or onnx_path(source))
    if path.suffix != ".onnx":  # by which the application chooses ONNX Runtime
        raise InputError(f"{path}: the name of the file must end in .onnx")
    classifier, remarks = read_pretrained(str(source), BertClassifier)
    graph = onnx_model(classifier, str(source))
    sha256 = sha256_of_weights(classifier)
    is_beside = os.path.isfile(source) and os.path.realpath(path) == os.path.realpath(onnx_path(source))
    if is_beside and weights_sha256(source) != sha256:  # written by an older version, or by Keras itself
        with replace_atomically(source) as temporary:
            shutil.copyfile(source, temporary)
            stamp_weights(temporary, sha256)
    with replace_atomically(path, keep_previous=True) as temporary:
        onnx.save(graph, temporary)
    return [*remarks, f"Model saved to {path}"]


def onnx_model(classifier: BertClassifier, where: str = "the classifier") -> onnx.ModelProto:
    """Return the graph of a classifier with its tokenizer, its metadata and the SHA-256 of its weights.

    Args:
        classifier: the classifier.
        where: its file, for the error message.

    Raises:
        InputError: the metadata cannot be used.
    """
    from network.model_file import sha256_of_weights
    from serving.export.onnx_graph import classifier_graph

    graph = classifier_graph(classifier)
    metadata = Metadata.from_json(classifier.metadata, where)
    about = {"format": FORMAT, "metadata": metadata.to_json(), "max_seq_len": classifier.config.max_seq_len}
    entries = {
        ABOUT: json.dumps(about, ensure_ascii=False),
        TOKENIZER: base64.b64encode(zlib.compress(classifier.tokenizer_json.encode(), 9)).decode(),
        WEIGHTS_SHA256: sha256_of_weights(classifier),
    }
    onnx.helper.set_model_props(graph, entries)
    return graph
