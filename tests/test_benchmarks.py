"""The benchmarks run and print what they promise; how fast anything is, no test asks."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pretraining import main
from model import BertConfig, BertMaskedLM, save_model
from text.corpus.vocabulary import train_unigram
from text.reading.readers import iter_texts
from text.tokenizer import SPECIAL_TOKENS

ROOT = Path(__file__).resolve().parents[1]
MISSING = [package for package in ("torch", "transformers", "keras_hub") if not importlib.util.find_spec(package)]


@pytest.fixture
def vocabulary(tmp_path) -> str:
    """A `vocab.txt` with the characters of the sample corpus, each at the beginning of a word and inside one."""
    characters = sorted({character for text in iter_texts(["sample"]) for character in text if not character.isspace()})
    path = tmp_path / "vocab.txt"
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters)]
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8", newline="\n")
    return str(path)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"the other contenders need {', '.join(MISSING)}: requirements-dev.txt")
def test_pretraining_prints_the_speeds_of_three_contenders(vocabulary):
    sizes = ["--steps", "2", "--turns", "1", "--batch-size", "4"]
    tokenizers = ["--tokenizer", vocabulary, "--bert-vocabulary", vocabulary]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.pretraining", *sizes, *tokenizers],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    header, *rows, machine = result.stdout.splitlines()
    assert "real tokens/s" in header
    assert [row[:12].strip() for row in rows] == ["this project", "transformers", "keras_hub"]
    columns = [[float(cell.strip("x").replace(",", "")) for cell in row[12:].split()] for row in rows]
    assert all(tokens > 0 and characters > 0 for tokens, characters, *_ in columns)
    assert columns[0][2:] == [1, 1]
    assert "cores" in machine
    assert "tensorflow" in machine


@pytest.mark.slow
def test_accuracy_of_several_seeds(tmp_path):
    options = ["--pretrained", str(tiny_pretrained(tmp_path / "tiny.keras")), "--epochs", "2"]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.accuracy", "--seeds", "1", "2", "--keep", str(tmp_path), "--", *options],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    header, blank, *lines = result.stdout.splitlines()
    assert header.startswith("84 test reviews") and not blank
    names = [line[:30].strip() for line in lines[::2]]
    assert names[:2] == ["TF-IDF + logistic regression", "Mini-BERT"]
    for line, seeds in zip(lines[::2], lines[1::2], strict=True):
        accuracies = [float(value) for value in seeds.split(",")]
        assert f"accuracy {np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=1):.3f}" in line
    kept = [json.loads((tmp_path / f"seed-{seed}" / "metrics.json").read_text("utf-8")) for seed in (1, 2)]
    shown = [float(value) for value in lines[3].split(",")]
    assert shown == pytest.approx([metrics["test"]["at_half"]["accuracy"] for metrics in kept], abs=1e-4)


def tiny_pretrained(path):
    texts = list(iter_texts(["sample"]))
    config = BertConfig(vocab_size=1500, max_seq_len=32, d_model=16, dff=32)
    save_model(BertMaskedLM(config, train_unigram(lambda: texts, config.vocab_size, min_count=2).to_str()), path)
    return path


def test_a_missing_corpus_is_one_sentence(capsys):
    assert main(["--corpus", "missing.txt"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "missing.txt" in err
    assert err.count("\n") == 1
