"""A study: several seeds of one fine-tuning, each as if it ran alone, interrupted and resumed."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from bert_checkpoints import random_bert, save_checkpoint
from interrupted_runs import InterruptAfter
from scripts import assert_same_weights, call

import fine_tuning
import recipes.studies.results
import recipes.studies.study
import training.engine.loop
from evaluation.metrics import classification_metrics
from network.model_file import load_model
from recipes.runs.run_folder import CHECKPOINT_NAME, PROGRESS_NAME, RECORD_NAME
from recipes.studies.results import ONE_WINDOW
from recipes.studies.seeds import CONVERSIONS
from recipes.studies.study import MARKDOWN_NAME, STUDY_NAME
from serving.predictor import Predictor
from text.sources import read_labelled

FOLDER = Path("runs/fine_tuning")
CLASSIFIER = Path("mini_bert_sentiment_classifier.keras")
# Two windows of a text, so that the first one alone gives other predictions.
UNFROZEN = ["--unfreeze", "1", "--no-xla", "--learning-rate", "1e-3", "--epochs", "1", "--max-windows", "2"]
UNFROZEN += ["--head-fit", "epochs"]  # a head fitted to random features would predict the same for all texts
TESTED = ("calibration", "application_threshold", "test", "baseline", "history")


@pytest.fixture
def arguments(tmp_path, monkeypatch, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    return ["--dataset", "sample", "--pretrained", str(tiny_pretrained), "--epochs", "2"]


def metrics_of(folder):
    metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return {name: metrics[name] for name in TESTED}


def assert_as_alone(arguments, seed, seed_folder):
    """Check that a seed of a study gave what a run with that seed alone gives."""
    assert fine_tuning.main([*arguments, "--seed", str(seed), "--run-folder", "alone", "--report-folder", "alone"]) == 0
    assert metrics_of(seed_folder) == metrics_of("alone")
    assert_same_weights(CLASSIFIER, seed_folder / "classifier.keras")


class InterruptedPredictor:
    """Takes the place of the predictor that tests a trained model."""

    def __init__(self, *arguments, **options):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folder and the printed lines of a study with the seeds 7 and 8, which trains one encoder with the head."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["--dataset", "sample", "--pretrained", str(tiny_pretrained), *UNFROZEN]
    study = call(fine_tuning.main, [*options, "--seed", "7", "--seeds", "2", "--save-splits", "splits"], folder)
    assert study.returncode == 0, study.stderr
    return folder, study.stdout.splitlines()


@pytest.mark.slow
class TestFinishedStudy:
    def test_what_is_written(self, finished):
        folder, printed = finished
        assert not (folder / CLASSIFIER).exists()
        assert "seed-*" in printed[-1] and STUDY_NAME in printed[-1]
        written = {path.name for path in (folder / FOLDER / "seed-7").iterdir()}
        plots = {"training_curves.png", "confusion_matrix.png"}
        assert written == {"classifier.keras", "classifier.onnx", "metrics.json", RECORD_NAME, *plots}
        names = {path.name for path in (folder / FOLDER).iterdir()}
        assert names == {"seed-7", "seed-8", STUDY_NAME, MARKDOWN_NAME, RECORD_NAME}
        record = json.loads((folder / FOLDER / RECORD_NAME).read_text(encoding="utf-8"))
        assert record["arguments"]["seeds"] == 2
        assert {path.name for path in (folder / "splits").iterdir()} == {"train.csv", "test.csv"}

    def test_the_table_holds_means_and_deviations(self, finished):
        folder, printed = finished
        title = "84 test texts; mean ± standard deviation of 2 seeds, and the accuracy of each"
        lines = printed[printed.index(title) + 2 : -2]
        names = [line[:30].strip() for line in lines[::2]]
        models = ["Mini-BERT", "Mini-BERT at the threshold", "Mini-BERT, first window only"]
        assert names == ["TF-IDF + logistic regression", *models, *CONVERSIONS.values()]
        results = json.loads((folder / FOLDER / STUDY_NAME).read_text(encoding="utf-8"))["seeds"]
        assert list(results) == ["7", "8"]
        for name, line, seeds in zip(names, lines[::2], lines[1::2], strict=True):
            accuracies = [float(value) for value in seeds.split(",")]
            assert accuracies == pytest.approx([result[name]["accuracy"] for result in results.values()], abs=1e-4)
            expected = np.mean(accuracies), np.std(accuracies, ddof=1)
            shown = re.search(r"accuracy ([0-9.]+) ± ([0-9.]+)  macro-F1 .*  ROC-AUC ", line).groups()
            # All of them are rounded: three digits after the point here, four in the line of the seeds.
            assert [float(value) for value in shown] == pytest.approx(expected, abs=6e-4)

    def test_the_same_means_are_in_the_markdown(self, finished):
        folder, printed = finished
        markdown = (folder / FOLDER / MARKDOWN_NAME).read_text(encoding="utf-8")
        assert markdown.startswith("# 2 seeds\n\n84 test texts; mean ± standard deviation of 2 seeds.\n\n| ")
        for name in ("TF-IDF + logistic regression", "Mini-BERT", *CONVERSIONS.values()):
            (line,) = (line for line in printed if re.match(rf"{re.escape(name)}  +accuracy ", line))
            accuracy = re.search(r"accuracy ([0-9.]+ ± [0-9.]+)", line)[1]
            assert re.search(rf"^\| {re.escape(name)} +\| {accuracy} \|", markdown, re.M)
        assert re.findall(r"^\| (7|8) +\| +84 \|", markdown, re.M) == ["7", "8"]

    def test_its_metrics_are_those_of_its_runs(self, finished):
        folder, _ = finished
        results = json.loads((folder / FOLDER / STUDY_NAME).read_text(encoding="utf-8"))["seeds"]
        for seed, result in results.items():
            metrics = metrics_of(folder / FOLDER / f"seed-{seed}")
            assert result["Mini-BERT"] == metrics["test"]["thresholds"]["0.5"]
            assert result["Mini-BERT at the threshold"] == metrics["test"]["thresholds"]["0.7"]
            assert result["TF-IDF + logistic regression"] == metrics["baseline"]

    def test_the_first_window_has_a_row_of_its_own(self, finished):
        folder, _ = finished
        results = json.loads((folder / FOLDER / STUDY_NAME).read_text(encoding="utf-8"))["seeds"]
        test = read_labelled(folder / "splits" / "test.csv")
        for seed, result in results.items():
            model = folder / FOLDER / f"seed-{seed}" / "classifier.keras"
            reads_one, reads_two = Predictor(model, windows={"max_windows": 1}), Predictor(model)
            for row, predictor in ((ONE_WINDOW, reads_one), ("Mini-BERT", reads_two)):
                expected = classification_metrics(test.label_set, test.labels, predictor.predict_proba(test.texts))
                assert result[row]["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-5)
            assert result[ONE_WINDOW]["log_loss"] != pytest.approx(result["Mini-BERT"]["log_loss"], abs=1e-3)

    def test_each_seed_has_its_own_weights(self, finished):
        models = [load_model(finished[0] / FOLDER / f"seed-{seed}" / "classifier.keras") for seed in (7, 8)]
        kernels = [model.get_layer("classification_output").get_weights()[0] for model in models]
        assert (kernels[0] != kernels[1]).all()

    def test_a_seed_gives_what_it_gives_alone(self, finished, arguments):
        assert_as_alone([*arguments, *UNFROZEN], 8, finished[0] / FOLDER / "seed-8")


@pytest.mark.slow
class TestInterruptedStudy:
    def test_it_is_resumed_where_it_was(self, arguments, monkeypatch, capsys):
        options = [*arguments, "--seed", "7", "--seeds", "3"]
        with monkeypatch.context() as patch:
            patch.setattr(training.engine.loop, "print_epoch", InterruptAfter(epochs=4))
            assert fine_tuning.main(options) == 130
        assert f"The study is saved in {FOLDER}; continue it with --resume." in capsys.readouterr().err
        assert (FOLDER / PROGRESS_NAME).is_file() and (FOLDER / "seed-8" / CHECKPOINT_NAME).is_file()
        first_model = (FOLDER / "seed-7" / "classifier.keras").read_bytes()

        for other in (options, arguments):  # a new study would lose it, and so would a single run
            assert fine_tuning.main(other) == 1
            assert "--resume" in capsys.readouterr().err
        assert fine_tuning.main(["--resume", "--epochs", "5"]) == 1
        assert "--epochs 2, not 5" in capsys.readouterr().err

        with monkeypatch.context() as patch:
            patch.setattr(recipes.studies.study, "data_sha256", lambda *data: "another")
            assert fine_tuning.main(["--resume"]) == 1
        assert "has changed since the study began" in capsys.readouterr().err

        assert fine_tuning.main(["--resume"]) == 0
        printed = capsys.readouterr().out
        assert re.findall(r"^(?:Epoch [^ ]+|Seed .*)", printed, re.M) == [
            "Seed 8, 2 of 3",
            "Epoch 2/2",
            "Seed 9, 3 of 3",
            "Epoch 1/2",
            "Epoch 2/2",
        ]
        assert "84 test texts; mean ± standard deviation of 3 seeds" in printed
        assert (FOLDER / "seed-7" / "classifier.keras").read_bytes() == first_model
        assert not (FOLDER / PROGRESS_NAME).exists()
        assert_as_alone(arguments, 8, FOLDER / "seed-8")
        assert fine_tuning.main(["--resume"]) == 1
        assert "no interrupted run" in capsys.readouterr().err

    def test_a_seed_that_was_trained_is_only_tested(self, arguments, monkeypatch, capsys):
        with monkeypatch.context() as patch:
            patch.setattr(recipes.studies.results, "Predictor", InterruptedPredictor)
            assert fine_tuning.main([*arguments, "--seeds", "1"]) == 130
        capsys.readouterr()
        assert fine_tuning.main(["--resume"]) == 0
        printed = capsys.readouterr().out
        assert "Epoch" not in printed and "mean ± standard deviation of 1 seed, " in printed


@pytest.mark.slow
def test_a_study_of_three_labels(arguments, capsys):
    opinions = {"甲": "很好", "乙": "难吃", "丙": "一般"}
    rows = [f"{text}，{number},{label}" for number in range(8) for label, text in opinions.items()]
    Path("three.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    assert fine_tuning.main([*arguments, "--dataset", "three.csv", "--seeds", "1", "--max-windows", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[next(index for index, line in enumerate(lines) if "test texts; mean" in line) + 2 :: 2][:5]
    models = ["Mini-BERT", "Mini-BERT, first window only"]
    assert [line[:30].strip() for line in table] == ["TF-IDF + logistic regression", *models, *CONVERSIONS.values()]
    assert all("macro-F1" in line and "ROC-AUC" not in line for line in table)
    result = json.loads((FOLDER / STUDY_NAME).read_text(encoding="utf-8"))["seeds"]["42"]
    assert result["Mini-BERT"] == metrics_of(FOLDER / "seed-42")["test"]


def test_dry_run(arguments, capsys):
    assert fine_tuning.main([*arguments, "--seeds", "2", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "504 rows" in printed and f"The model would be saved to {FOLDER / 'seed-42' / 'classifier.keras'}" in printed
    assert printed.splitlines()[-1].startswith("The study would repeat this with 2 seeds, from 42 on")
    assert [path for path in Path().rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_folder_as_teacher(arguments):
    names = {"id2label": {0: "负面", 1: "正面"}, "label2id": {"负面": 0, "正面": 1}}
    folder = save_checkpoint(Path("bert"), random_bert("BertForSequenceClassification", **names))
    options = ["--seeds", "1", "--max-windows", "1", "--teachers", str(folder), "--mixtures", "10", "--epochs", "1"]
    assert fine_tuning.main([*arguments, *options]) == 0
    assert (FOLDER / STUDY_NAME).is_file()


@pytest.mark.parametrize("progress", ["", "[]", '{"data_sha256": "0", "seeds": {}}'])
def test_a_damaged_study_or_one_of_another_version_is_refused(arguments, capsys, progress):
    plan = dataclasses.asdict(fine_tuning.PLAN) | {"dataset": "sample", "pretrained": arguments[3], "seeds": 2}
    FOLDER.mkdir(parents=True)
    (FOLDER / RECORD_NAME).write_text(json.dumps({"arguments": plan}), encoding="utf-8")
    (FOLDER / PROGRESS_NAME).write_text(progress, encoding="utf-8")
    assert fine_tuning.main(["--resume"]) == 1
    assert "the record of the study is damaged, or of another version" in capsys.readouterr().err
    assert (FOLDER / PROGRESS_NAME).read_text(encoding="utf-8") == progress


def test_a_study_that_cannot_begin_leaves_nothing_to_resume(arguments, capsys):
    for wrong in (["--pretrained", "none.keras"], ["--dataset", "none.csv"]):
        assert fine_tuning.main([*arguments, *wrong, "--seeds", "2"]) == 1
        assert wrong[1] in capsys.readouterr().err
    assert fine_tuning.main([*arguments, "--seeds", "2", "--dry-run"]) == 0


@pytest.mark.parametrize("option", [["--output", "a.keras"], ["--report-folder", "a"], ["--seed", "4294967295"]])
def test_options_that_a_study_refuses(arguments, capsys, option):
    with pytest.raises(SystemExit, match="2"):
        fine_tuning.main([*arguments, "--seeds", "2", *option])
    assert option[0] in capsys.readouterr().err.splitlines()[-1]


def test_a_backbone_of_many_seeds_is_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        fine_tuning.main([*arguments, "--seeds", "2", "--unfreeze", "all", "--backbone-output", "b.keras"])
    assert "leave out --backbone-output" in capsys.readouterr().err
