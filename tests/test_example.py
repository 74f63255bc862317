"""The example program in an exported folder: what it imports, and its answers."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from exported_models import METADATA, probabilities_here, saved
from scripts import ENVIRONMENT

from serving.export.huggingface.export_folder import export_huggingface

EXAMPLE = Path(__file__).resolve().parents[1] / "serving" / "export" / "huggingface" / "example.py"


def test_it_needs_three_libraries_and_is_short():
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - sys.stdlib_module_names == {"numpy", "onnxruntime", "tokenizers"}
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 35


@pytest.mark.parametrize("kind", METADATA)
def test_it_answers_a_text_from_the_command_line(tmp_path, kind):
    metadata = METADATA[kind] | {"windows": {"window": 16}}
    classifier = tiny_models.classifier(metadata)
    export_huggingface(saved(classifier, tmp_path), tmp_path / "out")
    text = "房间很干净，前台也热情[SEP]下次还会来。"
    command = [sys.executable, "out/example.py"]
    done = subprocess.run([*command, text], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    answers = dict(line.split("\t") for line in done.stdout.splitlines())
    assert list(answers) == metadata["labels"]
    (expected,) = probabilities_here(classifier, [text], metadata["temperature"], window=16)
    np.testing.assert_allclose([float(value) for value in answers.values()], expected, rtol=0, atol=1e-4)
