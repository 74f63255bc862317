"""Whole runs of fine_tuning.py on texts that may have several labels, or none."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from application_process import application, run
from PIL import Image
from scripts import call

import fine_tuning
from evaluation.metrics import classification_metrics
from network.metadata import Metadata
from network.model_file import load_model
from recipes.studies.study import STUDY_NAME
from serving.predictor import Predictor
from text.dataset.labelled_texts import LabelOptions
from text.labels import LabelSet
from text.sources import read_labelled

OPINIONS = {"服务": "服务热情", "早餐": "早餐难吃", "位置": "位置很好", "隔音": "隔音不错"}
LABELS = LabelSet(("位置", "早餐", "服务", "隔音"), multi_label=True)
RARE = "停车"


def rows():
    """Return texts with up to three labels, and one rare label."""
    generator = np.random.default_rng(0)
    for number in range(120):
        chosen = generator.permutation(list(OPINIONS))[: number % 4]
        text = "，".join([*(OPINIONS[label] for label in chosen), f"酒店{number}"])
        yield text, "|".join([*chosen, *([RARE] if number == 7 else [])])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A CSV file with the labels in one column."""
    path = tmp_path_factory.mktemp("data") / "hotels.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "labels"), *rows()])
    return path


@pytest.fixture
def arguments(data, tiny_pretrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ["--dataset", str(data), "--multi-label", "--pretrained", str(tiny_pretrained), "--epochs", "2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data, tiny_pretrained):
    """The folder and the printed lines of a training of the whole network."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["--unfreeze", "all", "--learning-rate", "5e-3", "--epochs", "8", "--no-xla", "--batch-size", "8"]
    options += ["--output", "hotels.keras", "--save-splits", "splits"]
    arguments = ["--dataset", str(data), "--multi-label", "--pretrained", str(tiny_pretrained), *options]
    done = call(fine_tuning.main, arguments, folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


@pytest.mark.slow
class TestWholeRun:
    def test_the_report_has_a_line_for_each_label(self, finished):
        _, printed = finished
        assert f"1 rare label is left out (rows): '{RARE}' (1)" in printed
        assert sum("% without a label, " in line for line in printed) == 3
        epoch = next(line for line in printed if line.startswith("Epoch 8/8"))
        names = [part.split(":")[0] for part in epoch.split(" - ")[2:]]
        assert names == ["loss", "accuracy", "val_loss", "val_accuracy", "val_micro_f1", "val_macro_f1"]
        title = next(index for index, line in enumerate(printed) if line.startswith("Label "))
        assert [line.split()[0] for line in printed[title + 1 : title + 6]] == [*LABELS.names, "All"]
        for name in ("TF-IDF + logistic regression at ", "Mini-BERT at 0.5", "Mini-BERT at its own thresholds"):
            assert any(line.startswith(name) for line in printed)

    def test_the_model_file_has_the_labels_and_a_threshold_for_each(self, finished):
        folder, _ = finished
        metrics = read_json(folder / "metrics.json")
        classifier = load_model(folder / "hotels.keras")
        assert classifier.get_layer("classification_output").activation.__name__ == "sigmoid"
        metadata = Metadata.from_json(classifier.metadata, "hotels.keras")
        assert metadata.labels == LABELS
        assert list(metadata.threshold) == metrics["calibration"]["threshold"] == metrics["application_threshold"]
        assert metadata.temperature == metrics["calibration"]["temperature"]
        assert metadata.test == metrics["test"]

    def test_the_metrics_are_those_of_the_saved_model_on_the_saved_test_split(self, finished):
        folder, _ = finished
        metrics = read_json(folder / "metrics.json")
        options = LabelOptions(names=LABELS.names, multi_label=True)
        test = read_labelled(folder / "splits" / "test.csv", label_options=options)
        for runtime in ("keras", "onnx"):
            probabilities = Predictor(folder / "hotels.keras", runtime=runtime).predict_proba(test.texts)
            for threshold, of_run in (
                (metrics["application_threshold"], metrics["test"]),
                (0.5, metrics["test"]["at_half"]),
            ):
                found = classification_metrics(LABELS, test.labels, probabilities, threshold)
                for name in ("accuracy", "micro_f1", "macro_f1", "log_loss", "count"):
                    assert found[name] == pytest.approx(of_run[name], abs=1e-4)

    def test_another_process_answers_with_the_labels_and_thresholds_of_the_training(self, finished, environment):
        model = finished[0] / "hotels.keras"
        predictor = Predictor(model, runtime="keras")
        texts = [text for text, _ in rows()][:8]
        words = [word for text in texts for word in ("--text", text)]
        done = run(application(model, "--json", "--all-probabilities", *words), environment)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        probabilities = predictor.predict_proba(texts)
        found = [[answer["probabilities"][name] for name in predictor.labels.names] for answer in answers]
        np.testing.assert_allclose(found, probabilities, rtol=0, atol=1e-5)
        expected = [
            [
                name
                for name, has in zip(predictor.labels.names, row >= np.array(predictor.threshold), strict=True)
                if has
            ]
            for row in probabilities
        ]
        assert [answer["labels"] for answer in answers] == expected and len(set(map(len, expected))) > 1

    def test_the_model_has_learned(self, finished):
        test = read_json(finished[0] / "metrics.json")["test"]
        assert test["micro_f1"] > 0.65 > test["majority_micro_f1"]
        assert test["log_loss"] < test["majority_log_loss"]

    def test_the_picture_has_the_scores(self, finished):
        with Image.open(finished[0] / "confusion_matrix.png") as image:
            assert image.size[0] == 1200


@pytest.mark.slow
def test_a_study_has_micro_and_macro_f1(arguments, capsys):
    assert fine_tuning.main([*arguments, "--seeds", "1", "--max-windows", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[next(index for index, line in enumerate(lines) if "test texts; mean" in line) + 2 :: 2][:5]
    assert [line[:30].strip() for line in table][:2] == ["TF-IDF + logistic regression", "Mini-BERT"]
    assert all("accuracy" in line and "micro-F1" in line and "macro-F1" in line for line in table)
    folder = Path("runs/fine_tuning")
    result = read_json(folder / STUDY_NAME)["seeds"]["42"]
    assert result["Mini-BERT"] == read_json(folder / "seed-42" / "metrics.json")["test"]
    first_window = result["Mini-BERT, first window only"]  # which is the only one
    assert first_window["threshold"] == result["Mini-BERT"]["threshold"]
    assert first_window["micro_f1"] == pytest.approx(result["Mini-BERT"]["micro_f1"], abs=0.05)


@pytest.mark.slow
def test_columns_teachers_and_one_threshold(arguments, capsys):
    """Labels from columns of 0 and 1, texts that TF-IDF labels, and a threshold that replaces all in the report."""
    columns = {label: [int(label in labels.split("|")) for _, labels in rows()] for label in OPINIONS}
    with open("columns.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", *columns])
        writer.writerows(zip([text for text, _ in rows()], *columns.values(), strict=True))
    options = [
        "--dataset",
        "columns.csv",
        "--label-columns",
        *OPINIONS,
        "--mixtures",
        "30",
        "--threshold",
        "0.3",
        "--output",
        "a.keras",
    ]
    assert fine_tuning.main([*arguments, *options]) == 0
    printed = capsys.readouterr().out
    assert "columns.csv: 120 rows, 0 unusable" in printed and "the teachers label 30 texts" in printed
    assert any(line.startswith("Mini-BERT at 0.3 ") for line in printed.splitlines())
    metrics = read_json("metrics.json")
    assert metrics["test"]["threshold"] == dict.fromkeys(LABELS.names, 0.3)
    metadata = Metadata.from_json(load_model("a.keras").metadata, "a.keras")
    assert list(metadata.threshold) == metrics["calibration"]["threshold"] != [0.3] * 4


def test_the_labels_of_a_dry_run(arguments, capsys):
    options = ["--labels", "隔音", "服务", "--threshold", "0.4", "--dry-run"]
    assert fine_tuning.main([*arguments, *options]) == 0
    printed = capsys.readouterr().out
    assert "dry run: nothing was trained" in printed
    (first, *_) = [line for line in printed.splitlines() if line.startswith("training: ")]
    assert "隔音" in first and "服务" in first and "早餐" not in first
