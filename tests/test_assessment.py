"""The test of a classifier: its metrics at each threshold and in each group, and the refusal of a useless model."""

import dataclasses

import numpy as np
import pytest
from arrays import logits_of
from small_splits import SmallSplit, small_split

from evaluation.assessment import (
    assess,
    assess_validation,
    most_probable_metrics,
    print_assessment,
    threshold_key,
    validation_of,
)
from evaluation.metrics import classification_metrics, validation_metrics
from system.errors import InputError
from text.dataset.splits import FurtherSet, Splits
from text.labels import SENTIMENT, LabelSet

TEXTS = {1: "房间很干净，服务很好", 0: "房间很脏，隔音太差"}


def split_of(count, groups=None):
    return small_split(TEXTS, SENTIMENT, [int(number % 3 > 0) for number in range(count)], groups)


@pytest.fixture
def splits():
    groups = np.array(["film", "shop", "shop", "shop"] * 6)
    return Splits(None, split_of(30), split_of(12), split_of(24, groups))


class Model:
    """A model that is right about all texts but every fourth, with probabilities of 0.9 and 0.1, or other ones."""

    def __init__(self, high=0.9, low=0.1):
        self.probabilities = {True: high, False: low}

    def __call__(self, split):
        says_positive = [bool(label) != (number % 4 == 0) for number, label in enumerate(split.labels)]
        return logits_of([self.probabilities[says] for says in says_positive])


def test_a_key_is_the_threshold_in_decimals():
    keys = {0.5: "0.5", 0.7: "0.7", 0.593: "0.593", 1: "1.0", 0: "0.0", 0.4999999: "0.4999999"}
    assert {threshold: threshold_key(threshold) for threshold in keys} == keys


def test_metrics_are_stored_by_threshold(splits):
    assessment = assess(Model(), splits, 0.7)
    calibration = assessment["calibration"]
    assert assessment["application_threshold"] == 0.7
    probabilities = SENTIMENT.probabilities(Model()(splits.test) / calibration["temperature"])
    assert assessment["test"]["thresholds"] == {
        f"{threshold:g}": classification_metrics(SENTIMENT, splits.test.labels, probabilities, threshold)
        for threshold in (0.5, 0.7, calibration["threshold"])
    }
    assert assessment["baseline"]["accuracy"] == 1  # each label has its own text
    assert assessment["baseline"]["threshold"] == 0.5
    assert most_probable_metrics(assessment["test"]) == assessment["test"]["thresholds"]["0.5"]
    assert list(assessment) == ["calibration", "application_threshold", "test", "baseline", "groups"]


def test_each_group_has_its_own_metrics(splits):
    groups = assess(Model(), splits, 0.7)["groups"]
    assert list(groups) == ["film", "shop"]
    # The first of four texts is of the group "film", and the model is wrong about it.
    counts_and_accuracies = {
        name: (at["count"], at["accuracy"])
        for name, at in ((name, group["test"]["thresholds"]["0.7"]) for name, group in groups.items())
    }
    assert counts_and_accuracies == {"film": (6, 0), "shop": (18, 1)}
    assert groups["film"]["baseline"]["accuracy"] == 1


class TestFurtherSets:
    @pytest.fixture
    def both(self, splits):
        """The splits with two further sets, of which the second has no test text."""
        tests = (split_of(12, np.array(["shop", "book"] * 6)), split_of(0, np.array([])))
        return dataclasses.replace(splits, further=tuple(FurtherSet(None, 0, 0, test) for test in tests))

    def test_the_headline_is_that_of_the_data_set(self, splits, both):
        alone, assessment = assess(Model(), splits, 0.7), assess(Model(), both, 0.7)
        for name in ("calibration", "test", "baseline"):
            assert assessment[name] == alone[name]
        assert list(assessment) == [*alone, "all_sets"]

    def test_groups_and_all_texts_are_those_of_all_sets(self, both):
        assessment = assess(Model(), both, 0.7)
        counts = {name: of_group["baseline"]["count"] for name, of_group in assessment["groups"].items()}
        assert counts == {"book": 6, "film": 6, "shop": 24}
        all_sets = assessment["all_sets"]
        assert all_sets["baseline"]["count"] == 36
        assert all_sets["test"]["thresholds"]["0.7"]["accuracy"] == 0.75

    def test_the_table_ends_with_all_texts(self, both, capsys):
        print_assessment(assess(Model(), both, 0.7), "reviews.csv")
        lines = capsys.readouterr().out.splitlines()
        assert "Test on reviews.csv: 24 texts, 66.7% of them positive" in lines
        assert lines[-2].split()[:5] == ["All", "test", "texts", "36", "0.750"]


@pytest.mark.parametrize("logit", [np.nan, np.inf, 1000.0])
def test_a_useless_model_is_refused(splits, logit):
    def wrong(split):
        return np.where(split.labels == 1, -logit, logit)[:, None]

    with pytest.raises(InputError, match="the model is useless and was not saved: .* try a smaller learning rate"):
        assess(wrong, splits, 0.7)


def test_the_printed_report(splits, capsys):
    assessment = assess(Model(), splits, 0.7)
    print_assessment(assessment, "reviews.csv")
    printed = capsys.readouterr().out
    at_half = assessment["test"]["thresholds"]["0.5"]
    loss, accuracy, *_ = printed.splitlines()
    assert loss == f"Test set loss: {at_half['log_loss']:.4f}"
    assert accuracy == "Test set accuracy: 0.7500"
    calibration = assessment["calibration"]
    for words in (
        "Test on reviews.csv: 24 texts",
        "Mini-BERT at 0.7",
        f"Calibrated on the validation split: temperature {calibration['temperature']:.3g}, "
        f"threshold {calibration['threshold']:.3g}. With these, test accuracy is 0.750",
        "film                                6      0.000     1.000",
    ):
        assert words in printed
    assert "WARNING" not in printed


def test_a_model_that_predicts_the_same_for_every_text_is_called_out(splits, capsys):
    print_assessment(assess(Model(high=0.8, low=0.75), splits, 0.7), "reviews.csv")
    assert "is no better than always predicting 'positive'" in " ".join(capsys.readouterr().out.split())


def test_validation_is_that_of_the_validation_split(splits):
    logits = Model()(splits.validation)
    expected = validation_metrics(SENTIMENT, splits.validation.labels, SENTIMENT.probabilities(logits))
    assert validation_of(splits)(logits) == expected


@pytest.mark.parametrize(
    "labels", [SENTIMENT, LabelSet(("低", "中", "高")), LabelSet(("早餐", "服务"), multi_label=True)]
)
@pytest.mark.parametrize("logit", [np.nan, np.inf])
def test_a_network_that_broke_has_no_metrics(labels, logit):
    """The training then ends with advice, not with a traceback."""
    indices = np.zeros((4, 2), np.int64) if labels.multi_label else np.zeros(4, np.int64)
    splits = Splits(None, None, SmallSplit([""] * 4, indices, labels), None)
    metrics = validation_of(splits, "macro_f1")(np.full((4, labels.num_outputs), logit))
    assert list(metrics) == ["loss"] and np.isnan(metrics["loss"])


class TestMoreLabels:
    TEXTS = ("气死我了", "真开心", "好难过")
    LABELS = LabelSet(("愤怒", "快乐", "悲伤"))

    @pytest.fixture
    def splits(self):
        groups = np.array(["film", "shop", "shop", "shop"] * 6)
        return Splits(None, self.split_of(30), self.split_of(12), self.split_of(24, groups))

    def split_of(self, count, groups=None):
        return small_split(self.TEXTS, self.LABELS, [number % 3 for number in range(count)], groups)

    def logits(self, split):
        """Return the logits of a model that is right about all texts but every fourth, (texts, labels)."""
        wrong = np.arange(len(split.labels)) % 4 == 0
        return 3 * np.eye(3)[(split.labels + wrong) % 3]

    def test_the_metrics_are_those_of_the_most_probable_label(self, splits):
        assessment = assess(self.logits, splits, None)
        temperature = assessment["calibration"]["temperature"]
        assert assessment["calibration"]["threshold"] is assessment["application_threshold"] is None
        probabilities = self.LABELS.probabilities(self.logits(splits.test) / temperature)
        assert assessment["test"] == classification_metrics(self.LABELS, splits.test.labels, probabilities)
        assert most_probable_metrics(assessment["test"]) == assessment["test"]
        assert assessment["baseline"]["accuracy"] == 1  # each label has its own text
        assert assessment["baseline_class_weight"] is None

    def test_each_group_has_its_own_metrics(self, splits):
        groups = assess(self.logits, splits, None)["groups"]
        accuracies = {name: (group["test"]["count"], group["test"]["accuracy"]) for name, group in groups.items()}
        assert accuracies == {"film": (6, 0), "shop": (18, 1)}
        assert groups["film"]["baseline"]["accuracy"] == 1

    @pytest.mark.parametrize("logit", [np.nan, np.inf, 1000.0])
    def test_a_useless_model_is_refused(self, splits, logit):
        def wrong(split):
            return np.where(np.eye(3)[split.labels] == 1, -logit, logit)

        with pytest.raises(InputError, match="the model is useless and was not saved: .* try a smaller learning rate"):
            assess(wrong, splits, None)

    def test_the_printed_report(self, splits, capsys):
        assessment = assess(self.logits, splits, None)
        print_assessment(assessment, "emotions.csv")
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == f"Test set loss: {assessment['test']['log_loss']:.4f}"
        assert printed[1] == "Test set accuracy: 0.7500"
        assert printed[3] == "Test on emotions.csv: 24 texts, 3 labels, the most frequent one 悲伤 with 33.3%"
        temperature = assessment["calibration"]["temperature"]
        assert f"Calibrated on the validation split: temperature {temperature:.3g}." in printed
        assert "film                                6      0.000     1.000      0.000     1.000" in printed

    def test_validation_is_that_of_the_validation_split(self, splits):
        metrics = validation_of(splits)(self.logits(splits.validation))
        assert list(metrics) == ["loss", "accuracy", "macro_f1"]
        assert metrics["accuracy"] == 0.75


def test_the_validation_is_assessed_with_the_loss_of_each_epoch(splits):
    logits = Model()(splits.validation)
    metrics = assess_validation(splits.validation, logits)
    assert metrics["count"] == 12
    of_epoch = validation_of(splits)(logits)
    assert (metrics["log_loss"], metrics["accuracy"]) == (of_epoch["loss"], of_epoch["binary_accuracy"])
    assert 0 < metrics["macro_f1"] < 1


class TestSeveralLabels:
    TEXTS = ("动力足", "油耗高", "动力足，油耗高", "随便看看")
    ROWS = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    LABELS = LabelSet(("动力", "油耗"), multi_label=True)

    @pytest.fixture
    def splits(self):
        groups = np.array(["film", "shop", "shop", "shop"] * 6)
        return Splits(None, self.split_of(32), self.split_of(16), self.split_of(24, groups))

    def split_of(self, count, groups=None):
        kinds = np.arange(count) % 4
        return SmallSplit([self.TEXTS[kind] for kind in kinds], self.ROWS[kinds], self.LABELS, groups)

    def logits(self, split):
        """Return the logits of a model that is wrong about 油耗 in every fourth text, (texts, labels)."""
        labels = split.labels.copy()
        labels[::4, 1] = 1 - labels[::4, 1]
        return 6.0 * labels - 4

    def test_the_metrics_are_those_at_the_calibrated_thresholds_and_at_one_half(self, splits):
        assessment = assess(self.logits, splits, None)
        calibration = assessment["calibration"]
        assert assessment["application_threshold"] == calibration["threshold"] and len(calibration["threshold"]) == 2
        probabilities = self.LABELS.probabilities(self.logits(splits.test) / calibration["temperature"])
        measured, at_half = (
            classification_metrics(self.LABELS, splits.test.labels, probabilities, threshold)
            for threshold in (calibration["threshold"], 0.5)
        )
        assert assessment["test"] == measured | {"at_half": at_half}
        assert most_probable_metrics(assessment["test"]) == assessment["test"]
        assert measured["accuracy"] == 0.75
        assert assessment["baseline"]["micro_f1"] == 1  # each label has its own words

    def test_a_threshold_replaces_all(self, splits):
        assessment = assess(self.logits, splits, 0.9)
        assert assessment["application_threshold"] == 0.9
        assert assessment["test"]["threshold"] == {"动力": 0.9, "油耗": 0.9}
        assert len(assessment["calibration"]["threshold"]) == 2  # what the model file keeps

    def test_each_group_has_its_own_metrics(self, splits, capsys):
        assessment = assess(self.logits, splits, None)
        accuracies = {name: group["test"]["accuracy"] for name, group in assessment["groups"].items()}
        assert accuracies == {"film": 0, "shop": 1}
        print_assessment(assessment, "cars.csv")
        lines = capsys.readouterr().out.splitlines()
        title = next(index for index, line in enumerate(lines) if line.startswith("Group"))
        assert lines[title - 1].split() == ["micro-F1", "macro-F1"]
        film = assessment["groups"]["film"]["test"]
        expected = [f"{film['micro_f1']:.3f}", "1.000", f"{film['macro_f1']:.3f}", "1.000"]
        assert lines[title + 1].split() == ["film", "6", *expected]

    @pytest.mark.parametrize("logit", [np.nan, np.inf, 1000.0])
    def test_a_useless_model_is_refused(self, splits, logit):
        def wrong(split):
            return np.where(split.labels == 1, -logit, logit)

        with pytest.raises(InputError, match="the model is useless and was not saved: .* try a smaller learning rate"):
            assess(wrong, splits, None)

    def test_the_printed_report(self, splits, capsys):
        assessment = assess(self.logits, splits, None)
        print_assessment(assessment, "cars.csv")
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == f"Test set loss: {assessment['test']['log_loss']:.4f}"
        assert printed[1] == "Test set accuracy: 0.7500"
        assert printed[3].startswith("Test on cars.csv: 24 texts, 2 labels, 1.00 labels per text")
        calibration = assessment["calibration"]
        lowest, highest = min(calibration["threshold"]), max(calibration["threshold"])
        assert (
            f"Calibrated on the validation split: temperature {calibration['temperature']:.3g}, a threshold for each "
            f"label, {lowest:.3g} to {highest:.3g}."
        ) in printed

    def test_validation_is_that_of_the_validation_split(self, splits):
        metrics = validation_of(splits)(self.logits(splits.validation))
        assert list(metrics) == ["loss", "accuracy", "micro_f1", "macro_f1"]
        assert metrics["accuracy"] == 0.75
