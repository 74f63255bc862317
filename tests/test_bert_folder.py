"""A folder with a BERT checkpoint of another program, used as a person does: fine-tuned, pre-trained, asked."""

from pathlib import Path

import numpy as np
import pytest
from bert_checkpoints import random_bert, save_checkpoint
from scripts import assert_one_error

import fine_tuning
import pretrain
from network.backbone import backbone_layers
from network.bert import BertClassifier, BertMaskedLM
from network.model_file import load_model
from serving.predictor import Predictor
from text.sources import read_labelled

MODEL = Path("mini_bert_sentiment_classifier.keras")
TEXTS = ["房间很干净，早餐也好。", "服务态度差，再也不会来了！" * 8, "wifis", ""]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkpoint, in a working folder of its own, and reviews to learn."""
    monkeypatch.chdir(tmp_path)
    rows = read_labelled("sample")
    lines = [f"{text}\t{label}" for text, label in zip(rows.texts[::12], rows.labels[::12], strict=True)]
    Path("reviews.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n", encoding="utf-8")
    return save_checkpoint(tmp_path / "bert", random_bert(initializer_range=0.02))


def fine_tune(*options):
    arguments = ["--pretrained", "bert", "--dataset", "reviews.tsv", "--max-seq-len", "16", "--max-windows", "1"]
    return fine_tuning.main([*arguments, "--no-xla", "--dropout-rate", "0", *options])


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_it_is_fine_tuned_and_asked(folder, capsys):
    """With gradient checkpointing too, which changes nothing but rounding."""
    options = ["--unfreeze", "all", "--epochs", "1", "--learning-rate", "1e-3"]
    assert fine_tune(*options) == 0
    assert f"{folder.name}/model.safetensors: " in capsys.readouterr().out
    model = load_model(MODEL, BertClassifier)
    assert model.pooling == "pooler"
    assert (model.config.max_seq_len, model.config.activation, model.config.normalize_first) == (16, "gelu", False)

    answers = Predictor(MODEL).predict_proba(TEXTS[:3])
    np.testing.assert_allclose(Predictor(MODEL, runtime="keras").predict_proba(TEXTS[:3]), answers, atol=1e-5)

    assert fine_tune(*options, "--gradient-checkpointing", "--output", "again.keras", "--run-folder", "again") == 0
    for found, expected in zip(load_model("again.keras").get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_the_head_alone_is_trained(folder):
    assert fine_tune() == 0
    model = load_model(MODEL, BertClassifier)
    again = fine_tune("--pretrained", str(MODEL), "--output", "again.keras", "--run-folder", "again")
    assert again == 0
    for trained in (model, load_model("again.keras")):
        assert trained.pooling == "pooler"
        for layer, expected in zip(backbone_layers(trained), backbone_layers(model), strict=True):
            for found, weight in zip(layer.get_weights(), expected.get_weights(), strict=True):
                np.testing.assert_array_equal(found, weight)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_pre_training_continues(folder):
    Path("corpus.txt").write_text("\n".join(read_labelled("sample").texts[:80]), encoding="utf-8")
    options = ["--pretrained", "bert", "--corpus", "corpus.txt", "--max-seq-len", "32", "--max-steps", "2", "--no-xla"]
    assert pretrain.main([*options, "--output", "more.keras"]) == 0
    model = load_model("more.keras", BertMaskedLM)
    assert model.next_sentence and model.config.max_seq_len == 32 and not model.config.normalize_first


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["--max-seq-len", "2"], "--max-seq-len 2 is too short"),
            (["--gradient-checkpointing"], "--gradient-checkpointing has no effect on a frozen network"),
            (
                ["--gradient-checkpointing", "--unfreeze", "1", "--dropout-rate", "0.1"],
                "--gradient-checkpointing needs --dropout-rate 0",
            ),
        ],
    )
    def test_options_that_contradict_each_other(self, capsys, options, problem):
        with pytest.raises(SystemExit, match="2"):
            fine_tune(*options)
        assert problem in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["--max-seq-len", "65"], "--max-seq-len 65: bert reads at most 64 tokens at once"),
            (["--pretrained", "."], "the folder contains neither config.json nor bert_config.json"),
        ],
    )
    def test_a_model_that_does_not_fit(self, folder, capsys, options, problem):
        capsys.readouterr()
        assert fine_tune(*options) == 1
        assert_one_error(capsys.readouterr().err, problem)

    def test_a_random_pooler_on_a_frozen_network(self, folder, capsys):
        save_checkpoint(folder, random_bert("BertForMaskedLM"))
        capsys.readouterr()
        assert fine_tune("--pooling", "pooler") == 1
        problem = "--pooling pooler: bert has no pooler, and a new one needs --unfreeze"
        assert_one_error(capsys.readouterr().err, problem)
