"""Charts as inline SVG: lines, bars, and values with intervals; readable in print and with any kind of colour vision.

Each picture has a title and a description for those who cannot see it. Lines differ in colour, dash and marker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evaluation.report.page.drawing import (
    BOTTOM,
    COLOURS,
    COLUMN,
    LEFT,
    WIDTH,
    Area,
    Axis,
    fill_style,
    legend_of,
    line_sample,
    line_style,
    marker,
    path_of,
    shortened,
    svg_of,
    text_at,
)
from system.output.display import display_width

ROW = 26  # of an interval chart
DIAGONAL = 'stroke="#777" stroke-dasharray="1 3" stroke-width="1.5"'
MARK_DASHES = ("", "5 3", "2 2")


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        name: plain text, for the legend.
        x: (points,).
        y: (points,); NaN leaves a gap.
        low: the lower ends of error bars, (points,); None for none.
        high: the upper ends, (points,).
        markers: whether each point has a marker.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    low: Sequence[float] | np.ndarray | None = None
    high: Sequence[float] | np.ndarray | None = None
    markers: bool = False


class Mark(NamedTuple):
    """A vertical line at a number of the x axis, with its name."""

    x: float
    name: str


class Bars(NamedTuple):
    """Bars of one kind: their name for the legend, and their heights, (bars,)."""

    name: str
    heights: Sequence[float] | np.ndarray


class Row(NamedTuple):
    """A row of an interval chart: its name, and of each series the value and the ends of its interval, or None."""

    name: str
    values: Sequence[tuple[float, float, float] | None]


def line_chart(
    identifier: str,
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    marks: Sequence[Mark] = (),
    diagonal: str = "",
) -> str:
    """Return a chart of lines.

    Args:
        identifier: unique on the page.
        title: plain text.
        description: what the picture shows, for those who cannot see it.
        x: the horizontal axis.
        y: the vertical axis.
        lines: the lines.
        marks: vertical lines.
        diagonal: the name of a line from corner to corner; "" for none.
    """
    samples = [line_sample(index, line.markers) for index, line in enumerate(lines)]
    names = [line.name for line in lines]
    if diagonal:
        names, samples = [*names, diagonal], [*samples, f'<path d="M0 0H24" {DIAGONAL}/>']
    names += [mark.name for mark in marks]
    samples += [f'<path d="M12 -6V6" {_mark_stroke(number)}/>' for number in range(len(marks))]
    legend, top = legend_of(names, samples)
    area = Area(x, y, top)
    parts = [*legend, *area.frame()]
    if diagonal:
        parts.append(f'<path d="{path_of([area.at(x.low, y.low), area.at(x.high, y.high)])}" {DIAGONAL}/>')
    for number, mark in enumerate(marks):
        position = area.at(mark.x, y.low)[0]
        parts.append(f'<path d="M{position:.1f} {area.top}V{area.bottom}" {_mark_stroke(number)}/>')
    for index, line in enumerate(lines):
        parts += _drawn_line(line, index, area)
    return svg_of(identifier, title, description, parts, area.bottom + BOTTOM)


def bar_chart(
    identifier: str, title: str, description: str, x: Axis, y: Axis, edges: np.ndarray, kinds: Sequence[Bars]
) -> str:
    """Return a chart of vertical bars, such as a histogram, with the bars of each kind side by side.

    Args:
        identifier: unique on the page.
        title: plain text.
        description: what the picture shows, for those who cannot see it.
        x: the horizontal axis.
        y: the vertical axis, which begins at 0.
        edges: the ends of the bars on the horizontal axis, (bars + 1,).
        kinds: the heights of the bars.
    """
    samples = [f'<path d="M2 -5H22V5H2Z" {fill_style(index)}/>' for index in range(len(kinds))]
    legend, top = legend_of([each.name for each in kinds], samples)
    area = Area(x, y, top)
    parts = [*legend, *area.frame()]
    for index, each in enumerate(kinds):
        for low, high, height in zip(edges[:-1], edges[1:], each.heights, strict=True):
            if not height > 0:  # NaN too
                continue
            (left, upper), (right, lower) = area.at(low, height), area.at(high, 0)
            share = (right - left) * 0.84 / len(kinds)
            left += (right - left) * 0.08 + index * share
            parts.append(
                f'<path d="M{left:.1f} {lower:.1f}V{upper:.1f}h{share:.1f}V{lower:.1f}Z" {fill_style(index)}/>'
            )
    return svg_of(identifier, title, description, parts, area.bottom + BOTTOM)


def interval_chart(
    identifier: str, title: str, description: str, x: Axis, series: Sequence[str], rows: Sequence[Row]
) -> str:
    """Return a chart with a row for each name: a marker at each value, and a line along its interval.

    Args:
        identifier: unique on the page.
        title: plain text.
        description: what the picture shows, for those who cannot see it.
        x: the horizontal axis.
        series: the names of the values that each row has.
        rows: the rows.
    """
    legend, top = legend_of(list(series), [line_sample(index, True) for index in range(len(series))])
    widest = max((display_width(row.name) for row in rows), default=0)
    left = min(max(LEFT, widest * COLUMN + 14), 0.4 * WIDTH)
    area = Area(x, Axis("", 0, len(rows)), top, left=left, height=ROW * len(rows))
    parts = [*legend, *area.frame(horizontal=False)]
    for number, row in enumerate(rows):
        middle = top + ROW * (number + 0.5)
        name = shortened(row.name, int((left - 14) / COLUMN))
        parts.append(text_at(left - 8, middle + 4, name, "end"))
        for index, value in enumerate(row.values):
            if value is None or math.isnan(value[0]):
                continue
            y = middle + (index - (len(series) - 1) / 2) * 8
            at, low, high = (area.at(each, 0)[0] for each in value)
            if not math.isnan(value[1]):
                parts.append(f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" stroke="{COLOURS[index]}" stroke-width="2"/>')
            parts.append(marker(index, at, y))
    return svg_of(identifier, title, description, parts, area.bottom + BOTTOM)


def _mark_stroke(number: int) -> str:
    """Return the style of a vertical line."""
    dash = MARK_DASHES[number % len(MARK_DASHES)]
    return f'stroke="#555" stroke-width="1.5" stroke-dasharray="{dash}"'


def _drawn_line(line: Line, index: int, area: Area) -> Iterator[str]:
    points = [(float(x), float(y)) for x, y in zip(line.x, line.y, strict=True)]
    runs, run = [], []
    for point in [*points, (math.nan, math.nan)]:
        if all(map(math.isfinite, point)):
            run.append(area.at(*point))
        elif run:
            runs, run = [*runs, run], []
    for run in runs:
        yield f'<path d="{path_of(run)}" {line_style(index)}/>'
    if line.low is not None and line.high is not None:
        for (x, _), low, high in zip(points, line.low, line.high, strict=True):
            (across, lower), (_, upper) = area.at(x, low), area.at(x, high)
            ends = f"M{across - 3:.1f} {lower:.1f}h6m-3 0V{upper:.1f}m-3 0h6"
            yield f'<path d="{ends}" stroke="{COLOURS[index % len(COLOURS)]}" stroke-width="1.3"/>'
    # A point between two gaps has no line.
    for run in runs:
        if line.markers or len(run) == 1:
            yield from (marker(index, *point) for point in run)
