"""The plots of a run as PNG files: its training curves and its confusion matrix."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from system.output.display import display_width, shorten
from system.output.figures import new_figure, save_figure
from system.output.fonts import font_families
from text.labels import SENTIMENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Blue, vermilion and black of Okabe and Ito (2008): distinguishable with any kind of colour vision.
TRAINING_COLOUR, VALIDATION_COLOUR, BEST_COLOUR = "#0072B2", "#D55E00", "#000000"
AXIS_TITLES = {
    "loss": "Loss (nats)",
    "binary_accuracy": "Accuracy (fraction of texts)",
    "accuracy": "Accuracy (fraction of texts)",
    "macro_f1": "Macro-F1",
    "micro_f1": "Micro-F1",
    "masked_accuracy": "Accuracy (fraction of masked tokens)",
    "masked_lm_loss": "Loss of masked tokens (nats)",
    "perplexity": "Perplexity (tokens)",
    "next_sentence_accuracy": "Accuracy (fraction of pairs)",
    "next_sentence_loss": "Loss of next sentences (nats)",
}
LOWER_IS_BETTER = ("loss", "masked_lm_loss", "perplexity", "next_sentence_loss")
VALIDATION_PREFIX = "val_"
# From this fraction on, white is easier to read on the blue of a cell than black.
DARK_FRACTION = 0.65
NUMBERED_LABELS = 12  # with more of them the cells are too small for numbers
CELL_INCHES, MAX_MATRIX_INCHES = 0.62, 9
CLASS_NAME_WIDTH = 20  # in terminal columns; longer names are cut
SMALLEST_TICK, LARGEST_TICK = 4, 10  # in points


def plot_training_curves(history: Mapping[str, Sequence[float]], path: str | os.PathLike) -> Figure:
    """Draw one panel for each metric of a training into a PNG file, 750 pixels wide for each panel and 600 high.

    Epochs count from 1. The best validation epoch of each metric is marked. Numbers that are not finite leave a gap.

    Args:
        history: for each metric one number an epoch; the validation's under the same name with the prefix "val_".

    Returns:
        The figure.

    Raises:
        ValueError: `history` holds no epoch.
        OutputError: the file cannot be written.
    """
    metric_names = list(dict.fromkeys(name.removeprefix(VALIDATION_PREFIX) for name in history))
    if not any(len(values) for values in history.values()):
        raise ValueError("the history holds no epoch, so there is nothing to plot")
    figure = new_figure(width=5 * len(metric_names), height=4)
    panels = figure.subplots(1, len(metric_names), squeeze=False)[0]
    for panel, metric_name in zip(panels, metric_names, strict=True):
        _draw_metric(panel, metric_name, history)
    save_figure(figure, path)
    return figure


def plot_confusion_matrix(
    matrix: Sequence[Sequence[int]],
    path: str | os.PathLike,
    class_names: Sequence[str] = SENTIMENT.english_names,
    title: str = "Confusion matrix (texts)",
) -> Figure:
    """Draw a confusion matrix into a PNG file, with counts and fractions of each row.

    It is 750 by 675 pixels for two classes and grows with their number. More than 12 classes have a scale instead of
    numbers. If no installed font has the characters of the names, numbers take their place; see `confusion_legend`.

    Args:
        matrix: (classes, classes), in texts; a row for each true class, a column for each predicted class.

    Returns:
        The figure.

    Raises:
        ValueError: the shape of the matrix does not fit `class_names`.
        OutputError: the file cannot be written.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names), len(class_names)):
        raise ValueError(f"a matrix of shape {matrix.shape} does not fit {len(class_names)} class names")
    names, families = names_and_fonts(class_names)
    if families is None:
        names = [str(number) for number in range(1, len(names) + 1)]
    name_style = {"family": families, "parse_math": False}  # a name with "$" is no formula
    # A class without a text has the fraction 0 in each of its cells.
    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    draw = _draw_two_classes if len(names) == 2 else _draw_classes
    figure = draw(matrix, fractions, names, name_style)
    axes = figure.axes[0]
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="Predicted class", ylabel="True class", title=title)
    save_figure(figure, path)
    return figure


def confusion_legend(class_names: Sequence[str]) -> str | None:
    """Return what the numbers in the plot of these classes mean, "1 愤怒, 2 快乐"; None if it shows the names."""
    names, families = names_and_fonts(class_names)
    if families is not None:
        return None
    return ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))


def names_and_fonts(class_names: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Return the names as the plot shows them, and the font families for them; None if no installed font has them."""
    names = [shorten(name, CLASS_NAME_WIDTH) for name in class_names]
    return names, font_families("".join(names))


def _draw_two_classes(
    matrix: np.ndarray, fractions: np.ndarray, names: Sequence[str], name_style: Mapping[str, object]
) -> Figure:
    figure = new_figure(width=5, height=4.5)
    axes = figure.subplots()
    _draw_cells(axes, fractions, line_width=3)
    for (row, column), fraction in np.ndenumerate(fractions):
        text = f"{matrix[row, column]:,}\n{fraction:.1%} of {names[row]}"
        _write_in_cell(axes, row, column, text, fraction, **name_style)
    axes.set_xticks(range(2), names, **name_style)
    axes.set_yticks(range(2), names, rotation=90, verticalalignment="center", **name_style)
    return figure


def _draw_classes(
    matrix: np.ndarray, fractions: np.ndarray, names: Sequence[str], name_style: Mapping[str, object]
) -> Figure:
    """Draw more than two classes, with a scale where their cells are too small for numbers."""
    count = len(names)
    side = min(CELL_INCHES * count + 0.6, MAX_MATRIX_INCHES)
    has_numbers = count <= NUMBERED_LABELS
    figure = new_figure(width=side + 2.2 + 0.8 * (not has_numbers), height=side + 1.6)
    axes = figure.subplots()
    image = _draw_cells(axes, fractions, line_width=2 if has_numbers else 10 / count)
    if has_numbers:
        for (row, column), fraction in np.ndenumerate(fractions):
            if matrix[row, column]:
                text = f"{matrix[row, column]:,}\n{fraction:.0%}"
                _write_in_cell(axes, row, column, text, fraction, fontsize="small")
    else:
        scale = figure.colorbar(image, label="Fraction of the true class", fraction=0.03, pad=0.02, aspect=35)
        scale.ax.set_ylim(0, 1)
        scale.outline.set_visible(False)
    # Names shrink with their lines; where they would be too small to read, only every second or third is shown.
    line_points = 72 * side / count
    size = float(np.clip(0.75 * line_points, SMALLEST_TICK, LARGEST_TICK))
    step = math.ceil(SMALLEST_TICK / line_points)
    is_wide = max(map(display_width, names)) * 0.6 * size > step * line_points
    slanted = {"rotation": 45, "rotation_mode": "anchor", "horizontalalignment": "right"} if is_wide else {}
    axes.set_xticks(range(0, count, step), names[::step], fontsize=size, **name_style, **slanted)
    axes.set_yticks(range(0, count, step), names[::step], fontsize=size, **name_style)
    return figure


def _draw_cells(axes: Axes, fractions: np.ndarray, line_width: float) -> AxesImage:
    # Colours start below zero, so that a cell with the fraction 0 still has a tint.
    image = axes.imshow(fractions, cmap="Blues", vmin=-0.1, vmax=1, aspect="auto")
    for boundary in range(1, len(fractions)):
        axes.axhline(boundary - 0.5, color="white", linewidth=line_width)
        axes.axvline(boundary - 0.5, color="white", linewidth=line_width)
    return image


def _write_in_cell(axes: Axes, row: int, column: int, text: str, fraction: float, **style: object) -> None:
    axes.text(
        column,
        row,
        text,
        color="white" if fraction > DARK_FRACTION else "black",
        horizontalalignment="center",
        verticalalignment="center",
        **style,
    )


def _draw_metric(panel: Axes, metric_name: str, history: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    training = _finite_or_nan(history.get(metric_name, []))
    validation = _finite_or_nan(history.get(VALIDATION_PREFIX + metric_name, []))
    if training.size:
        panel.plot(_epochs(training), training, "o-", color=TRAINING_COLOUR, label="training")
    if validation.size:
        panel.plot(_epochs(validation), validation, "s--", color=VALIDATION_COLOUR, label="validation")
        _mark_best(panel, metric_name, validation)
    axis_title = AXIS_TITLES.get(metric_name, metric_name.replace("_", " ").capitalize())
    panel.set(xlabel="Epoch", ylabel=axis_title)
    panel.set_xlim(0.5, max(training.size, validation.size) + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", alpha=0.3)
    # Above the panel, where it hides no curve, and on the right, because the left may hold an exponent.
    panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize="small", frameon=False, columnspacing=1.2)


def _mark_best(panel: Axes, metric_name: str, validation: np.ndarray) -> None:
    if np.isnan(validation).all():
        return
    find_best = np.nanargmin if metric_name in LOWER_IS_BETTER else np.nanargmax
    best = int(find_best(validation))
    panel.plot(
        best + 1,
        validation[best],
        "o",
        markersize=12,
        markerfacecolor="none",
        markeredgecolor=BEST_COLOUR,
        label=f"best validation: {validation[best]:.4g}, epoch {best + 1}",
    )


def _finite_or_nan(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _epochs(values: np.ndarray) -> np.ndarray:
    return np.arange(1, len(values) + 1)
