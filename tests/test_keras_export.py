"""Folders for OpenVINO, TensorFlow and LiteRT: the program in their README.md answers as the application does."""

import contextlib
import errno
import os
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_models
from arrays import random_ids
from exported_models import saved, short_texts

from network.bert import logits_model
from recipes import export
from serving.export import keras_export
from serving.export.keras_export import KERAS_FORMATS, export_keras
from serving.predictor import Predictor
from system.errors import InputError, OutputError
from text.labels import LabelSet

NETWORK_FILES = {
    "openvino": {"model.xml", "model.bin"},
    "saved-model": {"saved_model.pb", "variables", "fingerprint.pb", "assets"},
    "litert": {"model.tflite"},
}
TOLERANCE = 1e-4
MAX_SEQ_LEN = 16


def needs(name):
    """Skip the test if the package that runs a format is not installed."""
    pytest.importorskip({"openvino": "openvino", "litert": "ai_edge_litert"}.get(name, "tensorflow"))


def program(folder: Path) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return block


def run_program(folder: Path, texts: list[str]) -> dict:
    """Run the program of a README.md in its folder, with other texts; return its variables."""
    code, count = re.subn(r"^texts = .*$", lambda _: f"texts = {texts!r}", program(folder), flags=re.MULTILINE)
    assert count == 1
    variables = {}
    with contextlib.chdir(folder), contextlib.redirect_stdout(None):
        exec(code, variables)
    return variables


def exported_logits(name: str, folder: Path, ids: np.ndarray) -> np.ndarray:
    """Return the logits of an exported network for these ids alone."""
    if name == "openvino":
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        return openvino.compile_model(folder / "model.xml", "CPU", settings)(ids)["logits"]
    if name == "saved-model":
        import tensorflow as tf

        serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
        return serve(input_ids=tf.constant(ids))["logits"].numpy()
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(folder / "model.tflite")).get_signature_runner("serving_default")
    return runner(input_ids=ids)["logits"]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("openvino", LabelSet(("负面", "正面"))),
        ("saved-model", LabelSet(tiny_models.EMOTIONS)),
        ("litert", LabelSet(tiny_models.ASPECTS, multi_label=True)),
    ],
    ids=KERAS_FORMATS,
)
def test_the_program_of_the_readme_answers_as_the_application(name, labels, tmp_path):
    needs(name)
    classifier = tiny_models.classifier(labels.to_json() | {"temperature": 0.5}, max_seq_len=64)
    model = saved(classifier, tmp_path)
    lines = export_keras(model, tmp_path / "out", name)
    assert lines == [f"Model saved to {tmp_path / 'out'}; README.md there shows how to use it"]
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"README.md", "tokenizer.json", *NETWORK_FILES[name]}
    texts = ["不错[SEP]很好", *short_texts(classifier)]
    probabilities = run_program(tmp_path / "out", texts)["probabilities"]
    expected = Predictor(model, runtime="keras").predict_proba(texts)
    if labels.is_binary:
        expected = expected[:, 1:]
    assert expected.std() > 0.01
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", KERAS_FORMATS)
@pytest.mark.parametrize(
    ("pooling", "sizes"),
    [
        ("max", {"activation": "gelu_tanh"}),
        ("pooler", {"normalize_first": False, "activation": "gelu", "epsilon": 1e-12}),
    ],
)
def test_every_batch_and_length_has_the_logits_of_keras(name, pooling, sizes, tmp_path):
    needs(name)
    classifier = tiny_models.classifier(pooling=pooling, max_seq_len=MAX_SEQ_LEN, **sizes)
    export_keras(saved(classifier, tmp_path), tmp_path / "out", name)
    for shape in [(7, MAX_SEQ_LEN), (1, 5), (3, 9)]:
        ids = random_ids(shape)
        expected = keras.ops.convert_to_numpy(
            logits_model(classifier, any_length=True)({"input_ids": ids, "token_type_ids": np.zeros_like(ids)})
        )
        np.testing.assert_allclose(exported_logits(name, tmp_path / "out", ids), expected, rtol=0, atol=TOLERANCE)


def test_an_earlier_export_is_kept_and_other_files_are_not_replaced(tiny_model, tmp_path):
    folder = tmp_path / "out"
    for _ in range(2):
        export_keras(tiny_model, folder, "saved-model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.previous"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not everything in it is from this command"):
        export_keras(tiny_model, folder, "saved-model")
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_failed_export_leaves_nothing(tiny_model, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras_export, "readme", fail)
    with pytest.raises(OutputError, match="No space left"):
        export_keras(tiny_model, tmp_path / "out", "saved-model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", KERAS_FORMATS)
def test_a_missing_package_is_an_error_with_the_command(name, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(keras_export.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=f"needs {KERAS_FORMATS[name].package}; run `pip install"):
        export_keras(tiny_model, tmp_path / "out", name)
    assert list(tmp_path.iterdir()) == []


def test_another_backend_is_an_error(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(keras_export.keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="not on jax; set KERAS_BACKEND=tensorflow"):
        export_keras(tiny_model, tmp_path / "out", "saved-model")


def test_a_saved_model_has_every_weight_once(tiny_model, tmp_path):
    import tensorflow as tf

    classifier = tiny_models.classifier(max_seq_len=MAX_SEQ_LEN)
    export_keras(saved(classifier, tmp_path), tmp_path / "out", "saved-model")
    shapes = tf.train.load_checkpoint(str(tmp_path / "out" / "variables" / "variables")).get_variable_to_shape_map()
    assert sum(int(np.prod(shape)) for shape in shapes.values() if shape) == classifier.count_params()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"labels": ["负面", "正面"], "threshold": 0.4}, ["正面 if its probability", "at least 0.4, else 负面"]),
        ({"labels": list(tiny_models.EMOTIONS)}, [", ".join(tiny_models.EMOTIONS), "the most probable one"]),
        (
            {"labels": ["服务", "早餐"], "multi_label": True, "threshold": [0.3, 0.625], "temperature": 1.5},
            ["服务 (0.3), 早餐 (0.625)", "Temperature: 1.5"],
        ),
    ],
)
def test_the_readme_describes_inputs_outputs_and_labels(metadata, words):
    from serving.export.keras_readme import readme

    text = readme(tiny_models.classifier(metadata, max_seq_len=MAX_SEQ_LEN), "openvino")
    for word in [*words, "`input_ids`, int32, (batch, length)", "`logits`, float32, (batch,", "at most\n  16."]:
        assert word in text


def test_a_folder_of_another_kind_is_no_export(tiny_model, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    shutil.copy(tiny_model, folder / "model.xml")
    (folder / "README.md").write_text("my model")
    with pytest.raises(OutputError, match="not everything in it is from this command"):
        export_keras(tiny_model, folder, "saved-model")


def test_the_command_writes_a_folder(tiny_model, tmp_path, capsys):
    assert export.main([str(tiny_model), "--to", "saved-model", str(tmp_path / "out")]) == 0
    assert capsys.readouterr() == (f"Model saved to {tmp_path / 'out'}; README.md there shows how to use it\n", "")
