"""Fine-tuning with a smaller vocabulary: what remains of it, the files, the kept head, and an interrupted run."""

import re
from pathlib import Path

import numpy as np
import pytest
from interrupted_runs import InterruptAfter
from scripts import assert_one_error, assert_same_weights
from tiny_models import EMOTIONS, classifier

import fine_tuning
import training.engine.loop
from network.bert import BertMaskedLM
from network.model_file import load_model, save_model
from serving.predictor import Predictor
from text.tokens.tokenizer import SPECIAL_TOKENS, tokenizer_from_json

LABELS = {"天气": "今天下雨出门带伞", "足球": "主队进球三比一", "菜谱": "先切葱姜再下锅炒"}
VALIDATION, TEST = "晴天雪山", "点球大门"
CORPUS = "房间很干净"
KEPT = {*SPECIAL_TOKENS, *"".join(LABELS.values()), *"房间很干净"}
TRAINING = ["--unfreeze", "1", "--no-xla", "--epochs", "2", "--batch-size", "8", "--head-fit", "epochs"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with splits, in the current one, of which each has characters of its own, and a corpus."""
    monkeypatch.chdir(tmp_path)
    for name, extra, repeats in (("train", "", 8), ("validation", VALIDATION, 1), ("test", TEST, 1)):
        rows = [f"{text}{extra},{label}" for label, text in LABELS.items() for _ in range(repeats)]
        Path(f"{name}.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    # The line of the validation split is left out.
    Path("corpus.txt").write_text(f"{CORPUS}\n{LABELS['天气']}{VALIDATION}\n", encoding="utf-8")
    return tmp_path


def options(pretrained, *further):
    data = ["--dataset", "train.csv", "--validation-dataset", "validation.csv", "--test-dataset", "test.csv"]
    return [*data, "--pretrained", str(pretrained), "--prune-vocab", "corpus.txt", *further]


def tokens_of(path):
    return set(tokenizer_from_json(load_model(path).tokenizer_json).get_vocab())


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_whole_run(here, tiny_pretrained, capsys):
    files = ["--output", "topics.keras", "--backbone-output", "backbone.keras"]
    assert fine_tuning.main(options(tiny_pretrained, *TRAINING, *files)) == 0
    printed = capsys.readouterr().out
    before, after = load_model(tiny_pretrained), load_model("backbone.keras", BertMaskedLM)
    saving = re.search(
        r"^vocabulary: ([\d,]+) of ([\d,]+) tokens remain; the model has ([\d,]+) .*, ([\d,]+) \(", printed, re.M
    )
    assert [int(number.replace(",", "")) for number in saving.groups()] == [
        after.config.vocab_size,
        before.config.vocab_size,
        after.count_params(),
        before.count_params(),
    ]
    # All words of the small vocabulary that occur have two characters, which remain as well.
    assert {token for token in tokens_of("topics.keras") if len(token) == 1 or token in SPECIAL_TOKENS} == KEPT
    assert {*VALIDATION, *TEST} <= tokens_of(tiny_pretrained)
    assert "\nunknown tokens: 0.00% of the texts that the vocabulary is cut to, as before\n" in printed
    unknown = re.search(r"^unknown tokens: ([\d.]+)% of the validation split, 0\.00% before$", printed, re.M)
    assert float(unknown[1]) > 10
    assert tokens_of("backbone.keras") == tokens_of("topics.keras")
    texts = [*LABELS.values(), CORPUS, "没见过的字"]
    keras, onnx = (Predictor("topics.keras", runtime=name).predict_proba(texts) for name in ("keras", "onnx"))
    np.testing.assert_allclose(onnx, keras, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_an_interrupted_run_is_resumed_with_the_same_texts_alone(here, tiny_pretrained, monkeypatch, capsys):
    arguments = options(tiny_pretrained, *TRAINING, "--output", "topics.keras")
    whole = ["--output", "whole.keras", "--run-folder", "whole", "--report-folder", "whole"]
    assert fine_tuning.main([*arguments, *whole]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(training.engine.loop, "print_epoch", InterruptAfter(epochs=2))
        assert fine_tuning.main(arguments) == 130
    corpus = Path("corpus.txt").read_text(encoding="utf-8")
    Path("corpus.txt").write_text(f"{corpus}别的字\n", encoding="utf-8")
    capsys.readouterr()
    assert fine_tuning.main(["--resume"]) == 1
    assert_one_error(capsys.readouterr().err.splitlines()[-1], "data")
    Path("corpus.txt").write_text(corpus, encoding="utf-8")
    assert fine_tuning.main(["--resume"]) == 0
    assert_same_weights("topics.keras", "whole.keras")


def test_the_head_of_a_classifier_is_kept(here, capsys):
    save_model(classifier({"labels": sorted(LABELS)}, max_seq_len=16), "pretrained.keras")
    assert fine_tuning.main(options("pretrained.keras", "--dry-run")) == 0
    printed = capsys.readouterr().out
    assert "head: starts as that of pretrained.keras, which has the same labels" in printed
    assert "vocabulary: " in printed
    save_model(classifier({"labels": list(EMOTIONS)}, max_seq_len=16), "pretrained.keras")
    assert fine_tuning.main(options("pretrained.keras", "--dry-run")) == 0
    assert "head: starts" not in capsys.readouterr().out


def test_a_missing_source_is_one_error(here, tiny_pretrained, capsys):
    Path("corpus.txt").unlink()
    assert fine_tuning.main(options(tiny_pretrained, "--dry-run")) == 1
    assert_one_error(capsys.readouterr().err, "--prune-vocab", "corpus.txt")
