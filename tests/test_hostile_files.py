"""Hostile model files are refused before Keras or ONNX Runtime sees them, with one sentence, time and memory."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from scripts import assert_one_error

import application
from benchmarks.hostile_files import __main__ as benchmark
from benchmarks.hostile_files.keras_files import CHANGES as KERAS_CHANGES
from benchmarks.hostile_files.keras_files import hostile_keras_files
from benchmarks.hostile_files.onnx_files import CHANGES as ONNX_CHANGES
from benchmarks.hostile_files.onnx_files import NO_NUMBERS, hostile_onnx_files, replace_result, with_metadata, write
from benchmarks.hostile_files.tokenizers import TOKENIZERS
from network.model_file import load_model
from serving.export.onnx_file import onnx_path
from serving.predictor import Predictor
from serving.runtimes.selection import open_runtime
from system.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
EXPANDED = 2**27  # bytes of the zeros in the tests, enough to be seen among the peak memory
MOST_MEMORY = 64 * 2**20  # of Python and NumPy, to refuse the file of a tiny model
OF_TOKENIZERS = [f"tokenizer-{name}" for name in TOKENIZERS]
KERAS = [*KERAS_CHANGES, "zeros", "config-twice"]
ONNX = [*ONNX_CHANGES, "bomb", *OF_TOKENIZERS]
WORDS = {
    "max-seq-len": "but it must be a whole number from 1 to 4",
    "constant-of-shape": "no exported model has the operator 'ConstantOfShape' there",
    "loop": "no exported model has the operator 'Loop' there",
    "outer-sum": "needs far more time or memory than a network of its size",
    "doubled": "needs far more time or memory than a network of its size",
    "products": "needs far more time or memory than a network of its size",
    "bomb": "its tokenizer is damaged, or has more than",
    "external": "field 13 in a place",
    "function": "field 25 in a place",
    "foreign-domain": "it uses the operators of 'com.microsoft'",
    "tokenizer-doubling": "more than 16 steps",
    "tokenizer-growing": "can make a text more than 64 times as long",
    "tokenizer-backtracking": "has the regular expression",
    "tokenizer-broken-table": "its trie leads out of the table",
    "tokenizer-unknown-id": "has the token 1,000,000, but the network knows",
    "vocab-size": "vocab_size 10000000, but it must be a whole number from 1 to 1,000,000",
    "vocab-size-in-range": "weights, but a network of its sizes has",
    "num-layers": "num_layers 100000, but it must be a whole number from 1 to 128",
    "config-30-megabytes": "more than 8,388,608",
    "zeros": "model.weights.h5 is compressed in it",
    "lambda": "it contains a Lambda",
    "weights-external": "are compressed, or not in the file",
    "weights-link": "are a link to elsewhere",
    "weights-virtual": "are compressed, or not in the file",
}


@pytest.fixture(scope="module")
def onnx_files(tiny_model, tmp_path_factory):
    return hostile_onnx_files(onnx_path(tiny_model), tmp_path_factory.mktemp("onnx"), EXPANDED)


@pytest.fixture(scope="module")
def keras_files(tiny_model, tmp_path_factory):
    return hostile_keras_files(tiny_model, tmp_path_factory.mktemp("keras"), EXPANDED)


def refusal(open_file, path):
    """Return the error of opening a file, which must be one sentence that names the file, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            open_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 700
    assert peak < MOST_MEMORY
    return message


def never(*arguments, **options):
    raise AssertionError("the file was handed on")


class TestOnnxFile:
    @pytest.mark.parametrize("name", [*ONNX_CHANGES, "bomb"])
    def test_is_refused_before_onnx_runtime_reads_it(self, onnx_files, name, monkeypatch):
        monkeypatch.setattr(onnxruntime, "InferenceSession", never)
        assert WORDS.get(name, "") in refusal(open_runtime, onnx_files[name])

    @pytest.mark.parametrize("name", OF_TOKENIZERS)
    def test_with_a_hostile_tokenizer_is_refused(self, onnx_files, name):
        assert WORDS.get(name, "") in refusal(Predictor, onnx_files[name])

    @pytest.mark.parametrize("name", NO_NUMBERS)
    def test_without_numbers_as_logits_fails_with_the_first_text(self, tiny_model, tmp_path, name, capsys):
        path = write(onnx.load(onnx_path(tiny_model)), tmp_path / "a.onnx", NO_NUMBERS[name])
        assert application.main(["--model", str(path), "--text", "很好"]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert_one_error(output.err, f"{path}: the network does not compute 1 finite numbers of a text")

    def test_with_a_constant_as_logits_is_no_error(self, tiny_model, tmp_path):
        """Nothing tells it from a badly trained model; the documentation does not promise more."""
        path = tmp_path / "a.onnx"
        write(onnx.load(onnx_path(tiny_model)), path, lambda model: replace_result(model, np.float32([2.0])))
        one, other = Predictor(path).predict(["很好", "难吃"])
        assert one.probability == other.probability > 0.5


class TestKerasFile:
    @pytest.mark.parametrize("name", KERAS)
    def test_is_refused_before_keras_reads_it(self, keras_files, name, monkeypatch):
        monkeypatch.setattr(keras.saving, "load_model", never)
        assert WORDS.get(name, "") in refusal(load_model, keras_files[name])

    @pytest.mark.parametrize("name", OF_TOKENIZERS)
    def test_with_a_hostile_tokenizer_is_refused(self, keras_files, name, capfd):
        with pytest.raises(InputError) as caught:
            Predictor(keras_files[name], runtime="keras")
        assert str(caught.value).startswith(f"{keras_files[name]}: ") and WORDS.get(name, "") in str(caught.value)

    def test_with_weights_that_are_no_numbers_fails_with_the_first_text(self, tiny_model, tmp_path):
        from network.model_file import save_model

        classifier = load_model(tiny_model)
        classifier.get_layer("classification_output").bias.assign([np.nan])
        save_model(classifier, tmp_path / "a.keras")
        predictor = Predictor(tmp_path / "a.keras", runtime="keras")
        with pytest.raises(InputError, match="does not compute 1 finite numbers"):
            predictor.predict(["很好"])


METADATA = [
    ("temperature", [-1, 0, 1e308, 1e-308, "1", None, [1]]),
    ("threshold", [-0.1, 1.1, "0.5", [0.5], {}]),
    ("labels", [None, "正面", [], ["正面"], ["正面", "正面"], [["负面"], "正面"], [1, 2]]),
    ("windows", [None, [], {"window": -1}, {"stride": 0}, {"max_windows": -5}, {"size": 3}, {"window": 10**9}]),
]


@pytest.mark.parametrize(("name", "values"), METADATA)
def test_metadata_out_of_range_name_their_field(tiny_model, tmp_path, name, values, capsys):
    good = onnx.load(onnx_path(tiny_model))
    for value in values:
        path = write(good, tmp_path / "a.onnx", lambda model, value=value: with_metadata(model, **{name: value}))
        assert application.main(["--model", str(path), "--text", "很好"]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert_one_error(output.err, f"{path}: the metadata of the model", name.removesuffix("s"))


def test_a_process_with_little_memory_refuses_all_files(onnx_files, keras_files, environment):
    """All in one process whose memory is limited, so that what libraries allocate counts too."""
    files = [*onnx_files.values(), *keras_files.values()]
    command = [sys.executable, str(ROOT / "tests" / "programs" / "open_hostile_files.py"), *map(str, files)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=600)
    assert run.returncode == 0, run.stderr
    refused = json.loads(run.stdout.splitlines()[-1])
    assert refused == {str(path): "InputError" for path in files}


def test_the_benchmark_measures_every_file(tiny_model, monkeypatch, capsys):
    opened = []

    def measure(arguments, folder, status):
        opened.append((Path(arguments[2]).name, status))
        return benchmark.Run(0.0, 100.0, "", 3.0 if "doubled" in arguments[2] else 1.0)

    monkeypatch.setattr(benchmark, "measure", measure)
    assert benchmark.main(["--model", str(tiny_model), "--expanded", str(EXPANDED), "--only", ".onnx"]) == 1
    assert opened == [("good.onnx", 0), *((f"{name}.onnx", 1) for name in ONNX)]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ONNX) + 3 and lines[-1] == "over the limit: doubled"
