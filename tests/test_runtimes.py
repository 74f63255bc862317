"""What runs a model: ONNX Runtime and Keras say the same, and the right one of them is chosen."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from layer_checks import randomize

from network.bert import BertClassifier, BertConfig
from network.model_file import load_model, save_model
from serving.export.onnx_file import export_onnx, onnx_path
from serving.predictor import Predictor
from serving.runtimes.keras_runtime import KerasRuntime
from serving.runtimes.onnx_runtime import OnnxRuntime
from serving.runtimes.selection import open_runtime
from system.errors import InputError
from text.labels import SENTIMENT
from text.sources import read_labelled

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "tests" / "programs"
SHIPPED = ROOT / "mini_bert_sentiment_classifier.keras"
HEAVY = {
    "tensorflow",
    "jax",
    "torch",
    "keras",
    "transformers",
    "datasets",
    "matplotlib",
    "sklearn",
    "pyarrow",
    "pandas",
    # Of the standard library, small ones that one answer does not need.
    "shutil",
    "lzma",
    "logging",
}
LIST_MODULES = """
import json, runpy, sys

sys.argv = ["application.py", *sys.argv[1:]]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.fixture
def model_file(tiny_model, tmp_path):
    """A copy that a test may spoil."""
    for path in (tiny_model, onnx_path(tiny_model)):
        shutil.copy(path, tmp_path)
    return tmp_path / tiny_model.name


def random_ids(shape, seed=0):
    ids = np.random.default_rng(seed).integers(5, 1500, shape).astype(np.int32)
    lengths = np.random.default_rng(seed + 1).integers(1, shape[1] + 1, shape[0])
    return np.where(np.arange(shape[1]) < lengths[:, None], ids, 0).astype(np.int32)


def check_agreement(logits, expected):
    probabilities, expected_probabilities = map(SENTIMENT.probabilities, (logits, expected))
    np.testing.assert_allclose(probabilities, expected_probabilities, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)


class TestAgreement:
    def test_on_windows_of_any_length(self, tiny_model):
        onnx, keras = (open_runtime(tiny_model, name) for name in ("onnx", "keras"))
        ids = random_ids((300, onnx.max_seq_len))
        expected = keras.logits(ids)
        assert expected.std() > 0.01
        for batch_size in (1, 7, 64, 1000):
            check_agreement(onnx.logits(ids, batch_size), expected)
        assert (onnx.name, keras.name) == ("onnx", "keras")
        for name in ("metadata", "tokenizer_file", "max_seq_len"):
            assert getattr(onnx, name) == getattr(keras, name)

    def test_of_windows_with_padding(self, tiny_model):
        # The application reads windows of one length together; the file can do more.
        ids = random_ids((40, 16))
        assert (ids == 0).any()
        session = onnxruntime.InferenceSession(onnx_path(tiny_model), providers=["CPUExecutionProvider"])
        expected = open_runtime(tiny_model, "keras").logits(ids)
        check_agreement(session.run(None, {"input_ids": ids})[0], expected)

    def test_of_the_shipped_model_on_the_whole_sample(self):
        texts = read_labelled("sample").texts
        onnx, keras = (Predictor(SHIPPED, runtime=runtime).predict(texts) for runtime in ("onnx", "keras"))
        difference = max(abs(one.probability - other.probability) for one, other in zip(onnx, keras, strict=True))
        assert difference < 1e-5
        assert [one.label for one in onnx] == [other.label for other in keras]

    def test_from_several_threads(self, tiny_model):
        predictor = Predictor(tiny_model)
        texts = read_labelled("sample").texts[:200]
        expected = predictor.predict(texts)
        results = [None] * 4

        def ask(number):
            results[number] = predictor.predict(texts)

        threads = [threading.Thread(target=ask, args=[number]) for number in range(len(results))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [expected] * len(results)

    @pytest.mark.parametrize("sizes", [{"normalize_first": False}, {"num_layers": 3, "num_heads": 2, "d_model": 24}])
    def test_of_other_networks(self, sizes, tiny_model, tmp_path):
        config = BertConfig(**{"vocab_size": 1500, "max_seq_len": 16, "d_model": 16, "dff": 32} | sizes)
        classifier = BertClassifier(config, load_model(tiny_model).tokenizer_json)
        randomize(classifier)
        save_model(classifier, tmp_path / "other.keras")
        onnx = OnnxRuntime(export_onnx(tmp_path / "other.keras"))
        ids = random_ids((50, 16))
        expected = KerasRuntime(tmp_path / "other.keras").logits(ids)
        assert expected.std() > 0.01
        check_agreement(onnx.logits(ids), expected)


class TestChoice:
    def test_the_onnx_file_is_taken_if_it_is_that_of_the_model(self, model_file, capsys):
        assert open_runtime(model_file).name == "onnx"
        assert capsys.readouterr().err == ""

    def test_an_onnx_file_alone(self, model_file):
        model_file.unlink()
        assert Predictor(onnx_path(model_file)).predict(["好"])[0].label
        with pytest.raises(InputError, match=r"tiny\.onnx, which is there"):
            open_runtime(model_file)

    def test_another_model_beside_it(self, model_file, capsys):
        classifier = load_model(model_file)
        randomize(classifier, seed=1)
        save_model(classifier, model_file)
        assert open_runtime(model_file).name == "keras"
        assert "holds other weights than" in capsys.readouterr().err
        with pytest.raises(InputError, match="holds other weights than"):
            open_runtime(model_file, "onnx")

    def test_the_same_weights_with_other_metadata(self, model_file):
        classifier = load_model(model_file)
        classifier.metadata["threshold"] = 0.9
        save_model(classifier, model_file)
        assert open_runtime(model_file).name == "onnx"

    def test_a_model_file_that_keras_alone_has_written(self, model_file, capsys):
        load_model(model_file).save(model_file)
        assert open_runtime(model_file).name == "keras"
        assert "does not say which weights it holds" in capsys.readouterr().err
        export_onnx(model_file)
        assert open_runtime(model_file).name == "onnx"

    def test_an_older_one_that_gives_probabilities(self, model_file, capsys):
        path = onnx_path(model_file)
        graph = onnx.load(path)
        about = next(entry for entry in graph.metadata_props if entry.key == "mini_bert")
        older = json.loads(about.value)
        del older["format"]
        about.value = json.dumps(older)
        onnx.save(graph, path)
        assert open_runtime(model_file).name == "keras"
        assert "it has format 1, and this version reads format 2" in capsys.readouterr().err
        with pytest.raises(InputError, match=r"`python -m recipes\.export FILE\.keras` writes one"):
            open_runtime(path)

    def test_none_beside_it(self, model_file, capsys):
        onnx_path(model_file).unlink()
        assert open_runtime(model_file).name == "keras"
        assert "there is no file" in capsys.readouterr().err

    @pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07"])
    def test_a_damaged_one(self, model_file, content, capsys):
        onnx_path(model_file).write_bytes(content)
        assert open_runtime(model_file).name == "keras"
        assert "not an ONNX file that this version of the project wrote" in capsys.readouterr().err

    def test_onnx_runtime_is_not_installed(self, model_file, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        assert open_runtime(model_file).name == "keras"
        assert "onnxruntime is not installed" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "name, runtime",
        [("none.keras", "auto"), ("none.onnx", "auto"), ("tiny.onnx", "keras"), ("tiny.keras", "torch")],
    )
    def test_what_cannot_be_run(self, model_file, name, runtime):
        with pytest.raises(InputError):
            open_runtime(model_file.with_name(name), runtime)


class TestExport:
    def test_an_earlier_file_is_kept(self, model_file):
        before = onnx_path(model_file).read_bytes()
        assert export_onnx(model_file) == onnx_path(model_file)
        assert model_file.with_name("tiny.previous.onnx").read_bytes() == before
        assert OnnxRuntime(onnx_path(model_file)).tokenizer_file == load_model(model_file).tokenizer_json.encode()

    def test_as_a_command(self, tmp_path):
        command = [sys.executable, "-m", "recipes.export", str(tmp_path / "none.keras")]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
        assert process.returncode == 1
        assert "no such model file" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("parallelism", [None, "true"])
def test_the_child_of_a_fork_predicts_as_its_parent(tiny_model, environment, parallelism):
    """Neither waits for threads that only the parent has."""
    environment = environment | ({"TOKENIZERS_PARALLELISM": parallelism} if parallelism else {})
    command = [sys.executable, str(PROGRAMS / "predict_in_child.py"), str(tiny_model)]
    process = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert (process.returncode, process.stderr) == (0, "")
    parent, child = process.stdout.splitlines()
    assert parent == child


def test_one_answer_loads_nothing_heavy(tiny_model):
    command = [sys.executable, "-c", LIST_MODULES, "--model", str(tiny_model), "--text", "房间很干净"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    modules = set(json.loads(process.stderr.splitlines()[-1]))
    assert "onnxruntime" in modules  # the list is that of an answer
    assert modules & HEAVY == set()
    assert process.stdout.startswith(("正面", "负面"))


def test_calibration_and_windows_come_from_the_model_file(tiny_model, tmp_path):
    classifier = load_model(tiny_model)
    classifier.metadata |= {"temperature": 2.0, "threshold": 0.25, "windows": {"window": 8, "aggregate": "max"}}
    path = tmp_path / "calibrated.keras"
    save_model(classifier, path)
    export_onnx(path)
    text = "房间很干净，前台也热情，下次还会来。" * 3
    for runtime in ("onnx", "keras"):
        predictor = Predictor(path, "auto", runtime=runtime)
        assert (predictor.threshold, predictor.temperature) == (0.25, 2.0)
        assert dataclasses.asdict(predictor.window_settings) == {
            "window": 8,
            "stride": None,
            "max_windows": None,
            "aggregate": "max",
        }
        windows = predictor.encode([text])
        logit = predictor.window_logits(windows.input_ids).max() / 2
        assert predictor.predict([text])[0].probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
        assert Predictor(path, runtime=runtime, windows={"aggregate": "mean"}).window_settings.window == 8
