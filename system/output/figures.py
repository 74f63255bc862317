"""Figures of matplotlib, drawn without a window and written as PNG files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from system.files import replace_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150


def new_figure(width: float, height: float) -> Figure:
    """Return a figure, in inches, that belongs to no window and to no global state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="tight")
    figure.get_layout_engine().set(w_pad=2.5)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure to a PNG file, which appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with replace_atomically(path) as temporary_path:
        figure.savefig(temporary_path, dpi=DOTS_PER_INCH, format="png")
