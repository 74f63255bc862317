"""The plots of a run: PNG files of the promised size that show what they should."""

import math
import sys

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.font_manager import fontManager

from evaluation.report import plots
from evaluation.report.plots import confusion_legend, plot_confusion_matrix, plot_training_curves
from system.output.fonts import font_families

FINE_TUNING = {
    "loss": [0.60, 0.45, 0.38, 0.33, 0.30],
    "binary_accuracy": [0.70, 0.80, 0.84, 0.86, 0.88],
    "val_loss": [0.50, 0.42, 0.37, 0.39, 0.41],
    "val_binary_accuracy": [0.76, 0.82, 0.83, 0.85, 0.84],
}


def read_png(path):
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    return matplotlib.image.imread(path)


def lines_by_label(panel):
    return {line.get_label(): line for line in panel.get_lines()}


def test_training_curves_are_a_png_with_a_panel_for_each_metric(tmp_path):
    plot_training_curves(FINE_TUNING, tmp_path / "curves.png")
    pixels = read_png(tmp_path / "curves.png")
    assert pixels.shape[:2] == (600, 1500)
    left, right = pixels[:, :750, :3], pixels[:, 750:, :3]
    assert left.var() > 1e-3
    assert right.var() > 1e-3
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_curves_are_paired_by_prefix_and_the_best_epoch_is_marked(tmp_path):
    loss_panel, accuracy_panel = plot_training_curves(FINE_TUNING, tmp_path / "curves.png").axes
    loss_lines, accuracy_lines = lines_by_label(loss_panel), lines_by_label(accuracy_panel)
    assert loss_lines["training"].get_ydata().tolist() == FINE_TUNING["loss"]
    assert loss_lines["validation"].get_ydata().tolist() == FINE_TUNING["val_loss"]
    assert accuracy_lines["validation"].get_ydata().tolist() == FINE_TUNING["val_binary_accuracy"]
    assert loss_lines["validation"].get_xdata().tolist() == [1, 2, 3, 4, 5]
    # The smallest loss and the largest accuracy lie in different epochs.
    assert loss_lines["best validation: 0.37, epoch 3"].get_xydata().tolist() == [[3, 0.37]]
    assert accuracy_lines["best validation: 0.85, epoch 4"].get_xydata().tolist() == [[4, 0.85]]
    assert all(float(tick).is_integer() for tick in loss_panel.get_xticks())
    assert (loss_panel.get_xlabel(), loss_panel.get_ylabel()) == ("Epoch", "Loss (nats)")


def test_a_single_epoch_is_visible(tmp_path):
    first_epoch = {name: values[:1] for name, values in FINE_TUNING.items()}
    for panel in plot_training_curves(first_epoch, tmp_path / "curves.png").axes:
        assert all(line.get_marker() in ("o", "s") for line in panel.get_lines())
        left, right = panel.get_xlim()
        assert [tick for tick in panel.get_xticks() if left <= tick <= right] == [1]
    blue = to_rgb(plots.TRAINING_COLOUR)
    pixels = read_png(tmp_path / "curves.png")[:, :, :3]
    assert (np.abs(pixels - blue).max(axis=2) < 0.02).sum() > 50


def test_pre_training_history_with_metrics_of_one_split_only(tmp_path):
    history = {"loss": [7.1, 6.2], "masked_accuracy": [0.1, 0.2], "val_loss": [6.8, 6.0]}
    history |= {"val_masked_accuracy": [0.12, 0.19], "val_perplexity": [898.0, 403.0]}
    history |= {"learning_rate": [1e-3, 5e-4]}
    figure = plot_training_curves(history, tmp_path / "curves.png")
    assert read_png(tmp_path / "curves.png").shape[:2] == (600, 3000)
    perplexity, learning_rate = figure.axes[2:]
    assert list(lines_by_label(perplexity)) == ["validation", "best validation: 403, epoch 2"]
    assert list(lines_by_label(learning_rate)) == ["training"]
    assert learning_rate.get_ylabel() == "Learning rate"


def test_the_lowest_loss_of_masked_tokens_is_the_best(tmp_path):
    history = {"loss": [0.7, 0.6], "masked_lm_loss": [3.1, 2.9], "val_masked_lm_loss": [3.0, 2.8]}
    panel = plot_training_curves(history, tmp_path / "curves.png").axes[1]
    assert panel.get_ylabel() == "Loss of masked tokens (nats)"
    assert "best validation: 2.8, epoch 2" in lines_by_label(panel)


def test_a_diverged_run_is_still_drawn(tmp_path):
    history = {"loss": [0.6, math.inf, math.nan], "val_loss": [0.5, math.nan, math.nan]}
    figure = plot_training_curves(history, tmp_path / "curves.png")
    assert "best validation: 0.5, epoch 1" in lines_by_label(figure.axes[0])
    figure = plot_training_curves({"loss": [math.nan], "val_loss": [math.nan]}, tmp_path / "curves.png")
    assert list(lines_by_label(figure.axes[0])) == ["training", "validation"]


@pytest.mark.parametrize("history", [{}, {"loss": [], "val_loss": []}])
def test_a_history_without_an_epoch_is_refused(tmp_path, history):
    with pytest.raises(ValueError, match="no epoch"):
        plot_training_curves(history, tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_confusion_matrix_shows_counts_and_row_fractions_in_readable_colours(tmp_path):
    figure = plot_confusion_matrix([[300, 100], [9, 891]], tmp_path / "matrix.png", title="Hotel reviews")
    pixels = read_png(tmp_path / "matrix.png")
    assert pixels.shape[:2] == (675, 750)
    assert pixels[:, :, :3].var() > 1e-3
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [
        "300\n75.0% of negative",
        "100\n25.0% of negative",
        "9\n1.0% of positive",
        "891\n99.0% of positive",
    ]
    assert [text.get_color() for text in axes.texts] == ["white", "black", "black", "white"]
    assert axes.get_title() == "Hotel reviews"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted class", "True class")


def test_confusion_matrix_of_a_single_class(tmp_path):
    figure = plot_confusion_matrix([[0, 0], [2, 8]], tmp_path / "matrix.png")
    assert figure.axes[0].texts[0].get_text() == "0\n0.0% of negative"


def test_confusion_matrix_that_does_not_fit_the_names_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not fit"):
        plot_confusion_matrix([[1, 2, 3]], tmp_path / "matrix.png")
    assert not list(tmp_path.iterdir())


class TestConfusionMatrixOfMoreClasses:
    NAMES = ("red", "green", "a colour with a very long name")

    def test_counts_and_row_fractions(self, tmp_path):
        figure = plot_confusion_matrix([[60, 40, 0], [0, 9, 1], [0, 0, 0]], tmp_path / "matrix.png", self.NAMES)
        axes = figure.axes[0]
        assert [text.get_text() for text in axes.texts] == ["60\n60%", "40\n40%", "9\n90%", "1\n10%"]
        assert [text.get_color() for text in axes.texts] == ["black", "black", "white", "black"]
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            assert [label.get_text() for label in labels] == ["red", "green", "a colour with a ver…"]

    def test_the_picture_grows_with_the_classes_up_to_a_limit(self, tmp_path):
        widths = []
        for count in (3, 12, 30, 60):
            plot_confusion_matrix(np.eye(count, dtype=int), tmp_path / "matrix.png", [str(n) for n in range(count)])
            widths.append(read_png(tmp_path / "matrix.png").shape[1])
        assert widths[0] < widths[1] < widths[2] == widths[3] <= 1800

    @pytest.mark.parametrize(("count", "has_numbers"), [(12, True), (13, False)])
    def test_many_classes_have_a_scale_instead_of_numbers(self, tmp_path, count, has_numbers):
        names = [f"class {number}" for number in range(count)]
        matrix, *scale = plot_confusion_matrix(np.eye(count, dtype=int), tmp_path / "matrix.png", names).axes
        assert (len(matrix.texts), len(scale)) == ((count, 0) if has_numbers else (0, 1))

    def test_of_very_many_classes_some_names_are_left_out(self, tmp_path):
        names = [f"class {number}" for number in range(200)]
        axes = plot_confusion_matrix(np.eye(200, dtype=int), tmp_path / "matrix.png", names).axes[0]
        shown = [label.get_text() for label in axes.get_yticklabels()]
        assert shown == names[::2]

    def test_a_name_with_dollars_is_no_formula(self, tmp_path):
        figure = plot_confusion_matrix(np.eye(3, dtype=int), tmp_path / "matrix.png", ["$\\x$", "b", "c"])
        assert figure.axes[0].get_xticklabels()[0].get_text() == "$\\x$"


class TestNamesWithoutAFont:
    NAMES = ("愤怒", "快乐", "red")

    @pytest.fixture(autouse=True)
    def no_chinese_font(self, monkeypatch):
        """Only the font that comes with matplotlib is installed."""
        font_families.cache_clear()
        fonts = [font for font in fontManager.ttflist if font.name == "DejaVu Sans"]
        monkeypatch.setattr(fontManager, "ttflist", fonts)
        yield
        font_families.cache_clear()

    @pytest.mark.parametrize("count", [2, 3])
    def test_numbers_take_their_place(self, tmp_path, count):
        axes = plot_confusion_matrix(np.eye(count, dtype=int), tmp_path / "matrix.png", self.NAMES[:count]).axes[0]
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            assert [label.get_text() for label in labels] == ["1", "2", "3"][:count]

    def test_a_legend_says_what_the_numbers_mean(self):
        assert confusion_legend(self.NAMES) == "1 愤怒, 2 快乐, 3 red"

    def test_names_that_are_shown_need_no_legend(self):
        assert confusion_legend(["negative", "positive"]) is None


def test_pyplot_and_its_global_state_are_not_used(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    plot_training_curves(FINE_TUNING, tmp_path / "curves.png")
    plot_confusion_matrix([[1, 2], [3, 4]], tmp_path / "matrix.png")
