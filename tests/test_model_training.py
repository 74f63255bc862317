"""The script model.py, the basic training, as a person runs it."""

import numpy as np
import pytest
from scripts import assert_fine_tuning_is_printed, assert_one_error, run

import model
from network.bert import BertClassifier
from network.model_file import load_model
from system.hub import offline
from text.dataset.saving import write_rows
from text.sources import read_labelled

CLASSIFIER = "mini_bert_sentiment_classifier.keras"


@pytest.mark.slow
def test_it_trains_and_draws_nothing(tmp_path, tiny_pretrained):
    (tmp_path / CLASSIFIER).write_text("earlier", encoding="utf-8")
    options = ["--dataset", "sample", "--pretrained", str(tiny_pretrained), "--epochs", "2"]
    process = run("model.py", options, tmp_path)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert "504 rows, 0 unusable" in lines[0]
    assert_fine_tuning_is_printed(lines, epochs=2)
    files = (CLASSIFIER, "mini_bert_sentiment_classifier.onnx", "mini_bert_sentiment_classifier.previous.keras")
    assert lines[-1] == f"Model saved to {files[0]} and {files[1]}; the previous model is kept as {files[2]}"
    assert {path.name for path in tmp_path.iterdir()} == {*files}
    metadata = load_model(tmp_path / CLASSIFIER, BertClassifier).metadata
    assert f"Test set loss: {metadata['test']['thresholds']['0.5']['log_loss']:.4f}" in lines
    assert f"Test set accuracy: {metadata['test']['thresholds']['0.5']['accuracy']:.4f}" in lines
    assert metadata["data"]["name"] == "sample_reviews.csv"


@pytest.fixture
def train_tiny(tmp_path, monkeypatch, tiny_pretrained):
    """Return the function that trains on a few reviews for an epoch, and returns the kernel of the head."""
    monkeypatch.chdir(tmp_path)
    labelled = read_labelled("sample")
    write_rows(labelled, np.arange(0, 504, 12), "reviews.csv")
    options = ["--dataset", "reviews.csv", "--pretrained", str(tiny_pretrained), "--epochs", "1"]

    def train():
        assert model.main(options) == 0
        return load_model(CLASSIFIER).get_layer("classification_output").get_weights()[0]

    return train


@pytest.mark.slow
def test_each_run_draws_its_own_seed(train_tiny):
    assert (train_tiny() != train_tiny()).any()


def test_without_a_network(tmp_path, monkeypatch, tiny_pretrained, capsys):
    monkeypatch.chdir(tmp_path)
    with offline():
        assert model.main(["--pretrained", str(tiny_pretrained)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert_one_error(captured.err, model.DATASET, "--dataset sample", "--dataset FILE", "HF_ENDPOINT")
