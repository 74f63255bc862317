"""The plot of the F1 of each label, where a text may have several and there is no confusion matrix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from evaluation.report.layout import BASELINE
from evaluation.report.multi_label import most_frequent_labels
from evaluation.report.plots import TRAINING_COLOUR, VALIDATION_COLOUR, names_and_fonts
from system.output.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR_HEIGHT = 0.38  # of the 1 that a label has
LABEL_INCHES = 0.3


def plot_label_scores(model: dict, baseline: dict, path: str | os.PathLike) -> Figure:
    """Draw the F1 of each label, of the model and of the baseline, into a PNG file, 1,200 pixels wide.

    Of many labels the most frequent ones are shown, see `evaluation.report.multi_label.most_frequent_labels`. If no
    installed font has the characters of their names, numbers take their place.

    Args:
        model: the metrics of the model, as `evaluation.multi_label.multi_label_metrics` returns them.
        baseline: those of the baseline.

    Returns:
        The figure.

    Raises:
        OutputError: the file cannot be written.
    """
    labels = most_frequent_labels(model)
    names, families = names_and_fonts(labels)
    if families is None:
        names = [str(number) for number in range(1, len(names) + 1)]
    figure = new_figure(width=8, height=LABEL_INCHES * len(labels) + 1.6)
    axes = figure.subplots()
    positions = np.arange(len(labels))
    for metrics, offset, colour, title in (
        (model, -BAR_HEIGHT / 2, TRAINING_COLOUR, "Mini-BERT"),
        (baseline, BAR_HEIGHT / 2, VALIDATION_COLOUR, BASELINE),
    ):
        scores = [metrics["f1"][label] for label in labels]
        axes.barh(positions + offset, scores, BAR_HEIGHT, color=colour, label=title)
    counted = [f"{name} ({model['label_counts'][label]:,})" for name, label in zip(names, labels, strict=True)]
    axes.set_yticks(positions, counted, family=families, parse_math=False)  # a name with "$" is no formula
    axes.set_ylim(len(labels) - 0.4, -0.6)  # the first label on top
    hidden = len(model["f1"]) - len(labels)
    axes.set(xlim=(0, 1), xlabel="F1 on the test set", ylabel="Label (texts)")
    axes.set_title(f"The {len(labels)} most frequent of {len(model['f1'])} labels" if hidden else "", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize="small", frameon=False)
    save_figure(figure, path)
    return figure
