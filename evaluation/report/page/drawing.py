"""What charts are made of: axes, the strokes of each series, the legend, and the frame of an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from system.output.display import display_width
from system.output.page import escaped

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, BOTTOM = 52, 20, 44
FONT = 12
COLUMN = 0.56 * FONT  # the width of a letter; a Chinese character has two of them
LEGEND_LINE = 17
# The colours of Okabe and Ito (2008), made darker where they are too pale for print, with a dash and a marker each.
COLOURS = ("#0072b2", "#d55e00", "#000000", "#009e73", "#aa4499", "#b8860b")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4")
MARKERS = ("circle", "square", "triangle", "diamond", "circle", "square")
SHAPES = {
    "circle": "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0Z",
    "square": "m-3.2 -3.2h6.4v6.4h-6.4Z",
    "triangle": "m0 -4.2l4 7.2h-8Z",
    "diamond": "m0 -4.6l4.2 4.6l-4.2 4.6l-4.2 -4.6Z",
}
GRID, FRAME, TEXT = "#e3e3e3", "#666", "#222"


class Axis(NamedTuple):
    """An axis of a chart.

    Attributes:
        title: plain text.
        low: its lowest number, above 0 on a logarithmic axis.
        high: its highest number.
        log: whether it is logarithmic.
        percent: whether its numbers are shown as percentages.
    """

    title: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    percent: bool = False

    def place(self, value: float) -> float:
        """Return where a number lies on the axis, from 0 to 1."""
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round numbers along the axis: 1, 2 or 5 times a power of ten."""
        if self.log:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for factors in ((1, 2, 5), (1, 3), (1,)):
                found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
                found = [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]
                if len(found) <= most:
                    break
            return found
        span = self.high - self.low
        power = 10.0 ** math.floor(math.log10(span / most))
        step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= most)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def shown(self, value: float) -> str:
        """Return a number as it is shown at the axis."""
        return f"{100 * value:g}%" if self.percent else f"{round(value, 10):,g}" if abs(value) < 1e6 else f"{value:.0e}"


def axis_around(
    title: str, values: Sequence[float] | np.ndarray, *, log_x: bool = False, percent: bool = False
) -> Axis:
    """Return an axis that has room for all finite numbers.

    Args:
        title: plain text.
        values: the numbers; those of a logarithmic axis are above 0.
        log_x: whether the axis is logarithmic, such as that of the numbers of texts of a learning curve.
        percent: whether its numbers are shown as percentages.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values) & ((values > 0) | (not log_x))]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if log_x:
        return Axis(title, low / 1.15, high * 1.15, log=True, percent=percent)
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(title, float(low - margin), float(high + margin), percent=percent)


class Area(NamedTuple):
    """The area inside the axes of a chart."""

    x: Axis
    y: Axis
    top: float
    left: float = LEFT
    height: float = HEIGHT - BOTTOM - 30

    @property
    def bottom(self) -> float:
        """Where the horizontal axis lies."""
        return self.top + self.height

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point in the picture; points beyond an axis lie on its end."""
        across, up = (min(max(axis.place(value), 0), 1) for axis, value in ((self.x, x), (self.y, y)))
        return self.left + across * (WIDTH - RIGHT - self.left), self.bottom - up * self.height

    def frame(self, *, horizontal: bool = True) -> Iterator[str]:
        """Yield the grid, the axes and their numbers; `horizontal` is whether the vertical axis has numbers."""
        right = WIDTH - RIGHT
        for tick in self.x.ticks():
            across = self.at(tick, self.y.low)[0]
            yield f'<path d="M{across:.1f} {self.top}V{self.bottom}" stroke="{GRID}"/>'
            yield text_at(across, self.bottom + 16, self.x.shown(tick), "middle")
        for tick in self.y.ticks() if horizontal else ():
            up = self.at(self.x.low, tick)[1]
            yield f'<path d="M{self.left} {up:.1f}H{right}" stroke="{GRID}"/>'
            yield text_at(self.left - 6, up + 4, self.y.shown(tick), "end")
        yield f'<path d="M{self.left:.1f} {self.top}V{self.bottom}H{right}" stroke="{FRAME}"/>'
        yield text_at((self.left + right) / 2, self.bottom + 36, self.x.title, "middle")
        if self.y.title:
            middle = self.top + self.height / 2
            yield text_at(13, middle, self.y.title, "middle", f' transform="rotate(-90 13 {middle:.1f})"')


def legend_of(names: Sequence[str], samples: Sequence[str]) -> tuple[list[str], float]:
    """Return the legend above a chart, in as many lines as it needs, and where it ends.

    Args:
        names: plain text.
        samples: SVG, 24 wide, around y = 0.
    """
    parts, x, y = [], 4.0, 12.0
    for name, sample in zip(names, samples, strict=True):
        name = shortened(name, int((WIDTH - 44) / COLUMN))
        width = 30 + display_width(name) * COLUMN + 14
        if x > 4 and x + width > WIDTH:
            x, y = 4.0, y + LEGEND_LINE
        parts.append(f'<g transform="translate({x:.1f} {y - 4:.1f})">{sample}</g>{text_at(x + 30, y, name, "start")}')
        x += width
    return parts, y + 10 if names else 8.0


def shortened(text: str, columns: int) -> str:
    """Return a text of at most so many columns; if it is cut, it ends in "…"."""
    if display_width(text) <= columns:
        return text
    while text and display_width(text) >= columns:
        text = text[:-1]
    return f"{text}…"


def text_at(x: float, y: float, text: str, anchor: str, attributes: str = "") -> str:
    """Return a text at a place of the picture; `anchor` is "start", "middle" or "end"."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" stroke="none" fill="{TEXT}"{attributes}>'
        f"{escaped(text)}</text>"
    )


def marker(index: int, x: float, y: float) -> str:
    """Return the marker of a series at a place of the picture."""
    style = index % len(COLOURS)
    shape = SHAPES[MARKERS[style]]
    return f'<path d="M{x:.1f} {y:.1f}{shape}" fill="{COLOURS[style]}" stroke="#fff" stroke-width=".6"/>'


def line_sample(index: int, markers: bool) -> str:
    """Return the sample of a line for the legend."""
    return f'<path d="M0 0H24" {line_style(index)}/>' + (marker(index, 12, 0) if markers else "")


def line_style(index: int) -> str:
    """Return the style of the line of a series."""
    style = index % len(COLOURS)
    return f'stroke="{COLOURS[style]}" stroke-width="2" stroke-dasharray="{DASHES[style]}"'


def fill_style(index: int) -> str:
    """Return the style of a bar: bars of the second kind are empty, so that they differ without colour."""
    colour = COLOURS[index % len(COLOURS)]
    return f'fill="{colour if index % 2 == 0 else "#fff"}" stroke="{colour}"'


def path_of(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through some points of the picture."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def svg_of(identifier: str, title: str, description: str, parts: Sequence[str], height: float) -> str:
    """Return a picture with a title and a description for those who cannot see it.

    Args:
        identifier: unique on the page.
        title: plain text.
        description: plain text.
        parts: SVG.
        height: where the picture ends.
    """
    content = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="{identifier}-title {identifier}-desc" font-size="{FONT}" fill="none">\n'
        f'<title id="{identifier}-title">{escaped(title)}</title>\n'
        f'<desc id="{identifier}-desc">{escaped(description)}</desc>\n{content}\n</svg>'
    )
