"""The plot of the F1 of each label."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.font_manager import fontManager

from evaluation.multi_label import multi_label_metrics
from evaluation.report.label_scores import plot_label_scores
from system.output.fonts import font_families
from text.labels import LabelSet


def metrics_of(names, labels, predictions):
    return multi_label_metrics(LabelSet(tuple(names), multi_label=True), labels, np.array(predictions, float))


LABELS = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 0]])


def test_there_are_two_bars_for_each_label(tmp_path):
    model = metrics_of(["red", "$\\x$", "blue"], LABELS, [[1, 0, 0], [1, 0, 0], [1, 0, 0]])
    baseline = metrics_of(["red", "$\\x$", "blue"], LABELS, LABELS)
    figure = plot_label_scores(model, baseline, tmp_path / "plot.png")
    axes = figure.axes[0]
    of_model, of_baseline = ([bar.get_width() for bar in bars] for bars in axes.containers)
    assert of_model == pytest.approx([0.8, 0, 0]) and of_baseline == [1, 1, 1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["red (2)", "$\\x$ (1)", "blue (1)"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first label is on top"
    titles = [text.get_text() for text in axes.get_legend().get_texts()]
    assert titles == ["Mini-BERT", "TF-IDF + logistic regression"] and axes.get_title(loc="left") == ""
    pixels = matplotlib.image.imread(tmp_path / "plot.png")
    assert pixels.shape[1] == 1200 and pixels[:, :, :3].var() > 1e-3


def test_of_many_labels_the_most_frequent_are_shown(tmp_path):
    labels = np.arange(60)[:, None] % (np.arange(50) + 2) == 0
    metrics = metrics_of([f"label {number}" for number in range(50)], labels.astype(int), labels)
    axes = plot_label_scores(metrics, metrics, tmp_path / "plot.png").axes[0]
    assert len(axes.get_yticklabels()) == 40
    assert axes.get_title(loc="left") == "The 40 most frequent of 50 labels"


def test_numbers_take_the_place_of_names_without_a_font(tmp_path, monkeypatch):
    font_families.cache_clear()
    fonts = [font for font in fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    metrics = metrics_of(["愤怒", "快乐", "red"], LABELS, LABELS)
    axes = plot_label_scores(metrics, metrics, tmp_path / "plot.png").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1 (2)", "2 (1)", "3 (1)"]
    font_families.cache_clear()
