"""The two scripts that make a classifier, fine_tuning.py and the basic model.py, as a person runs them."""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fine_tuning
import model as model_module
import recipes.fine_tuning
import training.engine.loop
from network.bert import BertClassifier, BertConfig, BertMaskedLM, backbone_layers
from network.model_file import load_model
from recipes.run_folder import CHECKPOINT_NAME, RECORD_NAME
from system.command_line import parse_plan
from system.errors import InputError
from text.dataset import load_splits, split_rows, write_rows
from text.sources import SAMPLE_REVIEWS, read_labelled
from text.tokens.tokenizer import SPECIAL_TOKENS, wordpiece_tokenizer
from text.tokens.window_settings import WindowSettings

ROOT = Path(__file__).resolve().parents[1]
VOCAB_SIZE = 1500
CONFIG = BertConfig(vocab_size=VOCAB_SIZE, max_seq_len=32, d_model=16, dff=32)
CLASSIFIER = "mini_bert_sentiment_classifier.keras"
ONNX_CLASSIFIER = "mini_bert_sentiment_classifier.onnx"
FIGURES = ["loss", "binary_accuracy", "val_loss", "val_binary_accuracy"]
# Without the log level that TensorFlow has set in this process, which would hide how the script sets its own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
ENVIRONMENT["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def pretrained(tiny_pretrained):
    return tiny_pretrained


@pytest.fixture
def arguments(pretrained):
    return ["--dataset", "sample", "--pretrained", str(pretrained)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(script, arguments, folder):
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )


def weights_of(path):
    return load_model(path, BertClassifier).get_weights()


def assert_same_weights(path, other):
    for value, expected in zip(weights_of(path), weights_of(other), strict=True):
        np.testing.assert_array_equal(value, expected)


def assert_one_error(standard_error, *words):
    (error,) = standard_error.splitlines()
    assert error.startswith("error: ")
    for word in words:
        assert word in error


def assert_training_is_printed(lines, epochs):
    """Checks the figures of each epoch, of the test, and the report."""
    shown = [line for line in lines if line.startswith("Epoch ")]
    assert len(shown) == epochs
    for number, line in enumerate(shown):
        head, _, *figures = line.split(" - ")
        assert head == f"Epoch {number + 1}/{epochs}"
        assert [figure.split(": ")[0] for figure in figures] == FIGURES
    after = lines[lines.index(shown[-1]) + 1 :]
    assert re.fullmatch(r"Test set loss: \d\.\d{4}", after[0])
    assert re.fullmatch(r"Test set accuracy: [01]\.\d{4}", after[1])
    report = "\n".join(after)
    for row in ("Test on ", "Always the larger class", "TF-IDF + logistic regression", "Mini-BERT at 0.5", "at 0.7"):
        assert row in report


def write_reviews(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def sample_rows():
    labelled = read_labelled("sample")
    return list(zip(labelled.texts, labelled.labels.tolist(), strict=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folder and the process of a run with nothing but defaults, but for its data."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["--report-folder", "report"]
    return folder, run(
        "fine_tuning.py", ["--dataset", "sample", "--pretrained", str(tiny_pretrained), *options], folder
    )


@pytest.mark.slow
class TestWholeRun:
    def test_what_is_printed(self, finished):
        folder, process = finished
        assert process.returncode == 0, process.stderr
        lines = process.stdout.splitlines()
        assert lines[0] == f"{SAMPLE_REVIEWS.name}: 504 rows, 0 unusable"
        counts = [int(re.fullmatch(rf"{part}: (\d+) reviews, .*", line)[1]) for part, line in
                  zip(("training", "validation", "test"), lines[1:4], strict=True)]  # fmt: skip
        assert sum(counts) == 504
        assert counts[2] == 84
        assert_training_is_printed(lines, fine_tuning.EPOCHS)
        assert CLASSIFIER in lines[-1]
        assert str(folder / "report") in lines[-1]

    def test_nothing_but_progress_on_standard_error(self, finished):
        _, process = finished
        pieces = re.split(r"[\r\n]+", process.stderr)
        assert [piece for piece in pieces if not re.fullmatch(r"epoch \d+: .*texts.*|\s*", piece)] == []

    def test_what_is_written(self, finished):
        folder, _ = finished
        names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        pictures = ("training_curves.png", "confusion_matrix.png")
        assert names == {
            CLASSIFIER,
            ONNX_CLASSIFIER,
            "report/metrics.json",
            f"runs/fine_tuning/{RECORD_NAME}",
            *(f"report/{name}" for name in pictures),
        }
        for name in pictures:
            with Image.open(folder / "report" / name) as picture:
                picture.verify()
                assert picture.format == "PNG" and min(picture.size) >= 600

    def test_metrics_and_metadata_agree(self, finished):
        folder, process = finished
        metrics = json.loads((folder / "report/metrics.json").read_text(encoding="utf-8"))
        assert list(metrics["history"]) == FIGURES
        assert [len(values) for values in metrics["history"].values()] == [fine_tuning.EPOCHS] * 4
        test = metrics["test"]
        assert (test["at_half"]["threshold"], test["at_threshold"]["threshold"]) == (0.5, 0.7)
        assert test["at_half"]["count"] == metrics["baseline"]["count"] == 84
        assert f"Test set accuracy: {test['at_half']['accuracy']:.4f}" in process.stdout
        assert f"Test set loss: {test['at_half']['log_loss']:.4f}" in process.stdout

        metadata = load_model(folder / CLASSIFIER, BertClassifier).metadata
        assert metadata["labels"] == ["负面", "正面"]
        assert {name: metadata[name] for name in metrics["calibration"]} == metrics["calibration"]
        assert 0.1 < metadata["threshold"] < 0.9 and 0.2 <= metadata["temperature"] <= 5
        assert WindowSettings(**metadata["windows"]) == WindowSettings()
        assert metadata["data"] == {"name": "sample_reviews.csv", "rows": 504, "sha256": read_labelled("sample").sha256}
        assert metadata["test"] == test

    def test_the_backbone_is_the_one_it_started_from(self, finished, pretrained):
        classifier = load_model(finished[0] / CLASSIFIER, BertClassifier)
        start = load_model(pretrained, BertMaskedLM)
        assert classifier.config == CONFIG
        assert classifier.tokenizer_json == start.tokenizer_json
        for layer, source in zip(backbone_layers(classifier), backbone_layers(start), strict=True):
            for value, expected in zip(layer.get_weights(), source.get_weights(), strict=True):
                np.testing.assert_array_equal(value, expected)

    def test_the_same_seed_gives_the_same_weights(self, finished, here, arguments):
        Path(CLASSIFIER).write_text("earlier", encoding="utf-8")
        assert fine_tuning.main(arguments) == 0
        assert_same_weights(CLASSIFIER, finished[0] / CLASSIFIER)
        assert Path("mini_bert_sentiment_classifier.previous.keras").read_text(encoding="utf-8") == "earlier"
        assert Path("training_curves.png").is_file() and Path("metrics.json").is_file()

        assert fine_tuning.main([*arguments, "--seed", "43"]) == 0
        kernels = [load_model(path).get_layer("classification_output").get_weights()[0]
                   for path in (CLASSIFIER, finished[0] / CLASSIFIER)]  # fmt: skip
        assert (kernels[0] != kernels[1]).all()


@pytest.mark.slow
class TestTheRoadOverOtherDomains:
    """Train on labelled reviews of several domains, then on those that matter, with a teacher beside the labels."""

    @pytest.fixture
    def on_domains(self, here, pretrained, capsys):
        with open("reviews.csv", "w", encoding="utf-8", newline="") as file:
            rows = [(text, label, "film" if n % 3 else "shop") for n, (text, label) in enumerate(sample_rows())]
            csv.writer(file).writerows([("text", "label", "domain"), *rows])
        options = ["--group-column", "domain", "--unfreeze", "1", "--backbone-output", "backbone.keras"]
        options += ["--pretrained", str(pretrained), "--epochs", "1", "--learning-rate", "1e-3", "--test-size", "0.2"]
        assert fine_tuning.main(["--dataset", "reviews.csv", *options]) == 0
        return capsys.readouterr().out

    def test_each_domain_has_its_figures(self, on_domains):
        metrics = json.loads(Path("metrics.json").read_text(encoding="utf-8"))
        groups = metrics["groups"]
        assert list(groups) == ["film", "shop"]
        counts = {name: figures["test"]["at_half"]["count"] for name, figures in groups.items()}
        assert sum(counts.values()) == metrics["test"]["at_half"]["count"]
        assert counts["film"] == pytest.approx(2 * counts["shop"], abs=2)
        for name, figures in groups.items():
            shown = re.search(rf"^{name} +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", on_domains, re.M).groups()
            model, baseline = figures["test"]["at_half"], figures["baseline"]
            expected = (model["accuracy"], baseline["accuracy"], model["macro_f1"], baseline["macro_f1"])
            assert shown == (str(counts[name]), *(f"{value:.3f}" for value in expected))

    def test_the_backbone_can_be_fine_tuned_further(self, on_domains, pretrained):
        start, trained = load_model(pretrained), load_model(CLASSIFIER)
        backbone = load_model("backbone.keras", BertMaskedLM)
        for layer, source in zip(backbone_layers(backbone), backbone_layers(trained), strict=True):
            for value, expected in zip(layer.get_weights(), source.get_weights(), strict=True):
                np.testing.assert_array_equal(value, expected)
        heads = [model.get_layer("masked_lm_head").get_weights() for model in (backbone, start)]
        for value, expected in zip(*heads, strict=True):
            np.testing.assert_array_equal(value, expected)
        assert backbone.metadata == {"fine_tuned_on": trained.metadata["data"]}

    def test_teachers(self, on_domains, arguments, capsys):
        Path("more.txt").write_text("\n".join([*(text for text, _ in sample_rows()), "没看过的评论"]), encoding="utf-8")
        options = ["--max-windows", "1", "--epochs", "1", "--unlabelled", "more.txt"]
        assert fine_tuning.main([*arguments, *options, "--teachers", CLASSIFIER, "--output", "taught.keras"]) == 0
        lines = capsys.readouterr().out.splitlines()
        # Of the sample, what the model is validated and tested on is left out.
        part_sizes = [int(line.split()[1]) for line in lines[1:4]]
        assert f"teaching on {part_sizes[0] + 1} texts without labels" in lines
        assert load_model("taught.keras").metadata["windows"]["max_windows"] == 1
        # Each teacher makes a difference.
        assert fine_tuning.main([*arguments, *options, "--output", "one_teacher.keras"]) == 0
        assert fine_tuning.main([*arguments, *options[:4], "--output", "none.keras"]) == 0
        models = [load_model(f"{name}.keras") for name in ("taught", "one_teacher", "none")]
        kernels = [model.get_layer("classification_output").get_weights()[0] for model in models]
        assert not np.allclose(kernels[0], kernels[1]) and not np.allclose(kernels[1], kernels[2])

    def test_mixtures(self, on_domains, arguments, capsys):
        options = ["--max-windows", "1", "--epochs", "1", "--mixtures", "30", "--output", "mixed.keras"]
        assert fine_tuning.main([*arguments, *options, "--teachers", CLASSIFIER]) == 0
        assert "teaching on 30 texts without labels" in capsys.readouterr().out.splitlines()

    def test_nothing_to_be_taught(self, here, arguments, capsys):
        Path("blank.txt").write_text("\n \n", encoding="utf-8")
        assert fine_tuning.main([*arguments, "--unlabelled", "blank.txt"]) == 1
        assert_one_error(capsys.readouterr().err, "--unlabelled holds no text")

    def test_the_column_of_what_is_to_be_taught(self, here, arguments, capsys):
        rows = "".join(f"{text},{label}\n" for text, label in sample_rows() if "," not in text and '"' not in text)
        Path("labelled.csv").write_text("words,label\n" + rows, encoding="utf-8")
        Path("more.csv").write_text("text,words\n不是这一列,\n", encoding="utf-8")
        options = ["--dataset", "labelled.csv", "--text-column", "words", "--unlabelled", "more.csv"]
        assert fine_tuning.main([*arguments, *options]) == 1
        assert_one_error(capsys.readouterr().err, "--unlabelled holds no text")

    @pytest.mark.parametrize(
        "options",
        [
            ["--teachers", "a.keras"],
            ["--backbone-output", "b.keras"],
            ["--backbone-output", "a.keras", "--output", "./a.keras", "--unfreeze", "all"],
        ],
    )
    def test_options_that_contradict(self, here, arguments, options, capsys):
        with pytest.raises(SystemExit, match="2"):
            fine_tuning.main([*arguments, *options])
        assert options[0] in capsys.readouterr().err

    def test_texts_to_be_taught_that_are_not_there(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--unlabelled", "none.txt"]) == 1
        assert_one_error(capsys.readouterr().err, "none.txt")


@pytest.mark.slow
class TestUnfreezing:
    @pytest.mark.parametrize("unfreeze", ["1", "all"])
    def test_what_is_trained(self, here, arguments, pretrained, unfreeze, capsys):
        options = ["--unfreeze", unfreeze, "--no-xla", "--epochs", "1", "--learning-rate", "0.001"]
        assert fine_tuning.main([*arguments, *options]) == 0
        assert_training_is_printed(capsys.readouterr().out.splitlines(), epochs=1)
        layers = zip(*(backbone_layers(load_model(path)) for path in (CLASSIFIER, pretrained)), strict=True)
        changed = [
            layer.name
            for layer, source in layers
            if any((new != old).any() for new, old in zip(layer.get_weights(), source.get_weights(), strict=True))
        ]
        everything = ["bert_embedding", "transformer_encoder", "transformer_encoder_1"]
        assert changed == (everything if unfreeze == "all" else everything[-1:])

    def test_more_encoders_than_there_are(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--unfreeze", "9"]) == 1
        assert_one_error(capsys.readouterr().err, "9 encoders", "has 2")

    def test_none_is_the_default(self):
        parser, plan = fine_tuning.build_parser(), fine_tuning.PLAN
        assert parse_plan(parser, plan, ["--unfreeze", "0"])[0] == parse_plan(parser, plan, [])[0] == plan


class TestArguments:
    @pytest.mark.parametrize(
        "wrong",
        [
            ["--unfreeze", "x"],
            ["--unfreeze", "-1"],
            ["--epochs", "0"],
            ["--test-size", "1"],
            ["--threshold", "1.1"],
            ["--head-learning-rate", "fast"],
            ["--seed", "-1"],
        ],
    )
    def test_wrong_arguments(self, here, capsys, wrong):
        with pytest.raises(SystemExit, match="2"):
            fine_tuning.main(wrong)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert wrong[0] in captured.err.splitlines()[-1]
        assert list(here.iterdir()) == []

    def test_what_unfreezing_takes(self, capsys):
        with pytest.raises(SystemExit):
            fine_tuning.main(["--unfreeze", "x"])
        assert "'x' is neither a number of encoders nor all" in capsys.readouterr().err

    @pytest.mark.parametrize("option", [[], ["--no-xla"]])
    def test_the_plan_is_what_was_asked_for(self, here, arguments, option, monkeypatch):
        plans = []

        def note(classifier, reviews, plan, *rest, **options):
            plans.append(plan)
            raise InputError("seen")

        monkeypatch.setattr(recipes.fine_tuning, "train_classifier", note)
        options = ["--epochs", "3", "--batch-size", "7", "--learning-rate", "1e-4", "--head-learning-rate", "0.5"]
        assert fine_tuning.main([*arguments, *options, "--seed", "8", *option]) == 1
        (plan,) = plans
        assert (plan.epochs, plan.batch_size, plan.seed, plan.jit_compile) == (3, 7, 8, not option)
        assert (plan.learning_rate, plan.head_learning_rate) == (1e-4, 0.5)

    def test_dry_run(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--dry-run"]) == 0
        printed = capsys.readouterr().out
        assert "504 rows" in printed and "Trainable params: 17" in printed
        assert "Epoch" not in printed
        assert list(here.iterdir()) == []

    def test_a_model_that_is_not_there(self, here, capsys):
        assert fine_tuning.main(["--dataset", "sample"]) == 1
        assert_one_error(capsys.readouterr().err, "mini_bert_zh_hk.keras", "no such model file")

    def test_nothing_to_resume(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--resume"]) == 1
        assert_one_error(capsys.readouterr().err, "no interrupted run")


@pytest.mark.slow
def test_a_run_is_a_function(here, pretrained, capsys):
    changes = {"dataset": "sample", "pretrained": str(pretrained), "epochs": 1, "output": "a/model.keras"}
    plan = dataclasses.replace(fine_tuning.PLAN, **changes, report_folder="a")
    result = recipes.fine_tuning.fine_tune(plan, plot_name="curves.png")
    assert_training_is_printed(capsys.readouterr().out.splitlines(), epochs=1)
    metrics = json.loads(Path("a/metrics.json").read_text(encoding="utf-8"))
    assert metrics["history"] == result.history and metrics["test"] == result.assessment["test"]
    for value, expected in zip(result.classifier.get_weights(), weights_of("a/model.keras"), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert Path("a/curves.png").is_file()
    assert recipes.fine_tuning.fine_tune(dataclasses.replace(plan, dry_run=True)) is None


class TestSavedSplits:
    @pytest.mark.parametrize("group_options", [[], ["--group-column", "domain"]], ids=["plain", "groups"])
    def test_are_those_of_the_training(self, here, arguments, capsys, group_options):
        rows = [f'"{"差好"[n % 2]}，{n}\n""{n}""",{n % 2},{"shop" if n % 3 else "film"}' for n in range(90)]
        Path("reviews.csv").write_text("\n".join(["text,label,domain", *rows, ",1,shop"]), encoding="utf-8")
        options = ["--dataset", "reviews.csv", "--test-size", "0.2", "--save-splits", "new/splits", "--dry-run"]
        assert fine_tuning.main([*arguments, *options, *group_options]) == 0
        printed = capsys.readouterr().out
        assert re.search(rf"^1[78] rows saved to {re.escape(str(Path('new/splits/test.csv')))}$", printed, re.M)
        assert "Epoch" not in printed
        assert sorted(path.name for path in here.rglob("*")) == [
            "new",
            "reviews.csv",
            "splits",
            "test.csv",
            "train.csv",
        ]

        labelled = read_labelled("reviews.csv", group_column="domain" if group_options else None)
        for split_rows_of, name in zip(split_rows(labelled, 0.2), ("train", "test"), strict=True):
            write_rows(labelled, split_rows_of, "expected.csv")
            assert Path("new/splits", f"{name}.csv").read_bytes() == Path("expected.csv").read_bytes()
        tokenizer = wordpiece_tokenizer([*SPECIAL_TOKENS, "好", "差"])
        group_column = "domain" if group_options else None
        splits = load_splits("reviews.csv", tokenizer, 8, test_size=0.2, group_column=group_column)
        saved_group = "group" if group_options else None
        train, test = (read_labelled(f"new/splits/{name}.csv", group_column=saved_group) for name in ("train", "test"))
        assert test.texts == splits.test.texts
        assert test.labels.tolist() == splits.test.labels.tolist()
        assert sorted(train.texts) == sorted(splits.train.texts + splits.validation.texts)
        if group_options:
            assert test.groups == splits.test.groups.tolist()

    @pytest.mark.slow
    def test_without_a_dry_run_the_training_follows(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--save-splits", ".", "--epochs", "1"]) == 0
        assert Path("train.csv").is_file() and Path(CLASSIFIER).is_file()
        assert "84 rows saved to test.csv" in capsys.readouterr().out

    def test_the_data_set_is_not_overwritten(self, here, arguments, capsys):
        write_reviews("train.csv", sample_rows())
        before = Path("train.csv").read_bytes()
        assert fine_tuning.main([*arguments, "--dataset", "train.csv", "--save-splits", ".", "--dry-run"]) == 1
        assert_one_error(capsys.readouterr().err, "--save-splits", "--dataset")
        assert Path("train.csv").read_bytes() == before
        assert list(here.iterdir()) == [here / "train.csv"]


class TestData:
    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([("text", "stars"), *[("好", 1)] * 20], ("no label column", "'stars'", "--label-column")),
            ([("text", "label"), *[(f"很好{number}", 1) for number in range(40)]], ("lacks one of the two labels",)),
            ([("text", "label"), ("好", 1), ("坏", 0)], ("1 rows are too few",)),
            ([("text", "label"), ("好", 1)], ("1 rows cannot be split",)),
            ([("text", "label"), ("好", "?"), ("", 0)], ("no row that can be used", "row 2", "row 3")),
            ([], ("empty",)),
        ],
    )
    def test_data_that_cannot_be_used(self, here, arguments, rows, words, capsys):
        with open("reviews.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        assert fine_tuning.main([*arguments, "--dataset", "reviews.csv"]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert_one_error(captured.err, *words)
        assert not Path(CLASSIFIER).exists()

    def test_a_file_that_is_not_there(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--dataset", "reviews.csv"]) == 1
        assert_one_error(capsys.readouterr().err, "reviews.csv", "--dataset", "sample")

    def test_rows_that_cannot_be_used_are_named(self, here, arguments, capsys):
        rows = sample_rows()
        rows[3:3] = [("", 1), ("很好", "maybe"), ("不好", "")]
        write_reviews("reviews.csv", rows)
        assert fine_tuning.main([*arguments, "--dataset", "reviews.csv", "--dry-run"]) == 0
        line = capsys.readouterr().out.splitlines()[0]
        assert line.startswith("reviews.csv: 507 rows, 3 unusable: row 5: the text is empty; row 6: ")
        assert "'maybe'" in line and line.endswith("row 7: no label")

    @pytest.mark.slow
    def test_a_model_that_says_the_same_to_everything(self, here, arguments, capsys):
        rows = sample_rows()
        unbalanced = [row for row in rows if row[1]] + [row for row in rows if not row[1]][:40]
        write_reviews("reviews.csv", unbalanced)
        options = ["--dataset", "reviews.csv", "--head-learning-rate", "1e-12", "--epochs", "1"]
        assert fine_tuning.main([*arguments, *options]) == 0
        assert "is no better than always answering 'positive'" in " ".join(capsys.readouterr().out.split())

    @pytest.mark.parametrize("script", ["fine_tuning.py", "model.py"])
    def test_without_a_network(self, tmp_path, pretrained, script):
        process = run(script, ["--pretrained", str(pretrained)], tmp_path)
        assert process.returncode == 1
        assert process.stdout == ""
        words = (fine_tuning.DATASET, "--dataset sample", "--dataset FILE", "HF_ENDPOINT")
        assert_one_error(process.stderr, *words)


@pytest.mark.slow
class TestInterruptedRun:
    @pytest.mark.parametrize("option", [[], ["--unfreeze", "1", "--no-xla"]])
    def test_goes_on_as_if_nothing_had_happened(self, here, arguments, option, monkeypatch, capsys):
        options = [*arguments, *option, "--epochs", "2"]
        assert fine_tuning.main([*options, "--output", "whole.keras", "--run-folder", "whole"]) == 0
        history = json.loads(Path("metrics.json").read_text(encoding="utf-8"))["history"]

        print_epoch = training.engine.loop.print_epoch

        def interrupt(epoch, *rest):
            print_epoch(epoch, *rest)
            if epoch:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(training.engine.loop, "print_epoch", interrupt)
            assert fine_tuning.main(options) == 130
        assert Path("runs/fine_tuning", CHECKPOINT_NAME).is_file()
        assert not Path(CLASSIFIER).exists()
        assert fine_tuning.main(options) == 1
        assert "--resume" in capsys.readouterr().err

        assert fine_tuning.main(["--resume"]) == 0
        shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch ")]
        assert [line.split(" - ")[0] for line in shown] == ["Epoch 2/2"]
        assert_same_weights(CLASSIFIER, "whole.keras")
        assert json.loads(Path("metrics.json").read_text(encoding="utf-8"))["history"] == history
        assert not Path("runs/fine_tuning", CHECKPOINT_NAME).exists()


@pytest.mark.slow
class TestBasicScript:
    def test_trains_and_draws_nothing(self, tmp_path, monkeypatch, arguments, pretrained, capsys):
        options = [*arguments, "--epochs", "2"]
        (tmp_path / CLASSIFIER).write_text("earlier", encoding="utf-8")
        process = run("model.py", options, tmp_path)
        assert process.returncode == 0, process.stderr
        lines = process.stdout.splitlines()
        assert "504 rows, 0 unusable" in lines[0]
        assert_training_is_printed(lines, epochs=2)
        assert lines[-1] == f"Model saved to {CLASSIFIER}"
        names = {CLASSIFIER, ONNX_CLASSIFIER, "mini_bert_sentiment_classifier.previous.keras"}
        assert {path.name for path in tmp_path.iterdir()} == names
        metadata = load_model(tmp_path / CLASSIFIER, BertClassifier).metadata
        assert f"Test set accuracy: {metadata['test']['at_half']['accuracy']:.4f}" in lines
        assert metadata["data"]["name"] == "sample_reviews.csv"

        # No seed is fixed, so that no other run gives the same head.
        monkeypatch.chdir(tmp_path)
        assert model_module.main([*options, "--output", "second.keras"]) == 0
        assert_training_is_printed(capsys.readouterr().out.splitlines(), epochs=2)
        assert model_module.main([*options, "--output", "third.keras"]) == 0
        kernels = [
            load_model(path).get_layer("classification_output").get_weights()[0]
            for path in (CLASSIFIER, "second.keras", "third.keras")
        ]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert (kernels[first] != kernels[second]).any()
