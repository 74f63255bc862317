"""Choose the runtime of a model file."""

import json
import shutil
import sys

import keras
import onnx
import pytest
import tiny_models
from layer_checks import randomize

from network.bert import BertClassifier
from network.model_file import load_model, save_model
from serving.export.onnx_file import export_onnx, onnx_path
from serving.predictor import Predictor
from serving.runtimes.selection import keras_file_of, open_runtime
from system.errors import InputError


@pytest.fixture
def model_file(tiny_model, tmp_path):
    """A copy that a test may change."""
    for path in (tiny_model, onnx_path(tiny_model)):
        shutil.copy(path, tmp_path)
    return tmp_path / tiny_model.name


class TestOnnxRuntime:
    def test_is_chosen_if_its_file_belongs_to_the_model(self, model_file, capsys):
        assert open_runtime(model_file).name == "onnx"
        assert capsys.readouterr().err == ""

    def test_needs_no_keras_file(self, model_file):
        model_file.unlink()
        assert Predictor(onnx_path(model_file)).predict(["好"])[0].label

    def test_is_chosen_if_only_the_metadata_differ(self, model_file):
        classifier = load_model(model_file)
        classifier.metadata["threshold"] = 0.9
        save_model(classifier, model_file)
        assert open_runtime(model_file).name == "onnx"


class TestKeras:
    def test_is_chosen_if_the_onnx_file_has_other_weights(self, model_file, capsys):
        classifier = load_model(model_file)
        randomize(classifier, seed=1)
        save_model(classifier, model_file)
        assert open_runtime(model_file).name == "keras"
        assert "have different weights" in capsys.readouterr().err
        with pytest.raises(InputError, match="have different weights"):
            open_runtime(model_file, "onnx")

    def test_is_chosen_if_keras_itself_wrote_the_model_file(self, model_file, capsys):
        load_model(model_file).save(model_file)
        assert open_runtime(model_file).name == "keras"
        assert "does not record the hash of its weights" in capsys.readouterr().err
        export_onnx(model_file)
        assert open_runtime(model_file).name == "onnx"

    def test_is_chosen_if_the_onnx_file_is_of_an_older_version(self, model_file, capsys):
        path = onnx_path(model_file)
        graph = onnx.load(path)
        about = next(entry for entry in graph.metadata_props if entry.key == "mini_bert")
        older = json.loads(about.value)
        del older["format"]
        about.value = json.dumps(older)
        onnx.save(graph, path)
        assert open_runtime(model_file).name == "keras"
        assert "format 1; this version reads format 2" in capsys.readouterr().err
        with pytest.raises(InputError, match=r"recreate it with `python -m recipes\.export FILE\.keras`"):
            open_runtime(path)

    def test_is_chosen_without_an_onnx_file(self, model_file, capsys):
        onnx_path(model_file).unlink()
        assert open_runtime(model_file).name == "keras"
        note = capsys.readouterr().err
        assert (
            note.startswith("note: using Keras") and f"create it with `python -m recipes.export {model_file}`" in note
        )

    @pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07"])
    def test_is_chosen_if_the_onnx_file_is_damaged(self, model_file, content, capsys):
        onnx_path(model_file).write_bytes(content)
        assert open_runtime(model_file).name == "keras"
        assert "damaged, or not an ONNX file of this version" in capsys.readouterr().err

    def test_is_chosen_if_onnx_runtime_is_not_installed(self, model_file, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        assert open_runtime(model_file).name == "keras"
        assert "onnxruntime is not installed" in capsys.readouterr().err

    def test_a_missing_onnx_file_is_named_where_keras_is_not_installed(self, model_file, monkeypatch):
        onnx_path(model_file).unlink()
        monkeypatch.setitem(sys.modules, "keras", None)
        with pytest.raises(InputError) as caught:
            open_runtime(model_file)
        assert str(caught.value) == (
            f"{onnx_path(model_file)}: no such model file; create it with `python -m recipes.export {model_file}`; "
            f"Keras cannot run {model_file} either, because keras is not installed: "
            "run `pip install -r requirements.txt`, or set KERAS_BACKEND to an installed backend"
        )


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "runtime", "words"),
        [
            ("none.keras", "auto", "no such model file; train one with `python fine_tuning.py`"),
            ("none.onnx", "auto", "no such model file; create it with `python -m recipes.export FILE.keras`"),
            ("tiny.onnx", "keras", "Keras cannot run an .onnx file"),
            ("tiny.keras", "torch", "unknown runtime 'torch'; choose from auto, onnx, keras"),
            ("", "auto", "this is a folder; name a file in it"),
        ],
    )
    def test_files_and_runtimes(self, model_file, name, runtime, words):
        with pytest.raises(InputError, match=words):
            open_runtime(model_file.parent / name, runtime)

    def test_an_onnx_file_is_suggested_for_a_missing_keras_file(self, model_file):
        model_file.unlink()
        with pytest.raises(InputError, match=r"no such model file; use .*tiny\.onnx instead"):
            open_runtime(model_file)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(lambda model: b"", id="empty"),
            pytest.param(lambda model: b"not a model", id="text"),
            pytest.param(lambda model: model[: len(model) // 2], id="truncated"),
            pytest.param(lambda model: model[:3000] + bytes(500) + model[3500:], id="overwritten"),
        ],
    )
    def test_a_damaged_file(self, tiny_model, tmp_path, content):
        path = tmp_path / "model.keras"
        path.write_bytes(content(tiny_model.read_bytes()))
        self.check_refused(path, "damaged")

    def test_the_model_of_another_project(self, tmp_path):
        path = tmp_path / "foreign.keras"
        keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)]).save(path)
        self.check_refused(path, "Sequential", "fine_tuning.py")

    def test_a_pretrained_model(self, tiny_pretrained):
        self.check_refused(tiny_pretrained, "BertMaskedLM", "BertClassifier", "fine_tuning.py")

    def test_a_classifier_without_a_tokenizer(self, tmp_path):
        path = tmp_path / "bare.keras"
        save_model(BertClassifier(tiny_models.config(max_seq_len=16)), path)
        self.check_refused(path, "not a tokenizer")

    def check_refused(self, path, *words):
        """Check that a predictor's error is one line that names the file and has some words."""
        with pytest.raises(InputError) as caught:
            Predictor(path)
        error = str(caught.value)
        assert error.startswith(f"{path}: ") and "\n" not in error
        for word in words:
            assert word in error


class TestKerasFileOf:
    def test_a_keras_file_is_its_own(self, tmp_path):
        assert keras_file_of(tmp_path / "model.keras") == tmp_path / "model.keras"

    def test_an_onnx_file_has_the_one_beside_it(self, model_file):
        assert keras_file_of(onnx_path(model_file)) == model_file

    def test_an_onnx_file_alone_has_none(self, model_file):
        model_file.unlink()
        with pytest.raises(InputError, match="there is no .*tiny.keras, which could compute attention; put "):
            keras_file_of(onnx_path(model_file))

    def test_a_file_with_other_weights_is_refused(self, model_file):
        classifier = load_model(model_file)
        randomize(classifier, seed=1)
        save_model(classifier, model_file)
        with pytest.raises(InputError, match="have different weights"):
            keras_file_of(onnx_path(model_file))
