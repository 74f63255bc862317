"""Pre-training that goes on with a smaller vocabulary: what remains of it, the saving, and an interrupted run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from bert_checkpoints import CHARACTERS, VOCABULARY, save_checkpoint
from interrupted_runs import InterruptAfter
from scripts import assert_one_error, assert_same_weights

import pretrain
import training.engine.loop
from network.bert import BertMaskedLM
from network.model_file import load_model
from text.tokens.tokenizer import SPECIAL_TOKENS, tokenizer_from_json

LEARNT, FURTHER = CHARACTERS[:12], CHARACTERS[20:24]
KEPT = [token for token in VOCABULARY if token in {*SPECIAL_TOKENS, *LEARNT, *FURTHER}]


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A short pre-training, in a folder of its own with a BERT, a corpus and further texts."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "bert")
    generator = np.random.default_rng(0)
    lines = ["".join(generator.choice(list(LEARNT), 8)) for _ in range(40)]
    Path("corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    Path("further.csv").write_text(f"review\n{FURTHER}\n", encoding="utf-8")
    Path("excluded.txt").write_text(f"{CHARACTERS[30:34]}\n", encoding="utf-8")
    options = ["--pretrained", "bert", "--corpus", "corpus.txt", "--prune-vocab", "further.csv", "excluded.txt"]
    options += ["--exclude", "excluded.txt", "--max-seq-len", "16", "--held-out-fraction", "0.2"]
    return [*options, "--epochs", "2", "--batch-size", "8", "--no-xla", "--output", "smaller.keras"]


def tokens_of(path):
    tokenizer = tokenizer_from_json(load_model(path, BertMaskedLM).tokenizer_json)
    return [tokenizer.id_to_token(token) for token in range(tokenizer.get_vocab_size())]


def test_the_saving_is_printed_before_a_training(options, capsys):
    assert pretrain.main([*options, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    saving = re.search(
        r"^vocabulary: (\d+) of (\d+) tokens remain; the model has ([\d,]+) parameters .*, ([\d,]+) \(", printed, re.M
    )
    kept, known, parameters, before = (int(number.replace(",", "")) for number in saving.groups())
    assert (kept, known) == (len(KEPT), len(VOCABULARY))
    # Of each token that is gone, the row of the embedding and the output bias.
    assert before - parameters == (known - kept) * (32 + 1)
    assert "\nunknown tokens: 0.00% of the texts that the vocabulary is cut to, as before\n" in printed
    assert f"\nmodel: {parameters:,} parameters, on " in printed


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_an_interrupted_run_is_resumed_with_the_same_texts_alone(options, monkeypatch, capsys):
    whole = ["--output", "whole.keras", "--run-folder", "whole"]
    assert pretrain.main([*options, *whole]) == 0
    assert tokens_of("whole.keras") == KEPT
    record = json.loads(Path("whole/run.json").read_text(encoding="utf-8"))
    assert record["arguments"]["prune_vocab"] == ["further.csv", "excluded.txt"]

    with monkeypatch.context() as patch:
        patch.setattr(training.engine.loop, "print_epoch", InterruptAfter(epochs=2))
        assert pretrain.main(options) == 130
    further = Path("further.csv").read_text(encoding="utf-8")
    Path("further.csv").write_text(f"{further}{CHARACTERS[40:44]}\n", encoding="utf-8")
    capsys.readouterr()
    assert pretrain.main(["--resume"]) == 1
    assert "the data has changed since the run was interrupted" in capsys.readouterr().err
    Path("further.csv").write_text(further, encoding="utf-8")
    assert pretrain.main(["--resume"]) == 0
    assert_same_weights("smaller.keras", "whole.keras")


def test_a_missing_source_is_one_error(options, capsys):
    Path("further.csv").unlink()
    assert pretrain.main([*options, "--dry-run"]) == 1
    assert_one_error(capsys.readouterr().err, "--prune-vocab", "further.csv")
