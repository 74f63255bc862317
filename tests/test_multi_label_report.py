"""The report of several labels a text: its tables, and warnings that appear exactly when they should."""

import numpy as np
import pytest

from evaluation.multi_label import multi_label_metrics
from evaluation.report.multi_label import format_multi_label_report, most_frequent_labels
from system.output.display import display_width
from text.labels import LabelSet

ASPECTS = LabelSet(("动力", "油耗", "a label with a name that is far too long for any table"), multi_label=True)
LABELS = np.array([[1, 0, 0]] * 4 + [[1, 1, 0]] * 2 + [[0, 0, 1]] * 2 + [[0, 0, 0]] * 2)


def metrics_of(predictions, threshold=0.5, label_set=ASPECTS, labels=LABELS):
    """Metrics of a model that is sure of its predictions."""
    return multi_label_metrics(label_set, labels, 0.05 + 0.9 * np.array(predictions), threshold)


def with_changes(*cells):
    """Return the labels with some cells, (text, label), wrong."""
    changed = LABELS.copy()
    for cell in cells:
        changed[cell] = 1 - changed[cell]
    return changed


@pytest.fixture
def model():
    return metrics_of(with_changes((0, 0), (9, 1)), (0.3, 0.4, 0.5))


@pytest.fixture
def baseline():
    return metrics_of(with_changes((0, 0), (9, 1), (4, 1), (5, 1)))


def parts_of(*arguments):
    return [part.splitlines() for part in format_multi_label_report(*arguments).split("\n\n")]


def test_a_warning_of_many_wide_names_stays_in_its_box():
    label_set = LabelSet(tuple(f"{number}{'名' * 30}" for number in range(7)), multi_label=True)
    labels = np.ones((4, 7), int)
    model = multi_label_metrics(label_set, labels, np.full((4, 7), 0.9))
    box = format_multi_label_report(model, model, model, "x").split("\n\n")[-1].splitlines()
    assert len(box) > 4 and {display_width(line) for line in box} == {96}


def test_the_first_line_counts_texts_and_labels(model, baseline):
    ((first,), *_) = parts_of(model, metrics_of(LABELS), baseline, "cars.csv")
    assert first == "Test on cars.csv: 10 texts, 3 labels, 1.00 labels per text, 20.0% of the texts have none"


def test_the_model_stands_beside_the_majority_and_the_baseline(model, baseline):
    _, (header, *rows, accuracy, thresholds), *_ = parts_of(model, metrics_of(LABELS), baseline, "x")
    assert header.split() == ["micro-F1", "macro-F1", "accuracy", "log-loss"]
    names = ["Always the labels of most texts", "TF-IDF + logistic regression at 0.5", "Mini-BERT at 0.5"]
    assert [row[:35].strip() for row in rows] == [*names, "Mini-BERT at its own thresholds"]
    # Always 动力, which six of ten texts have, four of them alone; the F1 of it is 2 * 6 / (6 + 10).
    assert rows[0].split()[-4:-1] == [f"{2 * 6 / 20:.3f}", f"{0.75 / 3:.3f}", "0.400"]
    for row, metrics in zip(rows[1:], (baseline, metrics_of(LABELS), model), strict=True):
        expected = [metrics[name] for name in ("micro_f1", "macro_f1", "accuracy", "log_loss")]
        assert row.split()[-4:] == [f"{value:.3f}" for value in expected]
    assert accuracy == "Accuracy is the fraction of texts with exactly their labels."
    assert thresholds == "Own thresholds: one for each label, those of the validation split."


def test_one_threshold_for_all_labels_is_named(baseline):
    at_third = metrics_of(LABELS, 0.3)
    _, (_, *rows, last), *_ = parts_of(at_third, metrics_of(LABELS), baseline, "x")
    assert [row[:16] for row in rows[2:]] == ["Mini-BERT at 0.5", "Mini-BERT at 0.3"]
    assert last.startswith("Accuracy")
    _, (_, *rows, _), *_ = parts_of(metrics_of(LABELS), metrics_of(LABELS), baseline, "x")
    assert [row[:16] for row in rows[2:]] == ["Mini-BERT at 0.5"]


def test_each_label_has_a_line_and_the_last_one_is_that_of_all(model, baseline):
    _, _, (header, *rows), *_ = parts_of(model, metrics_of(LABELS), baseline, "x")
    assert header.split(maxsplit=6) == ["Label", "texts", "threshold", "precision", "recall", "F1", "baseline F1"]
    of_baseline = list(baseline["f1"].values())
    assert rows[0].split() == ["动力", "6", "0.300", "1.000", "0.833", "0.909", f"{of_baseline[0]:.3f}"]
    assert rows[1].split() == ["油耗", "2", "0.400", "0.667", "1.000", "0.800", f"{of_baseline[1]:.3f}"]
    totals = [model["micro_precision"], model["micro_recall"], model["micro_f1"], baseline["micro_f1"]]
    assert rows[3].split() == ["All", "labels", "together", "10", *(f"{value:.3f}" for value in totals)]
    assert len({display_width(line) for line in (header, *rows)}) == 1 and display_width(header) <= 96


def test_of_many_labels_the_most_frequent_are_shown():
    label_set = LabelSet(tuple(f"label {number}" for number in range(200)), multi_label=True)
    labels = (np.arange(300)[:, None] % (np.arange(200) + 2) == 0).astype(int)
    metrics = metrics_of(labels, 0.5, label_set, labels)
    _, _, (_, *rows), *_ = parts_of(metrics, metrics, metrics, "x")
    assert [row.split()[1] for row in rows[:40]] == [str(number) for number in range(40)]
    assert rows[40].strip() == "(160 more in metrics.json)" and len(rows) == 42
    assert most_frequent_labels(metrics, 2) == ["label 0", "label 1"]


def test_the_most_frequent_labels_keep_their_order():
    label_set = LabelSet(("a", "b", "c"), multi_label=True)
    labels = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 0, 0]])
    assert most_frequent_labels(metrics_of(labels, 0.5, label_set, labels), 2) == ["a", "c"]


def words_of(*arguments):
    return " ".join(format_multi_label_report(*arguments).replace("*", " ").split())


def test_a_good_model_is_not_warned_of(model, baseline):
    report = words_of(model, metrics_of(LABELS), baseline, "x")
    assert "WARNING" not in report and "has a better" not in report


def test_a_model_that_predicts_nothing_is_called_out(baseline):
    nothing = metrics_of(np.zeros_like(LABELS))
    report = words_of(nothing, nothing, baseline, "x")
    assert (
        "WARNING: the model is no better than always predicting '动力'; its micro-F1 is 0.000 against 0.600." in report
    )
    assert "WARNING: the model predicts no label for 100.0% of the texts, but only 20.0% of them have none." in report
    assert "WARNING: the model is no better than predicting the frequency of each label for every text" in report


def test_where_no_label_is_frequent_the_majority_has_none():
    labels = LABELS[4:]
    nothing = metrics_of(np.zeros_like(labels), labels=labels)
    assert "no better than always predicting no label; its micro-F1 is 0.000 against 0.000." in words_of(
        nothing, nothing, nothing, "x"
    )


def test_a_better_baseline_is_named(model, baseline):
    micro, macro = (f"({model[name]:.3f} against {baseline[name]:.3f})" for name in ("micro_f1", "macro_f1"))
    expected = f"TF-IDF + logistic regression has a better micro-F1 {micro} and macro-F1 {macro} than Mini-BERT."
    assert expected in words_of(baseline, baseline, model, "x")
