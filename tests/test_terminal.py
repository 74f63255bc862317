"""The report at the terminal: its tables, and warnings that appear exactly when they should."""

import json
import math

import pytest
from arrays import two_columns

from evaluation.metrics import binary_metrics
from evaluation.report.terminal import format_groups, format_report, write_metrics

LABELS = [1] * 60 + [0] * 40


def metrics_of(correct_positives, correct_negatives, threshold=0.5):
    """Metrics of a model that is right about so many of the 60 positive and the 40 negative texts."""
    predictions = [1] * correct_positives + [0] * (60 - correct_positives)
    predictions += [0] * correct_negatives + [1] * (40 - correct_negatives)
    return binary_metrics(LABELS, two_columns(predictions), threshold)


def row_of(report, name):
    return next(line for line in report.splitlines() if line.startswith(name))


def test_the_table_has_every_row_and_metric():
    report = format_report(metrics_of(54, 30), metrics_of(48, 36, 0.7), metrics_of(50, 20), "hotel.csv")
    assert "hotel.csv: 100 texts, 60.0% of them positive" in report
    # Always positive: the F1 of the two classes are 0 and 2 * 0.6 / 1.6 = 0.75.
    constant_row = row_of(report, "Always").split()[-7:]
    assert constant_row == ["0.600", "0.375", "0.500", "0.000", "0.000", "0.600", "1.000"]
    # Their F1 are 60 / 76 and 108 / 124; with predictions for probabilities, ROC-AUC is the mean recall.
    model_row = row_of(report, "Mini-BERT at 0.5").split()[-7:]
    assert model_row == ["0.840", "0.830", "0.825", "0.833", "0.750", "0.844", "0.900"]
    assert row_of(report, "Mini-BERT at 0.7").split()[-7] == "0.840"
    assert row_of(report, "TF-IDF").split()[-7] == "0.700"
    assert "WARNING" not in report
    assert "is better than" not in report


def test_columns_are_under_their_titles():
    lines = format_report(metrics_of(54, 30), metrics_of(48, 36, 0.7), metrics_of(50, 20), "x").splitlines()
    start = next(index for index, line in enumerate(lines) if "macro-F1" in line)
    assert len({len(line) for line in lines[start : start + 5]}) == 1
    assert max(map(len, lines)) <= 96


def test_confusion_matrices_of_both_thresholds():
    report = format_report(metrics_of(54, 30), metrics_of(48, 36, 0.7), None, "x")
    assert row_of(report, "At 0.5, labelled negative").split()[-2:] == ["30", "10"]
    assert row_of(report, "At 0.5, labelled positive").split()[-2:] == ["6", "54"]
    assert row_of(report, "At 0.7, labelled negative").split()[-2:] == ["36", "4"]
    assert row_of(report, "At 0.7, labelled positive").split()[-2:] == ["12", "48"]


def test_a_threshold_of_one_half_is_shown_once():
    report = format_report(metrics_of(54, 30), metrics_of(54, 30), None, "x")
    assert report.count("Mini-BERT at 0.5") == report.count("At 0.5, labelled negative") == 1


def test_without_a_baseline_its_row_is_left_out():
    assert "TF-IDF" not in format_report(metrics_of(54, 30), metrics_of(48, 36, 0.7), None, "x")


def test_a_single_class_shows_no_roc_auc():
    metrics = binary_metrics([1, 1, 1], two_columns([0.1, 0.6, 0.9]))
    assert row_of(format_report(metrics, metrics, None, "x"), "Mini-BERT at 0.5").split()[-5] == "-"


@pytest.mark.parametrize(
    ("correct_positives", "correct_negatives", "is_warned"), [(60, 1, False), (59, 1, True), (20, 40, True)]
)
def test_warning_when_the_majority_is_not_beaten(correct_positives, correct_negatives, is_warned):
    metrics = metrics_of(correct_positives, correct_negatives)
    report = format_report(metrics, metrics, None, "x")
    sentence = "WARNING: at 0.5 the model is no better than always predicting 'positive'"
    assert (sentence in report) == is_warned


def test_the_majority_class_may_be_the_negative_one():
    metrics = binary_metrics([0, 0, 1], two_columns([0.1, 0.9, 0.2]))
    assert "always predicting 'negative'" in format_report(metrics, metrics, None, "x")


@pytest.mark.parametrize(
    ("negative_predictions", "is_warned"),
    [(0, True), (4, True), (5, False), (95, False), (96, True), (100, True)],
)
def test_warning_when_nearly_every_prediction_is_the_same(negative_predictions, is_warned):
    metrics = metrics_of(60 - max(0, negative_predictions - 40), min(negative_predictions, 40))
    report = format_report(metrics, metrics, None, "x")
    class_name = "positive" if negative_predictions < 50 else "negative"
    percentage = max(negative_predictions, 100 - negative_predictions)
    assert (f"predicts '{class_name}' for {percentage}.0% of the texts" in report) == is_warned
    assert (" of the texts." in report) == is_warned


def test_each_threshold_has_its_own_warning_in_one_box():
    report = format_report(metrics_of(54, 30), metrics_of(10, 40, 0.7), None, "x")
    assert "at 0.5 the model" not in report
    assert "WARNING: at 0.7 the model is no better" in report
    lines = report.splitlines()
    borders = [index for index, line in enumerate(lines) if set(line) == {"*"}]
    assert len(borders) == 2
    boxed = lines[borders[0] + 1 : borders[1]]
    assert all(line.startswith("* ") and line.endswith(" *") and len(line) == 96 for line in boxed)


def test_a_better_baseline_is_named_with_its_lead():
    report = format_report(metrics_of(50, 28), metrics_of(48, 30, 0.7), metrics_of(54, 31), "x")
    expected = "TF-IDF + logistic regression is better than Mini-BERT at 0.5 by 7.0 points of accuracy"
    assert f"{expected} (0.850 against 0.780)." in report


def test_an_equal_baseline_is_not_better():
    report = format_report(metrics_of(50, 28), metrics_of(48, 30, 0.7), metrics_of(48, 30), "x")
    assert "is better than" not in report


def test_each_group_has_a_line_and_columns_are_under_their_titles():
    lines = format_groups(
        {"film": (metrics_of(54, 30), metrics_of(50, 20)), "": (metrics_of(60, 40),) * 2}
    ).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines[1:]}) == 1
    assert lines[1].split() == ["Group", "texts"] + ["Mini-BERT", "baseline"] * 2
    # The F1 are 60 / 76 and 108 / 124; those of the baseline 40 / 70 and 100 / 130.
    assert lines[2].split() == ["film", "100", "0.840", "0.700", "0.830", "0.670"]
    assert lines[3].split() == ["(none)", "100"] + ["1.000"] * 4


def test_metrics_are_written_in_order_as_utf8_json(tmp_path):
    metrics = metrics_of(54, 30) | {"data": "酒店评论"}
    write_metrics(tmp_path / "metrics.json", metrics)
    content = (tmp_path / "metrics.json").read_bytes().decode("utf-8")
    assert list(json.loads(content).items()) == list(metrics.items())
    assert content.startswith('{\n  "count": 100,\n')
    assert "酒店评论" in content
    assert content.endswith("}\n")


def test_numbers_that_json_lacks_leave_the_old_file_alone(tmp_path):
    path = tmp_path / "metrics.json"
    write_metrics(path, {"accuracy": 0.9})
    with pytest.raises(ValueError, match="JSON"):
        write_metrics(path, {"accuracy": math.nan})
    assert json.loads(path.read_text(encoding="utf-8")) == {"accuracy": 0.9}
    assert list(tmp_path.iterdir()) == [path]
