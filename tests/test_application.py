"""Run the application as a person does: one-shot predictions, files, and every way to use it wrongly."""

import functools
import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import application_process
import numpy as np
import pytest
from scored_files import read_dicts
from tiny_models import ASPECTS, EMOTIONS

import application
from serving.predictor import Predictor
from text import labels

GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
ANSWER = re.compile(
    r"(正面|负面|不确定)  probability ([01]\.\d{4})  confidence ([01]\.\d{4})(  \(only the beginning .*\))?"
)
# Characters that no tokenizer trained on Chinese reviews knows.
UNKNOWN_TEXT = "ꙮꙮꙮ"
# Modules that would make one prediction slower to start; the last ones are small ones of the standard library.
HEAVY = {
    *("tensorflow", "jax", "torch", "keras", "transformers", "datasets", "matplotlib", "sklearn", "pyarrow", "pandas"),
    *("shutil", "lzma", "logging"),
}


def first_half(content):
    return content[: len(content) // 2]


def archive_of_another_program(content):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("word/document.xml", "<document/>")
    return archive.getvalue()


def plain_text(content):
    return "这不是模型。\n".encode()


@pytest.fixture
def run(tiny_model, capsys):
    """Return the function that runs the application, and returns its status and the lines of its two outputs."""

    def run(*arguments, model=tiny_model):
        status = application.main(["--model", str(model), *arguments])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return run


class TestText:
    def test_as_a_process(self, tiny_model, environment, tmp_path):
        texts = [GOOD, BAD, GOOD * 9]
        options = [word for text in texts for word in ("--text", text)]
        command = application_process.application(tiny_model, "--max-windows", "1", *options)
        process = application_process.run(command, environment, cwd=tmp_path)
        assert process.returncode == 0
        assert process.stderr == ""
        lines = process.stdout.splitlines()
        assert len(lines) == 3
        predictor = Predictor(tiny_model, windows={"max_windows": 1})
        for line, prediction in zip(lines, predictor.predict(texts), strict=True):
            label, probability, confidence, truncated = ANSWER.fullmatch(line).groups()
            assert label == prediction.label
            assert float(probability) == pytest.approx(prediction.probability, abs=1e-4)
            assert float(confidence) == pytest.approx(prediction.confidence, abs=1e-4)
            assert bool(truncated) == prediction.is_truncated
        assert [bool(ANSWER.fullmatch(line)[4]) for line in lines] == [False, False, True]
        assert list(tmp_path.iterdir()) == []

    def test_undecodable_bytes_as_a_process(self, tiny_model, environment):
        command = [os.fsencode(part) for part in application_process.application(tiny_model, "--text")]
        process = subprocess.run([*command, b"\xff\xfe"], env=environment, capture_output=True)
        assert (process.returncode, process.stdout) == (1, b"")
        assert process.stderr.decode().splitlines() == ["error: the text is not valid Unicode: '\\udcff\\udcfe'"]

    def test_one_prediction_loads_nothing_heavy(self, tiny_model):
        printed, modules = application_process.modules_of_application("--model", tiny_model, "--text", "房间很干净")
        assert ANSWER.fullmatch(printed)
        assert "onnxruntime" in modules
        assert {name.split(".")[0] for name in modules} & HEAVY == set()

    def test_order_is_kept(self, run):
        texts = [GOOD, BAD, "早餐一般", "还行", GOOD]
        status, lines, _ = run("--json", *(word for text in texts for word in ("--text", text)))
        assert status == 0
        assert [json.loads(line)["text"] for line in lines] == texts
        probabilities = [json.loads(line)["probability"] for line in lines]
        assert len(set(np.round(probabilities[:4], 5))) == 4
        for text, probability in zip(texts, probabilities, strict=True):
            _, (alone,), _ = run("--json", "--text", text)
            assert json.loads(alone)["probability"] == pytest.approx(probability, abs=1e-5)

    @pytest.mark.parametrize("text", ["", " ", "\t\n", "\u3000", "\u3000 \u3000"])
    def test_a_blank_text(self, run, text):
        assert run("--text", text) == (1, [], [f"error: the text is empty: {text!r}"])

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (UNKNOWN_TEXT, "knows no character"),
            ("\x00\x01", "knows no character"),
            ("\u200b", "knows no character"),
            ("好\udcff", "not valid Unicode"),
            ("\ud83d", "not valid Unicode"),
        ],
    )
    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_a_text_without_a_prediction_does_not_stop_the_others(self, run, text, problem, form):
        status, lines, error = run("--text", GOOD, "--text", text, "--text", BAD, *form)
        assert status == 1
        assert len(lines) == 2
        assert len(error) == 1
        assert error[0].startswith("error: ") and problem in error[0]

    @pytest.mark.parametrize(("threshold", "label"), [("0", "正面"), ("1", "负面")])
    def test_the_threshold_decides(self, run, threshold, label):
        status, (line,), _ = run("--text", GOOD, "--threshold", threshold)
        assert status == 0
        assert line.startswith(label)

    def test_a_missing_model_is_one_error(self, run, tmp_path):
        path = tmp_path / "missing.keras"
        status, lines, (error,) = run("--text", GOOD, model=path)
        assert (status, lines) == (1, [])
        assert error == f"error: {path}: no such model file; train one with `python fine_tuning.py`"

    @pytest.mark.parametrize("damage", [first_half, archive_of_another_program, plain_text])
    @pytest.mark.parametrize("suffix", [".keras", ".onnx"])
    def test_a_damaged_model_is_one_error(self, run, tiny_model, tmp_path, damage, suffix):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(damage(tiny_model.with_suffix(suffix).read_bytes()))
        status, lines, (error,) = run("--text", GOOD, model=path)
        assert (status, lines) == (1, [])
        assert error.startswith(f"error: {path}")


class TestModelNames:
    @pytest.fixture
    def script(self, tiny_emotions, tmp_path):
        """A copy of the script, with a folder of models beside it."""
        (tmp_path / "models").mkdir()
        shutil.copy(tiny_emotions.with_suffix(".onnx"), tmp_path / "models" / "emotions.onnx")
        shutil.copy(tiny_emotions.with_suffix(".onnx"), tmp_path / "models" / "100%.onnx")
        return shutil.copy(application.__file__, tmp_path)

    @pytest.fixture
    def folder(self, script, monkeypatch):
        """The folder of the included models."""
        folder = Path(script).parent / "models"
        monkeypatch.setattr(application, "MODELS_FOLDER", str(folder))
        return folder

    def test_a_model_beside_the_script_is_found_from_another_folder(self, script, tiny_emotions):
        command = ("--model", "emotions", "--text", GOOD, "--json")
        printed, modules = application_process.modules_of_application(*command, script=script)
        (prediction,) = Predictor(tiny_emotions).predict([GOOD])
        assert json.loads(printed)["label"] == prediction.label
        assert {name.split(".")[0] for name in modules} & HEAVY == set()

    def test_the_help_lists_the_names(self, script):
        printed, modules = application_process.modules_of_application("--help", script=script)
        assert "or the name of an included model: 100%, emotions (default: " in " ".join(printed.split())
        assert {name.split(".")[0] for name in modules} & (HEAVY | {"numpy", "onnxruntime"}) == set()

    def test_a_file(self, run, folder, tmp_path):
        (tmp_path / "in.csv").write_text(f"text\n{GOOD}\n", encoding="utf-8")
        status, _, _ = run("--file", f"{tmp_path}/in.csv", "--output", f"{tmp_path}/out.csv", model="emotions")
        assert status == 0 and read_dicts(tmp_path / "out.csv")[0]["label"] in EMOTIONS

    def test_a_path_that_exists_wins(self, run, folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("emotions").write_bytes(b"no model")
        status, lines, (error,) = run("--text", GOOD, model="emotions")
        assert (status, lines) == (1, []) and error.startswith("error: emotions: ")

    def test_an_unknown_name_is_one_error(self, run, folder):
        status, lines, (error,) = run("--text", GOOD, model="topics")
        assert (status, lines) == (1, [])
        assert error == "error: topics: no such file, and no included model has this name; choose from 100%, emotions"

    @pytest.mark.parametrize(
        ("path", "remedy"),
        [
            ("topics.keras", "train one with `python fine_tuning.py`"),
            ("topics.onnx", "create it with `python -m recipes.export FILE.keras`"),
            ("models/topics", "train one with `python fine_tuning.py`"),
        ],
    )
    def test_what_looks_like_a_path_is_a_missing_file(self, run, folder, path, remedy):
        assert run("--text", GOOD, model=path) == (1, [], [f"error: {path}: no such model file; {remedy}"])

    def test_at_the_prompt(self, run, folder, monkeypatch):
        lines = ("/help", "/model emotions", GOOD, "/model topics", "/model topics.keras")
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        status, (answer,), (_, *printed) = run("--json")
        assert status == 0 and json.loads(answer)["label"] in EMOTIONS
        assert "FILE|NAME" in printed[7] and printed[7].endswith("  use another model; by name: 100%, emotions")
        assert printed[-3:] == [
            "using emotions",
            "error: topics: no such file, and no included model has this name; choose from 100%, emotions",
            "error: topics.keras: no such model file; train one with `python fine_tuning.py`",
        ]


class TestAbstain:
    def test_a_text_between_the_two_is_undecided(self, run, tiny_model):
        (prediction,) = Predictor(tiny_model).predict([GOOD])
        probability = prediction.probability
        above, below = str(probability + 1e-3), str(probability - 1e-3)
        status, (line,), _ = run("--text", GOOD, "--abstain", below, above)
        assert status == 0 and line.startswith("不确定  ")
        confidence = float(ANSWER.fullmatch(line)[3])
        assert confidence == pytest.approx(max(probability, 1 - probability), abs=1e-4)
        _, (line,), _ = run("--text", GOOD, "--abstain", above, "1")
        assert not line.startswith("不确定")

    @pytest.mark.parametrize("bounds", [("0.6", "0.4"), ("0.5", "0.5")])
    def test_nothing_lies_between(self, run, bounds):
        status, lines, (error,) = run("--text", GOOD, "--abstain", *bounds)
        assert (status, lines) == (1, []) and "a lower and a higher number" in error


class TestMoreLabels:
    @pytest.fixture
    def run(self, run, tiny_emotions):
        return functools.partial(run, model=tiny_emotions)

    @pytest.fixture
    def prediction(self, tiny_emotions):
        return Predictor(tiny_emotions).predict([GOOD])[0]

    def test_the_most_probable_labels(self, run, prediction):
        status, (line,), _ = run("--text", GOOD, "--top-k", "2")
        assert status == 0
        assert line.startswith(f"{prediction.label}  probability {prediction.probability:.4f}  confidence ")
        assert line.endswith(f" {sorted(prediction.probabilities)[-2]:.4f}") and line.count(" | ") == 1

    def test_all_labels_in_json(self, run, prediction):
        status, (line,), _ = run("--text", GOOD, "--json", "--all-probabilities")
        probabilities = json.loads(line)["probabilities"]
        assert status == 0 and next(iter(probabilities)) == prediction.label
        assert list(probabilities.values()) == pytest.approx(sorted(prediction.probabilities, reverse=True), abs=1e-5)

    @pytest.mark.parametrize("threshold", ["0.5", "auto"])
    def test_there_is_no_threshold(self, run, threshold):
        status, lines, (error,) = run("--text", GOOD, "--threshold", threshold)
        assert (status, lines) == (1, [])
        assert error == "error: a threshold decides between two labels only; this model has 6"

    def test_abstain_is_the_lowest_confidence(self, run, prediction):
        above, below = str(prediction.confidence + 1e-3), str(prediction.confidence - 1e-3)
        assert run("--text", GOOD, "--abstain", above)[1][0].startswith("不确定  ")
        assert run("--text", GOOD, "--abstain", below)[1][0].startswith(f"{prediction.label}  ")
        status, lines, (error,) = run("--text", GOOD, "--abstain", "0.3", "0.7")
        assert (status, lines) == (1, []) and "abstain needs one number from 0 to 1" in error

    def test_the_words_of_another_label(self, run, prediction):
        status, (line, *marked), _ = run("--text", GOOD, "--explain", "--explain-label", "恐惧")
        assert (status, prediction.label != "恐惧", line.split()[0]) == (0, True, prediction.label)
        assert marked[1].split()[-1] == "恐惧"
        status, lines, (error,) = run("--text", GOOD, "--explain", "--explain-label", "正面")
        assert (status, lines) == (1, []) and "no label '正面' to explain; choose from 愤怒, 悲伤" in error

    def test_a_file_gets_a_column_per_label(self, run, prediction, tmp_path):
        (tmp_path / "in.csv").write_text(f"text,label\n{GOOD},2\n,1\n", encoding="utf-8")
        status, _, error = run(
            "--file", str(tmp_path / "in.csv"), "--all-probabilities", "--output", f"{tmp_path}/out.csv"
        )
        assert status == 0 and f"2 rows, 1 {prediction.label}, 1 without a prediction" in error[-1]
        scored, unscored = read_dicts(tmp_path / "out.csv")
        assert list(scored) == [
            *("text", "label", "predicted_label", "probability", "confidence", "problem"),
            *(f"probability_{name}" for name in EMOTIONS),
        ]
        assert scored["predicted_label"] == prediction.label
        found = [float(scored[f"probability_{name}"]) for name in EMOTIONS]
        assert found == pytest.approx(prediction.probabilities, abs=1e-5)
        assert unscored["problem"] and not any(unscored[f"probability_{name}"] for name in EMOTIONS)


class TestSeveralLabels:
    @pytest.fixture
    def run(self, run, tiny_aspects):
        return functools.partial(run, model=tiny_aspects)

    @pytest.mark.parametrize(("options", "threshold"), [([], None), (["--threshold", "auto"], None), (["0.8"], 0.8)])
    def test_the_thresholds_are_those_of_the_file_or_one_for_all(self, run, tiny_aspects, options, threshold):
        status, (line,), _ = run("--text", GOOD, "--json", *(["--threshold", *options] if threshold else options))
        (prediction,) = Predictor(tiny_aspects, threshold).predict([GOOD])
        assert (status, json.loads(line)["labels"]) == (0, list(prediction.labels))
        assert prediction.labels

    def test_abstain_is_the_lowest_confidence(self, run, tiny_aspects):
        (prediction,) = Predictor(tiny_aspects).predict([GOOD])
        above, below = str(prediction.confidence + 1e-3), str(prediction.confidence - 1e-3)
        assert run("--text", GOOD, "--abstain", above)[1][0].startswith("不确定  most probable ")
        assert run("--text", GOOD, "--abstain", below)[1][0].startswith(f"{prediction.label}  ")
        status, lines, (error,) = run("--text", GOOD, "--abstain", "0.3", "0.7")
        assert (status, lines) == (1, []) and "abstain needs one number from 0 to 1" in error

    @pytest.mark.parametrize("threshold", ["0", "1"])
    def test_a_file(self, run, tmp_path, threshold):
        (tmp_path / "in.csv").write_text(f"text\n{GOOD}\n,\n", encoding="utf-8")
        options = ("--all-probabilities", "--threshold", threshold, "--output", f"{tmp_path}/out.csv")
        status, _, error = run("--file", str(tmp_path / "in.csv"), *options)
        counts = ", ".join(f"1 {name}" for name in ASPECTS) if threshold == "0" else "1 no label"
        assert status == 0 and f"2 rows, {counts}, 1 without a prediction" in error[-1]
        scored, _ = read_dicts(tmp_path / "out.csv")
        assert list(scored)[5:] == [f"probability_{name}" for name in ASPECTS]
        assert scored["label"] == ("|".join(ASPECTS) if threshold == "0" else "")


class TestWindows:
    def test_they_are_listed_below_the_answer(self, run):
        status, lines, _ = run("--text", GOOD * 3, "--explain-windows", "--text", "好")
        assert status == 0 and "characters" in lines[1] and len(lines) > 4
        assert ANSWER.fullmatch(lines[-1])

    def test_in_json_for_another_label(self, run):
        status, (line,), _ = run("--text", GOOD * 3, "--explain-windows", "--json", "--explain-label", "正面")
        assert status == 0
        assert {window["label"] for window in json.loads(line)["windows"]} == {"正面"}
        assert "explained_label" not in json.loads(line)  # that of the words, which are not marked


class TestArguments:
    def test_defaults(self):
        args = application.build_parser().parse_args([])
        assert (args.threshold, args.model) == (None, "mini_bert_sentiment_classifier.keras")
        assert application.POSITIVE_THRESHOLD == labels.POSITIVE_THRESHOLD == 0.7

    @pytest.mark.parametrize("threshold", ["1.01", "-0.1", "nan", "inf", "seventy", ""])
    def test_a_wrong_threshold(self, tiny_model, capsys, threshold):
        with pytest.raises(SystemExit, match="2"):
            application.main(["--model", str(tiny_model), "--text", GOOD, f"--threshold={threshold}"])
        captured = capsys.readouterr()
        assert captured.out == ""
        expected = f"argument --threshold: {threshold!r} is neither a number from 0 to 1 nor auto"
        assert captured.err.splitlines()[-1].endswith(expected)

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--text"],
            [GOOD],
            ["--text", GOOD, "--file", "x.csv"],
            ["--text", GOOD, "--output", "x.csv"],
            ["--strict"],
            ["--file", "x.csv", "--json"],
            ["--file", "x.csv", "--explain"],
            ["--file", "x.csv", "--explain-label", "正面"],
            ["--file", "x.csv", "--explain-windows"],
            ["--abstain"],
            ["--abstain", "0.3", "0.5", "0.7"],
            ["--abstain", "1.3"],
            ["--top-k", "0"],
            ["--top-k", "2", "--all-probabilities"],
            ["--file", "x.csv", "--top-k", "2"],
            ["--text", GOOD, "--explain-label", "正面"],
            ["--window", "0"],
            ["--max-windows", "2", "--spread-windows", "2"],
            ["--aggregate", "median"],
            ["--runtime", "torch"],
            ["--attention", "why.png"],
        ],
    )
    def test_other_wrong_arguments(self, capsys, wrong):
        with pytest.raises(SystemExit, match="2"):
            application.main(wrong)
        assert capsys.readouterr().out == ""

    def test_help_loads_nothing_heavy(self):
        printed, modules = application_process.modules_of_application("--help")
        printed = " ".join(printed.split())
        for shown in (
            "--text",
            "--file",
            "--json",
            "exit",
            "(default: 0.7 for sentiment, ",
            f"(default: {application.MODEL_PATH})",
        ):
            assert shown in printed
        assert "label, probability, confidence and problem; txt has no header" in printed
        assert "system.command_line" in modules
        assert {name.split(".")[0] for name in modules} & (HEAVY | {"numpy"}) == set()


class TestFile:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        """The current folder, with a file whose second row is empty."""
        monkeypatch.chdir(tmp_path)
        Path("in.csv").write_text("text,n\n好,1\n\n好,2\n", encoding="utf-8")

    def test_to_a_file(self, run):
        status, lines, error = run("--file", "in.csv", "--output", "out.csv")
        assert (status, lines) == (0, [])
        assert error[-1].endswith("; saved to out.csv")
        assert Path("out.csv").read_text(encoding="utf-8").count("\n") == 4

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--file", "missing.csv"), "missing.csv: no such file"),
            (("--file", "in.csv", "--text-column", "b"), "no column 'b'"),
            (("--file", "in.csv", "--strict", "--output", "out.csv"), "in.csv, row 3: the line is empty"),
            (("--file", "in.csv", "--resume"), "--output"),
        ],
    )
    def test_unusable_input(self, run, arguments, words):
        status, _, error = run(*arguments)
        assert status == 1
        assert words in error[-1]
        assert os.listdir() == ["in.csv"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--file", "in.csv", "--format", "xlsx"), "invalid choice"),
            (("--text", "好", "--output", "out.csv"), "needs --file"),
            (("--file", "in.csv", "--text", "好"), "not allowed"),
            (("--file", "in.csv", "--batch-size", "0"), "--batch-size"),
        ],
    )
    def test_wrong_arguments(self, capsys, arguments, words):
        with pytest.raises(SystemExit, match="2"):
            application.main(list(arguments))
        assert words in capsys.readouterr().err.splitlines()[-1]
        assert os.listdir() == ["in.csv"]
