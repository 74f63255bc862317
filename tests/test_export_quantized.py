"""Write a quantized `.onnx` file: the command, and what it says about the loss."""

import copy
import csv
import re
import shutil

import numpy as np
import pytest
import tiny_models
from onnx import numpy_helper
from scripts import assert_one_error

import fine_tuning
from recipes import export
from serving.export.onnx_file import onnx_path
from serving.predictor import Predictor
from serving.runtimes.selection import open_runtime
from system.errors import InputError
from text.corpus import iter_texts

UNMEASURED = "What the quantization costs was not measured; --dataset measures it on labelled texts"


def quantize(model, target, *options, quantization="float16-embeddings"):
    return [str(model), "--to", "onnx", str(target), "--quantize", quantization, *options]


def with_head_of_zeros(model, quantization):
    """Return a model that finds every label equally likely, in the place of `quantized`."""
    model = copy.deepcopy(model)
    (head,) = [node for node in model.graph.node if "logits" in node.output]
    for constant in model.graph.initializer:
        if constant.name in head.input[1:]:
            zeros = np.zeros_like(numpy_helper.to_array(constant))
            constant.CopyFrom(numpy_helper.from_array(zeros, constant.name))
    return model


@pytest.fixture
def labelled(tiny_model, tmp_path):
    """A file of texts with the labels that the small model gives them."""
    texts = list(dict.fromkeys(iter_texts(["sample"])))[:300]
    path = tmp_path / "labelled.csv"
    rows = [[each.text, each.label] for each in Predictor(tiny_model, 0.5).predict(texts)]
    write_rows(path, ["text", "label"], rows)
    return path


def write_rows(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.mark.parametrize("quantization", ["int8", "float16-embeddings"])
@pytest.mark.parametrize("model", ["tiny_model", "tiny_emotions", "tiny_aspects"])
def test_the_application_answers_with_the_file_as_with_the_full_one(request, model, quantization, tmp_path, capsys):
    path, target = request.getfixturevalue(model), tmp_path / "small.onnx"
    assert export.main(quantize(path, target, quantization=quantization)) == 0
    output, error = capsys.readouterr()
    assert error == ""
    measured, saved = output.splitlines()
    assert measured == UNMEASURED
    assert re.fullmatch(rf"Model saved to {target}: [\d.]+ MB instead of [\d.]+ MB", saved)
    full, small = Predictor(onnx_path(path)), Predictor(target)
    assert (small.labels, small.threshold, small.temperature) == (full.labels, full.threshold, full.temperature)
    texts = list(iter_texts(["sample"]))[:50]
    # Random weights feel the rounding more than trained ones.
    assert np.abs(small.predict_proba(texts) - full.predict_proba(texts)).mean() < 0.05
    assert target.stat().st_size < onnx_path(path).stat().st_size


def test_the_scores_on_the_validation_split_are_printed(tiny_model, labelled, tmp_path, capsys):
    """A tenth of five sixths of the 300 rows; the small model has made the labels itself."""
    assert export.main(quantize(tiny_model, tmp_path / "small.onnx", "--dataset", str(labelled))) == 0
    measured, _ = capsys.readouterr().out.splitlines()
    expected = "accuracy on 25 validation texts of labelled.csv: 1.0000, with float16-embeddings 1.0000"
    assert measured == expected


def test_the_macro_f1_of_several_labels_is_printed(tiny_aspects, tmp_path, capsys):
    texts = list(dict.fromkeys(iter_texts(["sample"])))[:200]
    answers = Predictor(tiny_aspects).predict(texts)
    rows = [
        [text, *(int(name in each.labels) for name in tiny_models.ASPECTS)]
        for text, each in zip(texts, answers, strict=True)
    ]
    write_rows(tmp_path / "aspects.csv", ["text", *tiny_models.ASPECTS], rows)
    options = ["--dataset", str(tmp_path / "aspects.csv"), "--label-columns", *tiny_models.ASPECTS, "--stratify"]
    assert export.main(quantize(tiny_aspects, tmp_path / "small.onnx", *options)) == 0
    measured, _ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"macro-F1 on \d+ validation texts of aspects.csv: 1.0000, with float16-embeddings [01].\d{4}", measured
    )


def test_the_split_is_that_of_fine_tuning():
    assert export.DATA.test_size == fine_tuning.TEST_SIZE


def test_too_great_a_loss_writes_nothing_without_force(tiny_model, labelled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "quantized", with_head_of_zeros)
    target = tmp_path / "small.onnx"
    command = quantize(tiny_model, target, "--dataset", str(labelled))
    assert export.main(command) == 1
    assert_one_error(capsys.readouterr().err, "a loss of more than 0.5 points", "nothing was written", "--force")
    assert not target.exists()
    assert export.main([*command, "--force"]) == 0
    assert target.exists()
    assert re.match(r"accuracy on 25 validation texts of labelled.csv: 1.0000, with ", capsys.readouterr().out)


def test_a_target_that_cannot_be_written_is_refused_before_the_evaluation(labelled, tmp_path, capsys):
    (tmp_path / "folder.onnx").mkdir()
    command = quantize(tmp_path / "none.keras", tmp_path / "folder.onnx", "--dataset", str(labelled))
    assert export.main(command) == 1
    assert_one_error(capsys.readouterr().err, "folder.onnx: it is a folder; name a file in it")


def test_data_with_other_labels_are_an_error(tiny_emotions, labelled, tmp_path, capsys):
    assert export.main(quantize(tiny_emotions, tmp_path / "small.onnx", "--dataset", str(labelled))) == 1
    assert_one_error(capsys.readouterr().err)
    assert not (tmp_path / "small.onnx").exists()


def test_label_columns_need_a_model_of_several_labels(tiny_model, labelled, tmp_path, capsys):
    options = ["--dataset", str(labelled), "--label-columns", "a", "b"]
    assert export.main(quantize(tiny_model, tmp_path / "small.onnx", *options)) == 1
    assert_one_error(capsys.readouterr().err, "--label-columns", "several labels")


def test_a_quantized_file_never_stands_for_the_keras_file(tiny_model, tmp_path, capsys):
    model = tmp_path / "model.keras"
    shutil.copy(tiny_model, model)
    assert export.main(quantize(model, onnx_path(model))) == 1
    assert_one_error(capsys.readouterr().err, "must have the exact weights of", "model-float16-embeddings.onnx")
    assert export.main(quantize(model, tmp_path / "small.onnx")) == 0
    (tmp_path / "small.onnx").rename(onnx_path(model))
    capsys.readouterr()
    assert open_runtime(model).name == "keras"
    assert "in a quantized form; recreate model.onnx with" in capsys.readouterr().err
    with pytest.raises(InputError, match="in a quantized form"):
        open_runtime(model, "onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quantize", "int8"], "--quantize needs --to onnx"),
        (["--quantize", "int8", "--to", "litert", "out"], "--quantize needs --to onnx"),
        (["--dataset", "sample"], "--dataset needs --quantize"),
        (["--force"], "--force needs --quantize"),
        (["--to", "onnx", "a.onnx", "--quantize", "int8", "--force"], "--force needs --dataset"),
        (["--to", "onnx", "a.onnx", "--quantize", "int8", "--stratify"], "--stratify needs --dataset"),
        (["--to", "onnx", "a.onnx", "--quantize", "int4"], "invalid choice"),
        (
            ["--to", "onnx", "a.onnx", "--quantize", "int8", "--dataset", "sample", "--label-columns", "a", "a"],
            "name a column twice",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message, capsys):
    with pytest.raises(SystemExit) as end:
        export.main(["none.keras", *options])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
