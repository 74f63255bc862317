"""Writes a classifier for ONNX Runtime: fine-tuning does, `python -m serving.runtimes.onnx_export` does it again."""

import argparse
import base64
import json
import os
import sys
import zlib
from pathlib import Path

import onnx

from serving.runtimes.onnx_runtime import ABOUT, FINGERPRINT, TOKENIZER
from text.commands import exits_with_status, quiet_imports
from text.reading.files import fingerprint_of_file, keep_previous, replace_atomically


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
        from model import BertClassifier, load_model
        from serving.runtimes.onnx_graph import classifier_graph

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
    keep_previous(path)
    with replace_atomically(path) as temporary:
        onnx.save(graph, temporary)
    return path


@exits_with_status
def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description="Writes a classifier for ONNX Runtime, beside its .keras file.")
    parser.add_argument("model", metavar="FILE", help="the .keras file")
    print(f"Model saved to {export_onnx(parser.parse_args(argv).model)}")


if __name__ == "__main__":
    sys.exit(main())
