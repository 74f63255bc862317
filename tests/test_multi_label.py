"""The metrics and the thresholds of labels of which a text may have several, beside those of scikit-learn."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from evaluation.calibration import calibrate
from evaluation.metrics import classification_metrics, log_loss, majority_log_loss, validation_metrics
from evaluation.multi_label import best_thresholds, multi_label_metrics
from text.labels import LabelSet

ASPECTS = LabelSet(("动力", "油耗", "内饰"), multi_label=True)


@st.composite
def cases(draw):
    """Return a label set, labels of 0 and 1 and probabilities, both (texts, labels)."""
    label_set = LabelSet(tuple("甲乙丙丁戊己"[: draw(st.integers(2, 6))]), multi_label=True)
    shape = draw(st.integers(1, 30)), len(label_set.names)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = (generator.random(shape) < draw(st.sampled_from([0.05, 0.3, 0.9]))).astype(int)
    return label_set, labels, generator.random(shape).round(2)


def test_hand_computed_case():
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
    probabilities = np.array([[0.9, 0.4, 0.1], [0.8, 0.2, 0.1], [0.3, 0.9, 0.1], [0.1, 0.1, 0.1]])
    metrics = multi_label_metrics(ASPECTS, labels, probabilities, (0.5, 0.4, 0.5))
    numbers = {
        "count": 4,
        "accuracy": 3 / 4,
        "micro_f1": 2 * 3 / (4 + 4),
        "macro_f1": (4 / 5 + 2 / 3) / 2,  # 内饰 neither occurs nor is it predicted
        "micro_precision": 3 / 4,
        "micro_recall": 3 / 4,
        "labels_per_text": 1,
        "predicted_labels_per_text": 1,
        "unlabelled_fraction": 1 / 4,
        "predicted_unlabelled_fraction": 1 / 4,
        # Always 动力, which three of four texts have: two have nothing else.
        "majority_accuracy": 2 / 4,
        "majority_micro_f1": 2 * 3 / (4 + 4),
        "majority_macro_f1": (6 / 7 + 0) / 2,
    }
    by_name = {
        "threshold": [0.5, 0.4, 0.5],
        "precision": [1, 1 / 2, 0],
        "recall": [2 / 3, 1, 0],
        "f1": [4 / 5, 2 / 3, 0],
        "label_counts": [3, 1, 0],
        "label_fractions": [3 / 4, 1 / 4, 0],
        "predicted_fractions": [2 / 4, 2 / 4, 0],
    }
    of_truth = np.array([[0.9, 0.4, 0.9], [0.8, 0.8, 0.9], [0.3, 0.1, 0.9], [0.9, 0.9, 0.9]])
    assert {name: metrics[name] for name in numbers} == pytest.approx(numbers)
    for name, values in by_name.items():
        assert metrics[name] == pytest.approx(dict(zip(ASPECTS.names, values, strict=True)))
    assert metrics["log_loss"] == pytest.approx(-np.log(of_truth).mean())
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert metrics["majority_log_loss"] == pytest.approx(2 * entropy / 3)
    assert set(metrics) == {*numbers, *by_name, "log_loss", "majority_log_loss"}
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@given(cases(), st.sampled_from([None, 0.3]))
def test_they_agree_with_scikit_learn(case, threshold):
    label_set, labels, probabilities = case
    metrics = classification_metrics(label_set, labels, probabilities, threshold)
    predictions = (probabilities >= (threshold or 0.5)).astype(int)
    f1 = sklearn.metrics.f1_score(labels, predictions, average=None, zero_division=0)
    assert list(metrics["f1"].values()) == pytest.approx(f1.tolist())
    occurs = (labels + predictions).any(axis=0)
    assert metrics["macro_f1"] == pytest.approx(f1[occurs].mean() if occurs.any() else 0)
    for name in ("precision", "recall", "f1"):
        score = getattr(sklearn.metrics, f"{name}_score")
        of_all = score(labels, predictions, average="micro", zero_division=0)
        assert metrics[f"micro_{name}"] == pytest.approx(of_all)
        by_label = score(labels, predictions, average=None, zero_division=0)
        assert list(metrics[name].values()) == pytest.approx(by_label.tolist())
    assert metrics["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, predictions))
    losses = [
        sklearn.metrics.log_loss(column, np.clip(of_label, 1e-15, 1 - 1e-15), labels=[0, 1])
        for column, of_label in zip(labels.T, probabilities.T, strict=True)
    ]
    clear = (probabilities > 0) & (probabilities < 1)  # libraries clip at other numbers
    if clear.all():
        assert metrics["log_loss"] == pytest.approx(np.mean(losses)) == log_loss(labels, probabilities)


@given(cases())
def test_the_frequencies_are_the_best_constant_prediction(case):
    label_set, labels, probabilities = case
    best = majority_log_loss(labels)
    assert best == pytest.approx(classification_metrics(label_set, labels, probabilities)["majority_log_loss"])
    assert best <= log_loss(labels, np.broadcast_to(probabilities[:1], labels.shape)) + 1e-12


@given(cases())
def test_validation_metrics_are_those_at_one_half(case):
    label_set, labels, probabilities = case
    metrics = classification_metrics(label_set, labels, probabilities, 0.5)
    expected = {name: metrics[name] for name in ("accuracy", "micro_f1", "macro_f1")}
    assert validation_metrics(label_set, labels, probabilities) == {"loss": metrics["log_loss"]} | expected


@pytest.mark.parametrize(
    ("labels", "probabilities", "threshold", "message"),
    [
        ([0, 1, 0], [[0.5] * 3], None, r"shape \(texts, 3\)"),
        ([[0, 1, 0]], [[0.5] * 2], None, r"shape \(texts, 3\)"),
        ([[0, 1, 0]] * 2, [[0.5] * 3], None, r"shape \(texts, 3\)"),
        (np.zeros((0, 3)), np.zeros((0, 3)), None, "at least one text"),
        ([[0, 2, 0]], [[0.5] * 3], None, "labels must be 0 or 1"),
        ([[0, -1, 0]], [[0.5] * 3], None, "labels must be 0 or 1"),
        ([[0, 1, 0]], [[0.5, 1.1, 0]], None, "within 0..1"),
        ([[0, 1, 0]], [[0.5, math.nan, 0]], None, "within 0..1"),
        ([[0, 1, 0]], [[0.5] * 3], 1.5, "thresholds must lie within 0..1"),
        ([[0, 1, 0]], [[0.5] * 3], (0.5, 0.5, math.nan), "thresholds must lie within 0..1"),
    ],
)
def test_unusable_input_is_refused(labels, probabilities, threshold, message):
    with pytest.raises(ValueError, match=message):
        multi_label_metrics(ASPECTS, labels, probabilities, threshold)


class TestThresholds:
    def test_those_of_frequent_labels_are_their_own(self):
        """Two labels of many texts, with the probabilities of a model that is too sure of one and not of the other."""
        generator = np.random.default_rng(0)
        scores = generator.random((4000, 2))
        labels = (scores >= [0.8, 0.3]).astype(int)
        thresholds = best_thresholds(labels, scores)
        assert thresholds == pytest.approx((0.8, 0.3), abs=0.02)

    def test_the_fewer_texts_a_label_has_the_nearer_it_is_to_the_common_threshold(self):
        generator = np.random.default_rng(0)
        scores = generator.random((4000, 11))
        labels = (scores >= 0.3).astype(int)
        scores[:, 10] = np.linspace(0, 0.05, 4000)  # far lower than those of the others
        found = []
        for num_texts in (0, 1, 10, 1000):
            labels[:, 10] = np.arange(4000) >= 4000 - num_texts
            found.append(best_thresholds(labels, scores))
        *others, last = np.array(found).T
        np.testing.assert_allclose(others, 0.3, atol=0.02)
        assert last[0] == pytest.approx(0.3, abs=0.02)
        assert (np.diff(last) < 0).all() and last[3] == pytest.approx(0.0375, abs=0.005)

    def test_without_any_label_they_are_one_half(self):
        assert best_thresholds(np.zeros((3, 2), int), np.full((3, 2), 0.4)) == (0.5, 0.5)

    @given(cases())
    def test_they_can_be_saved_and_used(self, case):
        label_set, labels, probabilities = case
        thresholds = best_thresholds(labels, probabilities)
        assert all(type(value) is float and 0 < value < 1 for value in thresholds)
        assert json.loads(json.dumps(thresholds)) == list(thresholds)
        metrics = classification_metrics(label_set, labels, probabilities, thresholds)
        assert tuple(metrics["threshold"].values()) == thresholds

    def test_on_other_texts_they_are_better_than_one_half_and_than_unshrunk_ones(self):
        generator = np.random.default_rng(3)
        frequencies, separation = np.linspace(0.01, 0.2, 30), 2.0

        def draw(count):
            labels = (generator.random((count, 30)) < frequencies).astype(int)
            scores = generator.normal(size=(count, 30)) + separation * labels
            logits = np.log(frequencies / (1 - frequencies)) + separation * scores - separation**2 / 2
            return labels, 1 / (1 + np.exp(-logits))

        def macro_f1(labels, probabilities, threshold):
            names = LabelSet(tuple(map(str, range(30))), multi_label=True)
            return classification_metrics(names, labels, probabilities, threshold)["macro_f1"]

        gains = {"half": [], "own": []}
        for _ in range(5):
            labels, probabilities = draw(300)
            test = draw(5000)
            chosen = macro_f1(*test, best_thresholds(labels, probabilities))
            curves = [
                sklearn.metrics.precision_recall_curve(*columns)
                for columns in zip(labels.T, probabilities.T, strict=True)
            ]
            own = [
                cuts[np.argmax((2 * precision * recall / np.maximum(precision + recall, 1e-9))[:-1])]
                for precision, recall, cuts in curves
            ]
            gains["half"].append(chosen - macro_f1(*test, 0.5))
            gains["own"].append(chosen - macro_f1(*test, own))
        assert np.mean(gains["half"]) > 0.02 and np.mean(gains["own"]) > 0.01


class TestCalibration:
    @pytest.mark.parametrize("temperature", [0.5, 2.0])
    def test_a_known_temperature_is_found(self, temperature):
        generator = np.random.default_rng(0)
        probabilities = generator.uniform(0.02, 0.98, (20_000, 3))
        labels = (generator.random(probabilities.shape) < probabilities).astype(int)
        logits = np.log(probabilities / (1 - probabilities)) * temperature
        calibration = calibrate(ASPECTS, labels, logits)
        assert calibration.temperature == pytest.approx(temperature, rel=0.05)
        calibrated = ASPECTS.probabilities(logits / calibration.temperature)
        assert calibration.threshold == best_thresholds(labels, calibrated)
        # The best threshold for F1 of calibrated probabilities is half of that F1 (Lipton et al., 2014).
        f1 = np.array(list(classification_metrics(ASPECTS, labels, calibrated, calibration.threshold)["f1"].values()))
        assert calibration.threshold == pytest.approx(f1 / 2, abs=0.05)
