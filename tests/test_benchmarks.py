"""The benchmarks run and print what they promise; how fast anything is, no test asks."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.pretraining import main
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


def test_a_missing_corpus_is_one_sentence(capsys):
    assert main(["--corpus", "missing.txt"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "missing.txt" in err
    assert err.count("\n") == 1
