"""The report at the terminal: its tables, and warnings that appear exactly when they should."""

import json
import math

import numpy as np
import pytest
from arrays import two_columns

from evaluation.metrics import classification_metrics
from evaluation.report.terminal import format_groups, format_multiclass_report, format_report, write_metrics
from system.output.display import display_width
from text.labels import SENTIMENT, LabelSet

LABELS = [1] * 60 + [0] * 40


def binary_metrics(labels, probabilities, threshold=0.5, label_set=SENTIMENT):
    return classification_metrics(label_set, labels, probabilities, threshold)


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


def test_other_pairs_have_their_own_names():
    metrics = binary_metrics([0, 0, 1], two_columns([0.1, 0.9, 0.8]), label_set=LabelSet(("垃圾邮件", "普通")))
    report = format_report(metrics, metrics, None, "mail.csv")
    assert "Test on mail.csv: 3 texts, 2 labels, the most frequent one 垃圾邮件 with 66.7%" in report
    assert row_of(report, "Confusion matrix").split()[2:] == ["predicted", "垃圾邮件", "predicted", "普通"]
    assert row_of(report, "At 0.5, labelled 垃圾邮件").split()[-2:] == ["1", "1"]
    assert "always predicting '垃圾邮件'" in report
    table = report.split("\n\n")[1].splitlines()
    assert len({display_width(line) for line in table}) == 1


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


def test_all_sets_together_have_the_last_line():
    lines = format_groups({"film": (metrics_of(54, 30),) * 2}, (metrics_of(60, 40), metrics_of(30, 40))).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == ["film", "All test texts"]
    assert lines[-1].split()[3:6] == ["100", "1.000", "0.700"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_chinese_names_of_groups_are_padded_by_their_width():
    lines = format_groups({"film": (metrics_of(54, 30),) * 2, "书店": (metrics_of(54, 30),) * 2}).splitlines()
    assert display_width(lines[2]) == display_width(lines[3])


class TestMoreLabels:
    NAMES = ("愤怒", "快乐", "a label with a name that is far too long for any table", "无")

    def metrics(self, matrix, names=NAMES):
        """Metrics of a model with that confusion matrix."""
        matrix = np.array(matrix)
        true, predicted = np.nonzero(matrix)
        counts = matrix[true, predicted]
        probabilities = np.eye(len(names))[np.repeat(predicted, counts)]
        return classification_metrics(LabelSet(tuple(names)), np.repeat(true, counts), probabilities)

    @pytest.fixture
    def model(self):
        return self.metrics([[1500, 200, 0, 0], [100, 900, 0, 0], [0, 0, 200, 0], [0, 50, 0, 50]])

    @pytest.fixture
    def baseline(self):
        return self.metrics([[1700, 0, 0, 0], [600, 400, 0, 0], [0, 0, 200, 0], [100, 0, 0, 0]])

    def tables_of(self, *arguments):
        return [table.splitlines() for table in format_multiclass_report(*arguments).split("\n\n")]

    def test_the_first_line_names_the_most_frequent_label(self, model):
        ((first,), *_) = self.tables_of(model, None, "emotions.csv")
        assert first == "Test on emotions.csv: 3,000 texts, 4 labels, the most frequent one 愤怒 with 56.7%"

    def test_the_model_stands_beside_the_majority_and_the_baseline(self, model, baseline):
        _, (header, *rows), *_ = self.tables_of(model, baseline, "x")
        assert header.split() == ["accuracy", "macro-F1", "log-loss"]
        assert [row[:28].strip() for row in rows] == [
            "Always the majority class",
            "TF-IDF + logistic regression",
            "Mini-BERT",
        ]
        # Always 愤怒: its F1 is 2 * 1700 / (1700 + 3000), and its log-loss that of the frequencies.
        frequencies = np.array([1700, 1000, 200, 100]) / 3000
        log_loss = -(frequencies * np.log(frequencies)).sum()
        assert rows[0].split()[-3:] == ["0.567", f"{2 * 1700 / 4700 / 4:.3f}", f"{log_loss:.3f}"]
        for row, metrics in zip(rows[1:], (baseline, model), strict=True):
            expected = [metrics["accuracy"], metrics["macro_f1"], metrics["log_loss"]]
            assert row.split()[-3:] == [f"{value:.3f}" for value in expected]

    def test_each_label_has_a_line(self, model, baseline):
        _, _, (header, *rows), *_ = self.tables_of(model, baseline, "x")
        assert header.split(maxsplit=5) == ["Label", "texts", "precision", "recall", "F1", "F1 of the baseline"]
        assert [row.split()[0] for row in rows] == ["愤怒", "快乐", "a", "无"]
        f1, of_baseline = (list(metrics["f1"].values())[0] for metrics in (model, baseline))
        assert rows[0].split()[1:] == ["1,700", "0.938", "0.882", f"{f1:.3f}", f"{of_baseline:.3f}"]
        assert rows[3].split()[1:] == ["100", "1.000", "0.500", "0.667", "0.000"]

    def test_without_a_baseline_its_row_and_column_are_left_out(self, model):
        report = format_multiclass_report(model, None, "x")
        assert "TF-IDF" not in report and "baseline" not in report

    def test_a_small_confusion_matrix_is_shown_whole(self, model):
        _, _, _, (title, header, *rows) = self.tables_of(model, None, "x")
        assert title == "Confusion matrix: a line for each true label, a column for each predicted one"
        assert header.split()[:4] == ["True", "label", "愤怒", "快乐"]
        assert rows[0].split() == ["愤怒", "1,500", "200", "0", "0"]
        assert rows[3].split() == ["无", "0", "50", "0", "50"]

    @pytest.mark.parametrize("num_labels", [4, 10])
    def test_columns_are_under_their_titles_by_the_width_of_the_characters(self, num_labels):
        names = [*self.NAMES, *(f"情绪第{number}号" for number in range(6))][:num_labels]
        metrics = self.metrics(np.eye(num_labels, dtype=int) * 9, names)
        for table in self.tables_of(metrics, metrics, "x")[1:]:
            widths = {display_width(line) for line in table if not line.startswith("Confusion matrix")}
            assert len(widths) == 1 and max(widths) <= 96

    def test_of_many_labels_the_most_frequent_confusions_are_listed(self):
        matrix = np.eye(11, dtype=int) * 20
        matrix[3, 4], matrix[4, 3], matrix[0, 10] = 12, 1, 3
        *_, lines = self.tables_of(self.metrics(matrix, "甲乙丙丁戊己庚辛壬癸子"), None, "x")
        assert lines == [
            "Most frequent confusions",
            "true 丁 predicted 戊: 12 texts",
            "true 甲 predicted 子: 3 texts",
            "true 戊 predicted 丁: 1 text",
        ]

    def test_no_more_than_ten_confusions_are_listed(self):
        *_, lines = self.tables_of(self.metrics(np.eye(12, dtype=int) * 90 + 1, "abcdefghijkl"), None, "x")
        assert len(lines) == 11

    def test_no_confusions_at_all(self):
        report = format_multiclass_report(self.metrics(np.eye(11, dtype=int), "abcdefghijk"), None, "x")
        assert report.endswith("No confusions: every text got its true label")

    def test_warnings_name_the_label_in_a_box_of_even_width(self):
        metrics = self.metrics([[600, 0, 0, 0], [300, 0, 0, 0], [90, 0, 0, 0], [0, 0, 0, 10]])
        *_, box = self.tables_of(metrics, None, "x")
        words = " ".join(" ".join(box).replace("*", " ").split())
        expected = "WARNING: the model predicts '愤怒' for 99.0% of the texts."
        assert words == expected  # it is right about ten texts more than the majority
        assert {display_width(line) for line in box} == {96}
        metrics = self.metrics([[600, 0, 0, 0], [300, 0, 0, 0], [100, 0, 0, 0], [0, 0, 0, 0]])
        report = " ".join(format_multiclass_report(metrics, None, "x").replace("*", " ").split())
        sentence = "WARNING: the model is no better than always predicting '愤怒'; its accuracy is 0.600 against 0.600."
        assert sentence in report

    def test_a_better_baseline_is_named_with_its_lead(self, model, baseline):
        report = format_multiclass_report(baseline, model, "x")
        expected = (
            "TF-IDF + logistic regression is better than Mini-BERT by 11.7 points of accuracy (0.883 against 0.767)."
        )
        assert report.endswith(expected)
        assert "is better than" not in format_multiclass_report(model, baseline, "x")


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
