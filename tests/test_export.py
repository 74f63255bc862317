"""Write a model for other programs: the command."""

import shutil

import numpy as np
import pytest
from bert_checkpoints import random_bert, save_checkpoint
from exported_models import TWO, bert_classifier, probabilities_there, saved, short_texts
from scripts import assert_one_error

from network.bert import BertClassifier
from network.pretrained import read_pretrained
from recipes import export
from serving.predictor import Predictor


@pytest.fixture
def model(tmp_path, tiny_model):
    """A `.keras` file in a folder of its own."""
    return shutil.copy(tiny_model, tmp_path / "topics.keras")


def test_without_a_format_the_onnx_file_is_beside_the_keras_file(model, capsys):
    assert export.main([str(model)]) == 0
    assert capsys.readouterr().out == f"Model saved to {model.with_suffix('.onnx')}\n"
    assert Predictor(model, runtime="onnx").predict(["很好"])[0].label


def test_the_onnx_file_may_be_elsewhere(model, tmp_path, capsys):
    assert export.main([str(model), "--to", "onnx", str(tmp_path / "other" / "name.onnx")]) == 0
    assert not model.with_suffix(".onnx").exists()
    found, expected = (Predictor(path) for path in (tmp_path / "other" / "name.onnx", model))
    texts = ["房间很干净", "早餐难吃"]
    np.testing.assert_allclose(found.predict_proba(texts), expected.predict_proba(texts), atol=1e-6)


def test_a_folder_for_transformers(tmp_path, capsys):
    model = saved(bert_classifier(TWO), tmp_path)
    assert export.main(["--to", "huggingface", str(tmp_path / "out"), str(model)]) == 0
    printed = capsys.readouterr().out
    assert printed == f"Model saved to {tmp_path / 'out'}; transformers loads it as BertForSequenceClassification\n"


def test_a_checkpoint_of_another_program_becomes_a_file_for_the_application(tmp_path, capsys):
    folder = save_checkpoint(tmp_path / "theirs", random_bert("BertForSequenceClassification", num_labels=3))
    capsys.readouterr()  # the progress of saving
    assert export.main([str(folder), "--to", "onnx", str(tmp_path / "topics.onnx")]) == 0
    *remarks, saved_line = capsys.readouterr().out.splitlines()
    assert remarks == read_pretrained(str(folder), BertClassifier).remarks
    assert remarks[0].startswith(f"{folder / 'model.safetensors'}: ")
    assert saved_line == f"Model saved to {tmp_path / 'topics.onnx'}"
    predictor = Predictor(tmp_path / "topics.onnx")
    assert predictor.labels.names == ("LABEL_0", "LABEL_1", "LABEL_2")
    texts = short_texts(bert_classifier(TWO), 10)
    export.main([str(folder), "--to", "huggingface", str(tmp_path / "ours")])
    expected = probabilities_there(tmp_path / "ours", texts, predictor.labels.names)
    np.testing.assert_allclose(predictor.predict_proba(texts), expected, rtol=0, atol=1e-5)


class TestErrors:
    def test_a_missing_model(self, tmp_path, capsys):
        assert export.main([str(tmp_path / "none.keras")]) == 1
        assert_one_error(capsys.readouterr().err, "no such model file")

    def test_an_unknown_format(self, model, capsys):
        with pytest.raises(SystemExit, match="2"):
            export.main([str(model), "--to", "tflite", "out"])
        assert "unknown format 'tflite' (choose from onnx, huggingface" in capsys.readouterr().err

    def test_a_name_that_the_application_would_not_take_for_an_onnx_file(self, model, tmp_path, capsys):
        assert export.main([str(model), "--to", "onnx", str(tmp_path / "model")]) == 1
        assert_one_error(capsys.readouterr().err, "the name of the file must end in .onnx")

    def test_a_folder_without_a_format(self, tmp_path, capsys):
        assert export.main([str(tmp_path)]) == 1
        assert_one_error(capsys.readouterr().err, "name the file to write: --to onnx FILE.onnx")

    def test_a_checkpoint_without_a_classifier(self, tmp_path, capsys):
        folder = save_checkpoint(tmp_path / "theirs")
        capsys.readouterr()  # the progress of saving
        assert export.main([str(folder), "--to", "onnx", str(tmp_path / "model.onnx")]) == 1
        assert_one_error(capsys.readouterr().err, "contains no classifier, but one is needed")


def test_the_help_names_every_format(capsys):
    with pytest.raises(SystemExit, match="0"):
        export.main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} {each.path}, {each.purpose}" in printed for name, each in export.FORMATS.items())
