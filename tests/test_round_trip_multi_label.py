"""A model of several labels a text, in other processes: the same labels, order, probabilities and thresholds."""

import csv
import json

import numpy as np
import onnxruntime
import pytest
from application_process import application, run
from tiny_models import ASPECT_THRESHOLDS, ASPECTS

from network.metadata import Metadata
from network.model_file import load_model
from serving.predictor import Predictor

TEXTS = ["房间很干净，前台也热情。", "隔音太差，一晚上没睡着。", "早餐难吃", "前台很热情，" * 9, "还行"]


@pytest.fixture(scope="module")
def predictions(tiny_aspects):
    """The predictions that Keras makes in this process."""
    return Predictor(tiny_aspects, runtime="keras").predict(TEXTS)


@pytest.fixture(scope="module")
def probabilities(predictions):
    return np.array([prediction.probabilities for prediction in predictions])


@pytest.fixture(scope="module")
def ask(tiny_aspects, environment, tmp_path_factory):
    """Return the function that runs the application in another process and returns its standard output."""
    folder = tmp_path_factory.mktemp("elsewhere")

    def ask(*arguments, model=tiny_aspects, **options):
        done = run(application(model, *arguments), environment, cwd=folder, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


def options_of(texts):
    return [word for text in texts for word in ("--text", text)]


def check_labels(found, predictions):
    assert found == ["|".join(prediction.labels) for prediction in predictions]
    assert len(set(found)) > 2 and any("|" in label for label in found)


def test_the_labels_are_decided_by_their_own_thresholds(predictions, probabilities):
    for prediction, row in zip(predictions, probabilities.tolist(), strict=True):
        named = zip(ASPECTS, row, ASPECT_THRESHOLDS, strict=True)
        assert prediction.labels == tuple(name for name, value, lowest in named if value >= lowest)
    assert (probabilities.sum(axis=1) > 1).any()  # a softmax would have made them sum to 1


def test_the_file_keeps_labels_order_and_thresholds(tiny_aspects):
    classifier = load_model(tiny_aspects)
    metadata = Metadata.from_json(classifier.metadata, "aspects.keras")
    assert (metadata.labels.names, metadata.labels.multi_label) == (ASPECTS, True)
    assert metadata.threshold == ASPECT_THRESHOLDS
    assert classifier.get_layer("classification_output").activation.__name__ == "sigmoid"
    for runtime in ("keras", "onnx"):
        predictor = Predictor(tiny_aspects, runtime=runtime)
        assert (predictor.labels, predictor.threshold) == (metadata.labels, ASPECT_THRESHOLDS)


def test_the_graph_gives_a_logit_per_label(tiny_aspects):
    session = onnxruntime.InferenceSession(tiny_aspects.with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    (output,) = session.get_outputs()
    assert (output.name, output.shape) == ("logits", ["batch", len(ASPECTS)])
    assert {node.name for node in session.get_inputs()} == {"input_ids"}


@pytest.mark.parametrize(
    ("suffix", "runtime"),
    # Keras takes seconds to start, but nothing else loads such a file with it in a process of its own.
    [pytest.param(".keras", "keras", marks=pytest.mark.slow), (".keras", "onnx"), (".onnx", "onnx")],
)
def test_answers(ask, tiny_aspects, predictions, probabilities, suffix, runtime):
    model = tiny_aspects.with_suffix(suffix)
    lines = ask("--json", "--all-probabilities", "--runtime", runtime, *options_of(TEXTS), model=model).splitlines()
    answers = [json.loads(line) for line in lines]
    check_labels([answer["label"] for answer in answers], predictions)
    assert [answer["labels"] for answer in answers] == [list(prediction.labels) for prediction in predictions]
    found = [[answer["probabilities"][name] for name in ASPECTS] for answer in answers]
    np.testing.assert_allclose(found, probabilities, rtol=0, atol=1e-5)
    confidences = [prediction.confidence for prediction in predictions]
    assert [answer["confidence"] for answer in answers] == pytest.approx(confidences, abs=1e-5)


def test_answers_for_a_person(ask, predictions):
    for line, prediction in zip(ask(*options_of(TEXTS)).splitlines(), predictions, strict=True):
        label, probability, confidence = line.split("  ")
        assert label == prediction.label
        values = [float(value) for value in probability.removeprefix("probability ").split("|")]
        expected = [prediction.probabilities[ASPECTS.index(name)] for name in prediction.labels]
        assert values == pytest.approx(expected, abs=1e-4)
        assert float(confidence.removeprefix("confidence ")) == pytest.approx(prediction.confidence, abs=1e-4)


def test_a_file(ask, predictions, probabilities, tmp_path):
    (tmp_path / "in.csv").write_text("text\n" + "\n".join(TEXTS) + "\n", encoding="utf-8")
    ask("--file", tmp_path / "in.csv", "--output", tmp_path / "out.csv", "--all-probabilities")
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    check_labels([row["label"] for row in rows], predictions)
    assert list(rows[0])[-len(ASPECTS) :] == [f"probability_{name}" for name in ASPECTS]
    found = [[float(row[f"probability_{name}"]) for name in ASPECTS] for row in rows]
    np.testing.assert_allclose(found, probabilities, rtol=0, atol=2e-5)


def test_the_prompt(ask, predictions, probabilities):
    lines = ask("--json", "--all-probabilities", input="\n".join(TEXTS) + "\n").splitlines()
    answers = [json.loads(line) for line in lines]
    check_labels([answer["label"] for answer in answers], predictions)
    found = [[answer["probabilities"][name] for name in ASPECTS] for answer in answers]
    np.testing.assert_allclose(found, probabilities, rtol=0, atol=1e-5)
