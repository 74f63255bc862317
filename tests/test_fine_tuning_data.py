"""Runs of fine_tuning.py with official files, duplicates and cleaning."""

import csv
import json
from pathlib import Path

import pytest
from scripts import ROOT, assert_one_error, call, run

import fine_tuning
from network.bert import BertClassifier, BertMaskedLM
from network.model_file import load_model
from serving.predictor import Predictor
from text.sources import read_labelled
from text.tokens.cleaning import PATTERNS, cleanings_of
from text.tokens.tokenizer import tokenizer_from_json

CLASSIFIER = "mini_bert_sentiment_classifier.keras"
DECORATIONS = ("", "#早安#", "@小王 ", "http://t.cn/a ", "[哈哈]", "回复@小李:")


def write_posts(path, rows):
    """Write reviews as posts: each with a hashtag, a name, an address or an emoticon before it."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        decorations = [DECORATIONS[number % len(DECORATIONS)] for number in range(len(rows))]
        posts = [(text and before + text, label) for before, (text, label) in zip(decorations, rows, strict=True)]
        csv.writer(file).writerows([("text", "label"), *posts])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folder and the printed lines of a run with official files, copies among them, and all cleanings."""
    folder = tmp_path_factory.mktemp("finished")
    labelled = read_labelled("sample")
    rows = list(zip(labelled.texts, labelled.labels.tolist(), strict=True))
    write_posts(folder / "train.csv", [*rows[:300], *rows[330:336]])
    write_posts(folder / "dev.csv", [*rows[300:330], rows[0], ("", 1)])
    write_posts(folder / "test.csv", [*rows[330:400], *rows[330:332], ("[哈哈]", 1)])
    options = ["--dataset", "train.csv", "--validation-dataset", "dev.csv", "--test-dataset", "test.csv"]
    options += ["--drop-duplicates", "--clean", "all", "--pretrained", str(tiny_pretrained), "--unfreeze", "1"]
    options += ["--no-xla", "--epochs", "1", "--max-windows", "1", "--backbone-output", "backbone.keras"]
    process = call(fine_tuning.main, options, folder)
    assert process.returncode == 0, process.stderr
    return folder, process.stdout


def cleanings_in(path, kind):
    return cleanings_of(tokenizer_from_json(load_model(path, kind).tokenizer_json))


@pytest.mark.slow
class TestOfficialFiles:
    def test_what_is_printed(self, finished):
        lines = finished[1].splitlines()
        assert lines[:3] == [
            "train.csv: 306 rows, 0 unusable",
            "dev.csv: 32 rows, 1 unusable: row 33: the text is empty",
            "test.csv: 73 rows, 0 unusable",
        ]
        counts = [line.split(" texts, ")[0] for line in lines[3:6]]
        assert counts[2] == "test: 73", "an official test file stays complete"
        assert lines[5].endswith(", 1 without a token")
        assert any(line.startswith("dropped from training: ") for line in lines[6:8])
        assert "removed from every text: reposts, urls, names, hashtags, emoticons" in lines
        assert any(line.startswith("Test on test.csv: 73 texts, ") for line in lines)

    def test_the_model_names_the_files(self, finished):
        data = load_model(finished[0] / CLASSIFIER, BertClassifier).metadata["data"]
        assert (data["name"], data["validation"], data["test"], data["rows"]) == (
            "train.csv",
            "dev.csv",
            "test.csv",
            411,
        )

    def test_the_models_clean(self, finished):
        folder, _ = finished
        assert cleanings_in(folder / CLASSIFIER, BertClassifier) == list(PATTERNS)
        assert cleanings_in(folder / "backbone.keras", BertMaskedLM) == list(PATTERNS)

    @pytest.mark.parametrize("runtime", ["onnx", "keras"])
    def test_the_predictor_cleans(self, finished, runtime):
        predictor = Predictor(finished[0] / CLASSIFIER, runtime=runtime)
        post, review = predictor.predict(["#早安#@小王 房间很干净[哈哈]//@小李:转", "房间很干净"])
        assert post.probability == pytest.approx(review.probability, abs=1e-5)

    def test_the_application_cleans(self, finished):
        texts = ["@小王 房间很干净http://t.cn/a", "房间很干净"]
        options = ["--model", str(finished[0] / CLASSIFIER), "--json"]
        answers = [
            json.loads(run(ROOT / "application.py", [*options, "--text", text], finished[0]).stdout) for text in texts
        ]
        assert answers[0]["probability"] == pytest.approx(answers[1]["probability"], abs=1e-5)

    def test_a_further_training_keeps_the_cleaning(self, finished, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        options = ["--dataset", str(finished[0] / "train.csv"), "--pretrained", str(finished[0] / CLASSIFIER)]
        assert fine_tuning.main([*options, "--clean", "urls", "--epochs", "1", "--max-windows", "1"]) == 0
        assert "removed from every text: reposts, urls, names, hashtags, emoticons\n" in capsys.readouterr().out
        assert load_model(CLASSIFIER).tokenizer_json == load_model(finished[0] / CLASSIFIER).tokenizer_json


class TestDryRun:
    @pytest.fixture
    def arguments(self, tmp_path, monkeypatch, tiny_pretrained):
        monkeypatch.chdir(tmp_path)
        return ["--dataset", "sample", "--pretrained", str(tiny_pretrained), "--dry-run"]

    def test_without_a_choice_nothing_is_cleaned(self, arguments, capsys):
        assert fine_tuning.main(arguments) == 0
        printed = capsys.readouterr().out
        assert "removed" not in printed and "dropped" not in printed

    def test_an_unknown_cleaning_is_refused(self, arguments, capsys):
        with pytest.raises(SystemExit, match="2"):
            fine_tuning.main([*arguments, "--clean", "dirt"])
        assert "--clean" in capsys.readouterr().err

    def test_a_test_file_that_is_not_there(self, arguments, capsys):
        assert fine_tuning.main([*arguments, "--test-dataset", "none.csv"]) == 1
        assert_one_error(capsys.readouterr().err, "none.csv", "--test-dataset")
        assert list(Path().iterdir()) == []
