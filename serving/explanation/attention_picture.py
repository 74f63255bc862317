"""Show attention as a PNG file: the flow into the decision, and below it each layer and head."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.explanation.attention import CAVEAT, Attention
from system.errors import InputError
from system.output.display import display_width, say, shorten
from system.output.figures import new_figure, save_figure
from system.output.fonts import font_families

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS_PER_INCH = 72
# The side of a token's cell, of a panel, and the width of the picture, in inches.
CELL, SMALLEST_PANEL, LARGEST_PANEL = 0.23, 1.8, 6
NARROWEST, WIDEST = 9, 24
MOST_PANELS = 32  # of the heads; a network with more of them has a panel for each layer
FLOW_HEIGHT = 1.2
LARGEST_TEXT, SMALLEST_TEXT = 9, 4  # in points
COLUMN = 0.55  # the width of a terminal column, as a fraction of the size of the letters
TOKEN_WIDTH = 12  # terminal columns; longer tokens are cut
BLUE, GREY = "#0072B2", "#595959"
SCALE_TICKS = (0, 0.01, 0.05, 0.25, 0.5, 1)


class Panel(NamedTuple):
    """A part of the picture: its title, and weights, (length, length)."""

    title: str
    weights: np.ndarray


def save_picture(attention: Attention, path: str | os.PathLike) -> Figure:
    """Draw attention into a PNG file, which appears whole or not at all.

    Numbers take the place of tokens whose characters no installed font has; standard error then lists these tokens. It
    also says where only the mean of the heads is drawn, because there are many.

    Returns:
        The figure.

    Raises:
        InputError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    try:
        figure = attention_figure(attention)
    except ModuleNotFoundError:
        raise InputError(
            "a .png file needs matplotlib, which is not installed: run `pip install matplotlib`, or name an .html "
            "file, which does not need it"
        ) from None
    save_figure(figure, path)
    if _has_too_many_heads(attention.weights):
        say(
            f"note: more than {MOST_PANELS} heads are too many for a picture, so it has the mean of the heads of each "
            "layer; an .html file has each head, unless the text is long",
        )
    missing = [f"{position} {token}" for position, token in enumerate(attention.tokens, 1) if not font_families(token)]
    if missing:
        say(
            "note: no installed font has the characters of some tokens, so the picture shows numbers instead: "
            f"{', '.join(missing)}; install a font such as Noto Sans CJK, or name an .html file",
        )
    return figure


def attention_figure(attention: Attention) -> Figure:
    """Return a figure of the prediction, the rollout of each token, and the weights of each layer and head."""
    panels, num_columns = _panels(attention.weights)
    num_rows = math.ceil(len(panels) / num_columns)
    side = min(max(CELL * len(attention.tokens), SMALLEST_PANEL), LARGEST_PANEL, WIDEST / num_columns)
    width = max(num_columns * (side + 0.6), NARROWEST)
    figure = new_figure(width, FLOW_HEIGHT + num_rows * (side + 0.9) + 3)
    figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.1)
    rows = figure.add_gridspec(1 + num_rows, num_columns, height_ratios=[FLOW_HEIGHT, *[side] * num_rows])
    _draw_flow(figure.add_subplot(rows[0, :]), attention, width)
    drawn = []
    for index, panel in enumerate(panels):
        drawn.append(figure.add_subplot(rows[1 + index // num_columns, index % num_columns]))
        _draw_panel(drawn[-1], panel, attention.tokens, side)
    scale = figure.colorbar(
        drawn[0].images[0],
        ax=drawn,
        location="bottom",
        label="attention of the token of a row to the token of a column; a row sums to 100%",
        ticks=SCALE_TICKS,
        format=lambda value, _: f"{value:.0%}",
        fraction=0.03,
        aspect=60,
        shrink=min(1, 6 / width),
    )
    scale.outline.set_visible(False)
    columns = int(POINTS_PER_INCH * width / LARGEST_TEXT / COLUMN)
    heading = _heading(attention, columns)
    figure.suptitle("\n".join(heading), x=0.02, ha="left", fontsize=LARGEST_TEXT + 1, **_font_style("".join(heading)))
    notes = "\n".join(textwrap.fill(note, columns) for note in (attention.flow_note, CAVEAT))
    figure.supxlabel(notes, x=0.02, ha="left", fontsize=LARGEST_TEXT - 1, color=GREY)
    return figure


def _panels(weights: np.ndarray) -> tuple[list[Panel], int]:
    """Return the panels of weights, (layers, heads, length, length), and how many of them are beside each other."""
    num_layers, num_heads = weights.shape[:2]
    if _has_too_many_heads(weights):
        means = enumerate(weights.mean(axis=1), 1)
        num_columns = math.ceil(math.sqrt(num_layers))
        return [Panel(f"Layer {layer}, mean of the heads", mean) for layer, mean in means], num_columns
    heads = np.ndindex(num_layers, num_heads)
    return [Panel(f"Layer {layer + 1}, head {head + 1}", weights[layer, head]) for layer, head in heads], num_heads


def _has_too_many_heads(weights: np.ndarray) -> bool:
    num_layers, num_heads = weights.shape[:2]
    return num_heads > 1 and num_layers * num_heads > MOST_PANELS


def _heading(attention: Attention, columns: int) -> list[str]:
    """Return the prediction, the beginning of the text, and the window; without names that no installed font has."""
    nameless = f"confidence {attention.prediction.confidence:.4f}"
    decision = attention.decision if font_families(attention.decision) else nameless
    lines = [decision, shorten(attention.prediction.text, columns), attention.window]
    return [line for line in lines if line and font_families(line)]


def _draw_flow(axes: Axes, attention: Attention, width: float) -> None:
    """Draw a bar for each token."""
    shares, length = attention.rollout, len(attention.tokens)
    cell = POINTS_PER_INCH * (width - 1) / length  # in points
    size = min(max(0.5 * cell, SMALLEST_TEXT), LARGEST_TEXT)
    axes.bar(range(length), shares, color=BLUE, width=0.7)
    axes.axhline(1 / length, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    number_size = min(size, cell / 5 / COLUMN)
    on_white = {"facecolor": "white", "edgecolor": "none", "pad": 0}
    above = {"textcoords": "offset points", "xytext": (0, 2), "ha": "center", "va": "bottom", "bbox": on_white}
    for position, share in enumerate(shares.tolist()):
        axes.annotate(f"{share:.1%}", (position, share), fontsize=number_size, **above)
    axes.set_xlim(-0.6, length - 0.4)
    axes.set_ylim(0, 1.25 * shares.max())
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    is_wide = max(map(display_width, attention.tokens)) * COLUMN * size > cell
    _write_tokens(axes, "x", attention.tokens, size, rotation=90 if is_wide else 0)
    title = "Flow into the decision (attention rollout); dashed: equal shares"
    axes.set_title(title, fontsize=LARGEST_TEXT, loc="left")


def _draw_panel(axes: Axes, panel: Panel, tokens: Sequence[str], side: float) -> None:
    """Draw a panel with sides of so many inches."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colours = LinearSegmentedColormap.from_list("attention", ["white", BLUE])
    # The square root, so that small weights are visible.
    axes.imshow(panel.weights, cmap=colours, norm=PowerNorm(0.5, 0, 1))
    axes.set_title(panel.title, fontsize=LARGEST_TEXT)
    cell = POINTS_PER_INCH * side / len(tokens)  # in points
    step = math.ceil(SMALLEST_TEXT / cell)  # where letters would overlap, only each second or third token is named
    size = min(max(0.9 * cell, SMALLEST_TEXT), LARGEST_TEXT)
    _write_tokens(axes, "x", tokens, size, step, rotation=90)
    _write_tokens(axes, "y", tokens, size, step)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_color("#cccccc")


def _write_tokens(
    axes: Axes, axis: str, tokens: Sequence[str], size: float, step: int = 1, rotation: float = 0
) -> None:
    """Write the tokens beside an axis, "x" or "y"; numbers if no font has their characters."""
    positions = range(0, len(tokens), step)
    named = [shorten(tokens[position], TOKEN_WIDTH) for position in positions]
    shown = [
        name if font_families(name) else str(position + 1) for position, name in zip(positions, named, strict=True)
    ]
    axes.set(**{f"{axis}ticks": positions, f"{axis}ticklabels": shown})
    for label in getattr(axes, f"get_{axis}ticklabels")():
        label.set(fontsize=size, rotation=rotation, **_font_style(label.get_text()))


def _font_style(text: str) -> dict[str, object]:
    """Return the style of a text in fonts that have its characters; "$" in it begins no formula."""
    return {"family": font_families(text), "parse_math": False}
