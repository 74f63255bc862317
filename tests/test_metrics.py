"""The metrics of a classifier: hand-computed cases, properties, and input that must be refused."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics
from arrays import two_columns
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import (
    beats_majority,
    classification_metrics,
    log_loss,
    majority_log_loss,
    pooled_metrics,
    validation_metrics,
)
from text.labels import SENTIMENT, LabelSet

# Probabilities in 1/64 and thresholds in odd 1/128 are exact and never equal: flipping loses nothing.
CASES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 64)), min_size=1, max_size=40)
THRESHOLDS = st.integers(0, 63).map(lambda step: (2 * step + 1) / 128)
EMOTIONS = LabelSet(("愤怒", "快乐", "悲伤", "惊讶"))


def binary_metrics(labels, positive, threshold=0.5):
    return classification_metrics(SENTIMENT, labels, two_columns(positive), threshold)


@st.composite
def multiclass_cases(draw):
    """Return a label set, labels, (texts,), and probabilities, (texts, labels)."""
    label_set = LabelSet(tuple("甲乙丙丁戊己庚"[: draw(st.integers(3, 7))]))
    count, num_labels = draw(st.integers(1, 30)), len(label_set.names)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = generator.integers(draw(st.integers(1, num_labels)), size=count)
    return label_set, labels, generator.dirichlet(np.ones(num_labels), count)


def split_case(case):
    return np.array([label for label, _ in case]), np.array([step / 64 for _, step in case])


def test_hand_computed_case():
    labels = [0, 0, 0, 1, 1, 1, 1, 1]
    probabilities = [0.1, 0.2, 0.6, 0.4, 0.5, 0.7, 0.8, 0.9]
    metrics = binary_metrics(labels, probabilities)
    assert metrics["confusion_matrix"] == [[2, 1], [1, 4]]
    assert metrics["accuracy"] == 6 / 8
    assert metrics["precision"] == pytest.approx({"negative": 2 / 3, "positive": 4 / 5})
    assert metrics["recall"] == pytest.approx({"negative": 2 / 3, "positive": 4 / 5})
    assert metrics["f1"] == pytest.approx({"negative": 2 / 3, "positive": 4 / 5})
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    # Of the 15 pairs of a negative and a positive, two are in the wrong order: 0.6 above 0.4 and above 0.5.
    assert metrics["roc_auc"] == pytest.approx(13 / 15)
    probabilities_of_the_truth = [0.9, 0.8, 0.4, 0.4, 0.5, 0.7, 0.8, 0.9]
    assert metrics["log_loss"] == pytest.approx(-sum(map(math.log, probabilities_of_the_truth)) / 8)
    assert metrics["positive_fraction"] == metrics["majority_fraction"] == 5 / 8
    assert metrics["predicted_positive_fraction"] == 5 / 8
    assert (metrics["count"], metrics["threshold"]) == (8, 0.5)
    assert beats_majority(metrics)


def test_two_labels_have_their_own_keys_in_order():
    by_name, of_second = ["precision", "recall", "f1"], ["positive_fraction", "predicted_positive_fraction"]
    first = ["count", "threshold", "accuracy", "macro_f1", "roc_auc", "log_loss"]
    metrics = binary_metrics([0, 1], [0.2, 0.8])
    assert list(metrics) == [*first, *by_name, "confusion_matrix", *of_second, "majority_fraction"]
    assert classification_metrics(SENTIMENT, [0, 1], two_columns([0.2, 0.8])) == metrics  # without a threshold 0.5
    other_names = classification_metrics(LabelSet(("差", "好")), [0, 1], two_columns([0.2, 0.8]))
    assert list(other_names["f1"]) == ["差", "好"]


def test_precision_and_recall_are_not_confused():
    metrics = binary_metrics([0, 0, 1, 1, 1, 1], [0.1, 0.1, 0.1, 0.1, 0.1, 0.9])
    assert metrics["precision"] == pytest.approx({"negative": 2 / 5, "positive": 1})
    assert metrics["recall"] == pytest.approx({"negative": 1, "positive": 1 / 4})


def test_a_probability_equal_to_the_threshold_is_positive():
    assert binary_metrics([0, 1], [0.7, 0.6999], threshold=0.7)["confusion_matrix"] == [[0, 1], [1, 0]]


def test_metrics_survive_json_unchanged():
    metrics = binary_metrics(np.array([0, 1, 1], dtype=np.int32), np.array([0.2, 0.8, 1.0], dtype=np.float32))
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize("prediction", [0.0, 1.0])
def test_a_constant_predictor_does_not_beat_the_majority(prediction):
    metrics = binary_metrics([1] * 894 + [0] * 401, [prediction] * 1295)
    assert metrics["accuracy"] == pytest.approx((894 if prediction else 401) / 1295)
    assert metrics["majority_fraction"] == pytest.approx(894 / 1295)
    assert metrics["roc_auc"] == 0.5
    assert metrics["predicted_positive_fraction"] == prediction
    assert metrics["precision"]["negative" if prediction else "positive"] == 0
    assert not beats_majority(metrics)


def test_one_text_more_than_the_majority_beats_it():
    labels = [1] * 7 + [0] * 3
    assert beats_majority(binary_metrics(labels, [0.9] * 9 + [0.1]))
    # One text won and one lost is a tie, and a tie is not enough.
    assert not beats_majority(binary_metrics(labels, [0.1] + [0.9] * 8 + [0.1]))


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_has_no_roc_auc(label):
    metrics = binary_metrics([label] * 3, [0.1, 0.6, 0.9])
    assert metrics["roc_auc"] is None
    assert metrics["majority_fraction"] == 1
    assert not beats_majority(metrics)


@pytest.mark.parametrize(
    ("labels", "probabilities", "threshold", "message"),
    [
        ([0, 1], [0.5], 0.5, "2 labels do not match 1 probabilities"),
        ([], [], 0.5, "labels must have the shape"),
        ([[0], [1]], [0.1, 0.2], 0.5, "labels must have the shape"),
        ([0, 1], [[0.1, 0.2]], 0.5, "probabilities must have the shape"),
        ([0, 2], [0.1, 0.2], 0.5, "labels must be 0"),
        ([0, 0.5], [0.1, 0.2], 0.5, "labels must be 0"),
        ([0, math.nan], [0.1, 0.2], 0.5, "labels must be 0"),
        (["0", "1"], [0.1, 0.2], 0.5, "labels must be 0"),
        ([0, None], [0.1, 0.2], 0.5, "labels must be 0"),
        ([0, 1], [0.1, math.nan], 0.5, "probabilities must be numbers"),
        ([0, 1], [0.1, 1.1], 0.5, "probabilities must be numbers"),
        ([0, 1], [-0.1, 0.2], 0.5, "probabilities must be numbers"),
        ([0, 1], [0.1, 0.2], 70, "threshold must lie within"),
        ([0, 1], [0.1, 0.2], math.nan, "threshold must lie within"),
    ],
)
def test_unusable_input_is_refused(labels, probabilities, threshold, message):
    with pytest.raises(ValueError, match=message):
        binary_metrics(labels, probabilities, threshold)


@given(CASES, THRESHOLDS)
def test_metrics_stay_in_range_and_agree_with_each_other(case, threshold):
    labels, probabilities = split_case(case)
    metrics = binary_metrics(labels, probabilities, threshold)
    fractions = [metrics["accuracy"], metrics["macro_f1"]]
    fractions += [metrics["positive_fraction"], metrics["predicted_positive_fraction"]]
    fractions += [value for name in ("precision", "recall", "f1") for value in metrics[name].values()]
    fractions += [] if metrics["roc_auc"] is None else [metrics["roc_auc"]]
    assert all(0 <= value <= 1 for value in fractions)
    assert 0 <= metrics["log_loss"] < math.inf
    assert 0.5 <= metrics["majority_fraction"] <= 1
    matrix = np.array(metrics["confusion_matrix"])
    assert matrix.sum() == metrics["count"] == len(case)
    assert matrix.trace() / matrix.sum() == pytest.approx(metrics["accuracy"])
    assert (metrics["roc_auc"] is None) == (len(set(labels)) == 1)


@given(CASES, THRESHOLDS)
def test_flipping_labels_and_probabilities_swaps_the_classes(case, threshold):
    labels, probabilities = split_case(case)
    metrics = binary_metrics(labels, probabilities, threshold)
    flipped = binary_metrics(1 - labels, 1 - probabilities, 1 - threshold)
    for name in ("precision", "recall", "f1"):
        assert flipped[name] == {"negative": metrics[name]["positive"], "positive": metrics[name]["negative"]}
    assert flipped["confusion_matrix"] == [row[::-1] for row in metrics["confusion_matrix"][::-1]]
    for name in ("accuracy", "macro_f1", "roc_auc", "log_loss", "majority_fraction"):
        assert flipped[name] == pytest.approx(metrics[name])
    assert beats_majority(flipped) == beats_majority(metrics)


@given(CASES, THRESHOLDS, THRESHOLDS)
def test_a_higher_threshold_never_gives_more_positives(case, threshold, other_threshold):
    labels, probabilities = split_case(case)
    low, high = sorted((threshold, other_threshold))
    fraction_at_low = binary_metrics(labels, probabilities, low)["predicted_positive_fraction"]
    assert binary_metrics(labels, probabilities, high)["predicted_positive_fraction"] <= fraction_at_low


@pytest.mark.parametrize("probabilities", [[0.1, 0.2], [[0.1], [0.2]], [[0.1, 0.4, 0.5]] * 2])
def test_probabilities_of_another_shape_are_refused(probabilities):
    with pytest.raises(ValueError, match=r"probabilities must have the shape \(texts, 2\)"):
        classification_metrics(SENTIMENT, [0, 1], np.array(probabilities))


@given(CASES)
def test_validation_metrics_are_those_of_the_test(case):
    labels, probabilities = split_case(case)
    metrics = binary_metrics(labels, probabilities)
    shown = validation_metrics(SENTIMENT, labels, two_columns(probabilities))
    assert shown == pytest.approx({"loss": metrics["log_loss"], "binary_accuracy": metrics["accuracy"]})


@given(CASES)
def test_the_majority_log_loss_is_that_of_predicting_the_class_frequencies(case):
    labels, _ = split_case(case)
    expected = log_loss(labels, two_columns(np.full(len(labels), labels.mean())))
    assert majority_log_loss(labels) == pytest.approx(expected, abs=1e-12)


class TestMoreLabels:
    def test_hand_computed_case(self):
        labels = [0, 0, 0, 1, 1, 2]
        probabilities = [[0.7, 0.1, 0.1, 0.1]] * 2 + [[0.1, 0.7, 0.1, 0.1]] * 2 + [[0.1, 0.1, 0.1, 0.7]] * 2
        metrics = classification_metrics(EMOTIONS, labels, np.array(probabilities))
        numbers = {
            "count": 6,
            "accuracy": 3 / 6,
            "macro_f1": (4 / 5 + 1 / 2) / 4,
            "weighted_f1": (3 * 4 / 5 + 2 * 1 / 2) / 6,
            "log_loss": -(3 * math.log(0.7) + 3 * math.log(0.1)) / 6,
            "majority_fraction": 3 / 6,
        }
        by_name = {
            "precision": {"愤怒": 1, "快乐": 1 / 2, "悲伤": 0, "惊讶": 0},
            "recall": {"愤怒": 2 / 3, "快乐": 1 / 2, "悲伤": 0, "惊讶": 0},
            "f1": {"愤怒": 4 / 5, "快乐": 1 / 2, "悲伤": 0, "惊讶": 0},
            "label_fractions": {"愤怒": 3 / 6, "快乐": 2 / 6, "悲伤": 1 / 6, "惊讶": 0},
            "predicted_fractions": {"愤怒": 2 / 6, "快乐": 2 / 6, "悲伤": 0, "惊讶": 2 / 6},
        }
        assert {name: metrics[name] for name in numbers} == pytest.approx(numbers)
        for name, expected in by_name.items():
            assert metrics[name] == pytest.approx(expected)
        assert metrics["confusion_matrix"] == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
        assert metrics["threshold"] is None
        assert set(metrics) == {*numbers, *by_name, "confusion_matrix", "threshold"}
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
        assert not beats_majority(metrics)  # three of six are right, and three of six are 愤怒

    @given(multiclass_cases())
    def test_they_agree_with_scikit_learn(self, case):
        label_set, labels, probabilities = case
        metrics = classification_metrics(label_set, labels, probabilities)
        predictions, indices = probabilities.argmax(axis=1), range(len(label_set.names))
        expected = {"labels": indices, "zero_division": 0}
        assert metrics["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, predictions))
        assert metrics["log_loss"] == pytest.approx(sklearn.metrics.log_loss(labels, probabilities, labels=indices))
        for average in ("macro", "weighted"):  # over the labels that occur, as scikit-learn does by default
            f1 = sklearn.metrics.f1_score(labels, predictions, average=average, zero_division=0)
            assert metrics[f"{average}_f1"] == pytest.approx(f1)
        for name in ("precision", "recall", "f1"):
            score = getattr(sklearn.metrics, f"{name}_score")
            values = score(labels, predictions, average=None, **expected)
            assert metrics[name] == pytest.approx(dict(zip(label_set.names, values, strict=True)))
        matrix = sklearn.metrics.confusion_matrix(labels, predictions, labels=indices)
        assert metrics["confusion_matrix"] == matrix.tolist()

    @given(multiclass_cases())
    def test_fractions_agree_with_each_other(self, case):
        label_set, labels, probabilities = case
        metrics = classification_metrics(label_set, labels, probabilities)
        assert sum(metrics["label_fractions"].values()) == pytest.approx(1)
        assert sum(metrics["predicted_fractions"].values()) == pytest.approx(1)
        assert metrics["majority_fraction"] == max(metrics["label_fractions"].values())
        most_frequent = np.bincount(labels).max()
        assert beats_majority(metrics) == ((probabilities.argmax(axis=1) == labels).sum() > most_frequent)

    @given(multiclass_cases())
    def test_validation_metrics_are_those_of_the_test(self, case):
        label_set, labels, probabilities = case
        metrics = classification_metrics(label_set, labels, probabilities)
        expected = {"loss": metrics["log_loss"], "accuracy": metrics["accuracy"], "macro_f1": metrics["macro_f1"]}
        assert validation_metrics(label_set, labels, probabilities) == expected

    @pytest.mark.parametrize("labels", [[4], [-1], [0.5]])
    def test_other_labels_are_refused(self, labels):
        with pytest.raises(ValueError, match="labels must be 0 to 3"):
            classification_metrics(EMOTIONS, labels, np.full((1, 4), 0.25))

    def test_another_number_of_columns_is_refused(self):
        with pytest.raises(ValueError, match=r"probabilities must have the shape \(texts, 4\)"):
            classification_metrics(EMOTIONS, [0], np.full((1, 3), 0.25))

    def test_a_threshold_is_refused(self):
        with pytest.raises(ValueError, match="4 labels has no threshold, but 0.5 was given"):
            classification_metrics(EMOTIONS, [0], np.full((1, 4), 0.25), 0.5)


class TestPooledMetrics:
    @given(multiclass_cases(), st.data())
    def test_they_are_those_of_all_texts_together(self, case, data):
        label_set, labels, probabilities = case
        parts = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(labels), max_size=len(labels))))
        pooled = pooled_metrics(
            [
                classification_metrics(label_set, labels[parts == part], probabilities[parts == part])
                for part in np.unique(parts)
            ]
        )
        together = classification_metrics(label_set, labels, probabilities)
        assert pooled == pytest.approx({name: together[name] for name in ("count", "accuracy", "macro_f1")})

    def test_of_several_labels_a_text(self):
        """The parts are the four texts [1,0] [1,1] | [0,1] [0,0], of which [1,1] [1,1] | [0,1] [1,0] was predicted."""
        first = {"count": 2, "accuracy": 0.5, "micro_f1": 6 / 7}
        first |= {"label_counts": {"甲": 2, "乙": 1}, "recall": {"甲": 1.0, "乙": 1.0}}
        first |= {"predicted_fractions": {"甲": 1.0, "乙": 1.0}}
        second = {"count": 2, "accuracy": 0.5, "micro_f1": 2 / 3}
        second |= {"label_counts": {"甲": 0, "乙": 1}, "recall": {"甲": 0.0, "乙": 1.0}}
        second |= {"predicted_fractions": {"甲": 0.5, "乙": 0.5}}
        expected = {"count": 4, "accuracy": 0.5, "macro_f1": (4 / 5 + 4 / 5) / 2, "micro_f1": 8 / 10}
        assert pooled_metrics([first, second]) == pytest.approx(expected)
