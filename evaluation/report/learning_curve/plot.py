"""The plot of a learning curve: errors by number of training texts, and what a power law predicts for more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evaluation.analysis.power_law import Curve
from evaluation.report.plots import TRAINING_COLOUR, VALIDATION_COLOUR
from system.output.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = ((TRAINING_COLOUR, "o"), (VALIDATION_COLOUR, "s"))  # colour and marker of each curve
POINTS_OF_A_LINE = 60


def plot_learning_curve(curves: Mapping[str, Curve], path: str | os.PathLike, error_title: str) -> Figure:
    """Draw one or two learning curves into a PNG file of 1050 by 675 pixels.

    Each run is a point. A line is the power law, dashed from the largest number of texts on, and ends in the interval
    of the forecast.

    Args:
        curves: the curves by name.
        path: the file.
        error_title: the title of the axis of errors.

    Returns:
        The figure.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = new_figure(width=7, height=4.5)
    axes = figure.subplots()
    axes.set_xscale("log")
    for (name, curve), (colour, marker) in zip(curves.items(), STYLES, strict=False):
        _draw_curve(axes, name, curve, colour, marker)
    ticks = {int(size) for curve in curves.values() for size in curve.num_texts}
    ticks |= {curve.forecast.target for curve in curves.values() if curve.forecast}
    axes.set_xticks(sorted(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value):,}"))
    axes.set(xlabel="Training texts", ylabel=error_title)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    save_figure(figure, path)
    return figure


def _draw_curve(axes: Axes, name: str, curve: Curve, colour: str, marker: str) -> None:
    axes.plot(curve.num_texts, curve.errors, marker, color=colour, alpha=0.6, label=name)
    forecast = curve.forecast
    if forecast is None:
        return
    for start, end, line in ((curve.num_texts.min(), forecast.largest, "-"), (forecast.largest, forecast.target, "--")):
        sizes = np.geomspace(start, end, POINTS_OF_A_LINE)
        axes.plot(sizes, forecast.error(sizes), line, color=colour, linewidth=1)
    expected = forecast.error_at_target
    low, high = forecast.error_interval or (expected, expected)
    around = [[max(expected - low, 0)], [max(high - expected, 0)]]  # a resampled median may lie beside the law
    axes.errorbar([forecast.target], [expected], around, color=colour, marker=marker, markerfacecolor="none", capsize=4)
