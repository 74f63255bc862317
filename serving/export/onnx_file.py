"""Write a classifier for ONNX Runtime, beside its `.keras` file."""

from __future__ import annotations

import base64
import json
import os
import shutil
import zlib
from pathlib import Path

import onnx

from network.metadata import Metadata, stamp_weights, weights_sha256
from serving.runtimes.onnx_runtime import ABOUT, FORMAT, TOKENIZER, WEIGHTS_SHA256
from system.files import replace_atomically
from system.libraries import quiet_imports


def onnx_path(model_path: str | os.PathLike) -> Path:
    """Return the path of the `.onnx` file that belongs to a `.keras` file."""
    return Path(model_path).with_suffix(".onnx")


def export_onnx(model_path: str | os.PathLike) -> Path:
    """Write the classifier of a `.keras` file as an `.onnx` file beside it.

    The new file contains the tokenizer and the metadata, and accepts windows of any length up to the model's maximum.
    Both files record the SHA-256 of the weights. An earlier `.onnx` file is kept as `NAME.previous.onnx`.

    Returns:
        The path of the `.onnx` file.

    Raises:
        InputError: the model cannot be loaded, or the file cannot be written.
    """
    with quiet_imports():
        from network.bert import BertClassifier
        from network.model_file import load_model, sha256_of_weights
        from serving.export.onnx_graph import classifier_graph

    classifier = load_model(model_path, BertClassifier)
    graph = classifier_graph(classifier)
    sha256 = sha256_of_weights(classifier)
    if weights_sha256(model_path) != sha256:  # written by an older version, or by Keras itself
        with replace_atomically(model_path) as temporary:
            shutil.copyfile(model_path, temporary)
            stamp_weights(temporary, sha256)
    metadata = Metadata.from_json(classifier.metadata, str(model_path))
    about = {"format": FORMAT, "metadata": metadata.to_json(), "max_seq_len": classifier.config.max_seq_len}
    entries = {
        ABOUT: json.dumps(about, ensure_ascii=False),
        TOKENIZER: base64.b64encode(zlib.compress(classifier.tokenizer_json.encode(), 9)).decode(),
        WEIGHTS_SHA256: sha256,
    }
    onnx.helper.set_model_props(graph, entries)
    path = onnx_path(model_path)
    with replace_atomically(path, keep_previous=True) as temporary:
        onnx.save(graph, temporary)
    return path
