"""Writes a classifier for ONNX Runtime, beside its `.keras` file."""

import base64
import json
import os
import zlib
from pathlib import Path

import onnx

from serving.runtimes.onnx_runtime import ABOUT, FINGERPRINT, TOKENIZER
from system.files import fingerprint_of_file, replace_atomically
from system.libraries import quiet_imports


def onnx_path(model_path: str | os.PathLike) -> Path:
    """Returns where the file for ONNX Runtime stands that belongs to a `.keras` file: beside it."""
    return Path(model_path).with_suffix(".onnx")


def export_onnx(model_path: str | os.PathLike) -> Path:
    """Writes the classifier in a `.keras` file for ONNX Runtime as well, beside it; returns where.

    It reads windows of any length up to the model's, holds the tokenizer and the metadata, and knows the file that it
    was made from. An earlier file is kept as `NAME.previous.onnx`.

    Raises:
        InputError: the model cannot be loaded, or the file not be written.
    """
    with quiet_imports():
        from network.bert import BertClassifier
        from network.model_file import load_model
        from serving.export.onnx_graph import classifier_graph

    classifier = load_model(model_path, BertClassifier)
    graph = classifier_graph(classifier)
    about = {"metadata": classifier.metadata, "max_seq_len": classifier.config.max_seq_len}
    entries = {
        ABOUT: json.dumps(about, ensure_ascii=False),
        TOKENIZER: base64.b64encode(zlib.compress(classifier.tokenizer_json.encode(), 9)).decode(),
        FINGERPRINT: fingerprint_of_file(model_path),
    }
    onnx.helper.set_model_props(graph, entries)
    path = onnx_path(model_path)
    with replace_atomically(path, keep_previous=True) as temporary:
        onnx.save(graph, temporary)
    return path
