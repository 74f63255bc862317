"""From labelled texts to answers in another process: the same labels, order and probabilities everywhere."""

import csv
import json

import numpy as np
import pytest
from application_process import application, run
from scripts import call

import fine_tuning
from network.metadata import Metadata
from network.model_file import load_model
from serving.predictor import Predictor

OPINIONS = {"生气": "气死我了，太过分", "高兴": "真开心，太好了", "伤心": "难过得想哭", "害怕": "吓得不敢睡觉"}
TEXTS = ["气死我了，真过分", "开心得不得了", "难过", "吓人"]
ORDER = ["高兴", "生气", "害怕", "伤心"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_pretrained):
    """A folder in which a classifier of four labels has been trained, with what the training printed."""
    folder = tmp_path_factory.mktemp("emotions")
    with open(folder / "emotions.tsv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["label", "text"])
        for number in range(20):
            writer.writerows((label, f"{text}，{number}") for label, text in OPINIONS.items())
        writer.writerow(["惊讶", "没想到"])
    options = ["--dataset", "emotions.tsv", "--labels", *ORDER, "--output", "emotions.keras"]
    done = call(fine_tuning.main, [*options, "--pretrained", str(tiny_pretrained), "--epochs", "3"], folder)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def probabilities(folder):
    """The probabilities that Keras computes in this process, (texts, labels)."""
    return Predictor(folder / "emotions.keras", runtime="keras").predict_proba(TEXTS)


@pytest.fixture(scope="module")
def ask(folder, environment):
    """Return the function that runs the application in another process and returns its standard output."""

    def ask(*arguments, **options):
        done = run(application(folder / "emotions.keras", *arguments), environment, cwd=folder, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


def test_the_training_names_the_labels(folder):
    printed = (folder / "printed.txt").read_text(encoding="utf-8")
    assert "emotions.tsv: 81 rows, 1 unusable: row 82: unknown label '惊讶'" in printed
    assert "training: 60 texts, 25.0% 高兴, 25.0% 生气, 25.0% 害怕, 25.0% 伤心" in printed
    assert "Test set accuracy: " in printed
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics["test"]["f1"]) == ORDER
    assert np.array(metrics["test"]["confusion_matrix"]).shape == (4, 4)


def test_the_file_keeps_labels_and_order(folder):
    metadata = Metadata.from_json(load_model(folder / "emotions.keras").metadata, "emotions.keras")
    assert metadata.labels.names == tuple(ORDER)
    assert metadata.threshold is None
    for runtime in ("keras", "onnx"):
        predictor = Predictor(folder / "emotions.keras", runtime=runtime)
        assert predictor.labels.names == tuple(ORDER)


def test_onnx_runtime_agrees_with_keras(folder, probabilities):
    assert probabilities.shape == (len(TEXTS), len(ORDER))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    onnx = Predictor(folder / "emotions.onnx").predict_proba(TEXTS)
    np.testing.assert_allclose(onnx, probabilities, atol=1e-5)


def test_an_answer_in_another_process(ask, probabilities):
    lines = ask("--json", *(word for text in TEXTS for word in ("--text", text))).splitlines()
    for line, row in zip(map(json.loads, lines), probabilities, strict=True):
        assert line["label"] == ORDER[row.argmax()]
        assert line["confidence"] == pytest.approx(row.max(), abs=1e-5)


def test_a_file_in_another_process(folder, ask, probabilities):
    (folder / "in.csv").write_text("text\n" + "\n".join(TEXTS) + "\n", encoding="utf-8")
    ask("--file", "in.csv", "--output", "out.csv", "--all-probabilities")
    with open(folder / "out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [ORDER[index] for index in probabilities.argmax(axis=1)]
    found = [[float(row[f"probability_{label}"]) for label in ORDER] for row in rows]
    np.testing.assert_allclose(found, probabilities, atol=2e-5)


def test_the_prompt_in_another_process(ask, probabilities):
    printed = ask("--json", input="\n".join(TEXTS) + "\n")
    labels = [json.loads(line)["label"] for line in printed.splitlines()]
    assert labels == [ORDER[index] for index in probabilities.argmax(axis=1)]


def test_a_training_refuses_a_threshold(folder, monkeypatch, capsys, tiny_pretrained):
    monkeypatch.chdir(folder)
    options = ["--dataset", "emotions.tsv", "--pretrained", str(tiny_pretrained), "--dry-run"]
    assert fine_tuning.main([*options, "--threshold", "0.6"]) == 1
    assert "--threshold needs two labels or --multi-label, and emotions.tsv has 4 labels" in capsys.readouterr().err


def test_a_label_map_merges_labels(folder, monkeypatch, capsys, tiny_pretrained):
    monkeypatch.chdir(folder)
    merged = "label,new_label\n生气,负面\n伤心,负面\n害怕,负面\n高兴,正面\n惊讶,\n"
    (folder / "map.csv").write_text(merged, encoding="utf-8")
    options = ["--dataset", "emotions.tsv", "--label-map", "map.csv", "--pretrained", str(tiny_pretrained)]
    assert fine_tuning.main([*options, "--dry-run", "--stratify"]) == 0
    printed = capsys.readouterr().out
    assert "row 82: the label map leaves out its label" in printed
    assert "training: 60 texts, 25.0% positive" in printed


def test_a_threshold_is_refused(folder, environment):
    done = run(application(folder / "emotions.keras", "--text", "好", "--threshold", "0.5"), environment)
    assert done.returncode == 1 and "two labels" in done.stderr
