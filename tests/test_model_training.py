"""The script model.py, the basic training, as a person runs it."""

import pytest
from scripts import assert_fine_tuning_is_printed, assert_one_error, run

import model
import recipes.fine_tuning
from network.bert import BertClassifier
from network.model_file import load_model
from system.errors import InputError
from system.hub import offline

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


def test_each_run_draws_its_own_seed(tmp_path, monkeypatch, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    seeds = []

    def record(classifier, splits, plan, *rest):
        seeds.append(plan.seed)
        raise InputError("seen")

    monkeypatch.setattr(recipes.fine_tuning, "train_classifier", record)
    for _ in range(3):
        assert model.main(["--dataset", "sample", "--pretrained", str(tiny_pretrained)]) == 1
    assert len(set(seeds)) == 3


def test_without_a_network(tmp_path, monkeypatch, tiny_pretrained, capsys):
    monkeypatch.chdir(tmp_path)
    with offline():
        assert model.main(["--pretrained", str(tiny_pretrained)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert_one_error(captured.err, model.DATASET, "--dataset sample", "--dataset FILE", "HF_ENDPOINT")
