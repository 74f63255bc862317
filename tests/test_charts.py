"""Tests of the charts of the report page: axes, gaps, and what they are for those who cannot see them."""

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.report.page.charts import Bars, Line, Mark, Row, bar_chart, interval_chart, line_chart
from evaluation.report.page.drawing import WIDTH, Axis, axis_around

SVG = "{http://www.w3.org/2000/svg}"
UNIT = Axis("axis")
HOSTILE = "</title><script>alert(1)</script>&\x1b[2J\ud800"


def texts_of(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


class TestAxis:
    def test_ticks_are_round(self):
        assert UNIT.ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
        assert Axis("", 1, 5).ticks() == [1, 2, 3, 4, 5]
        assert Axis("", 0.62, 1).ticks() == pytest.approx([0.7, 0.8, 0.9, 1.0])

    def test_ticks_of_a_logarithmic_axis(self):
        axis = Axis("texts", 90, 11_000, log=True)
        assert axis.ticks() == pytest.approx([100, 300, 1000, 3000, 10_000])
        assert [axis.shown(tick) for tick in axis.ticks()] == ["100", "300", "1,000", "3,000", "10,000"]
        assert axis.place(math.sqrt(90 * 11_000)) == pytest.approx(0.5)

    @given(low=st.floats(-1e5, 1e5), span=st.floats(1e-3, 1e5))
    def test_every_axis_has_a_few_ticks_inside(self, low, span):
        axis = Axis("", low, low + span)
        ticks = axis.ticks()
        assert 1 <= len(ticks) <= 7
        assert all(-1e-6 <= axis.place(tick) <= 1 + 1e-6 for tick in ticks)

    def test_an_axis_around_numbers(self):
        axis = axis_around("loss", [0.5, math.nan, 1.5, math.inf])
        assert axis.low < 0.5 and axis.high > 1.5
        assert axis_around("loss", [2.0, 2.0]).low < 2 < axis_around("loss", [2.0]).high
        assert axis_around("loss", []).high > 0
        logarithmic = axis_around("texts", [0, 100, 1000], log_x=True)
        assert 0 < logarithmic.low < 100 and logarithmic.log


def test_a_picture_has_a_title_and_a_description():
    svg = line_chart("one", "A title", "What it shows.", UNIT, UNIT, [Line("line", [0, 1], [0, 1])])
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img" and root.get("aria-labelledby") == "one-title one-desc"
    assert root.find(f"{SVG}title").text == "A title" and root.find(f"{SVG}title").get("id") == "one-title"
    assert root.find(f"{SVG}desc").text == "What it shows." and root.find(f"{SVG}desc").get("id") == "one-desc"


def test_lines_differ_without_colour():
    lines = [Line(str(number), [0, 1], [0, 1]) for number in range(4)]
    svg = line_chart("one", "", "", UNIT, UNIT, lines)
    assert len(set(re.findall(r'stroke="#\w+" stroke-width="2" stroke-dasharray="([^"]*)"', svg))) == 4


def test_a_number_that_is_missing_leaves_a_gap():
    line = Line("line", [0, 0.5, 1, 0.2, 0.3], [0.1, math.nan, 0.5, 0.6, 0.7])
    svg = line_chart("one", "", "", UNIT, UNIT, [line])
    assert "nan" not in svg
    assert svg.count('stroke-width="2"') == 3  # two parts of the line, and the sample in the legend


def test_error_bars_and_marks():
    line = Line("line", [10, 100], [0.5, 0.6], low=[0.4, 0.5], high=[0.6, 0.7], markers=True)
    svg = line_chart("one", "", "", Axis("x", 5, 200, log=True), UNIT, [line], [Mark(50, "here")], "perfect")
    assert svg.count('stroke-width="1.3"') == 2
    assert {"line", "here", "perfect", "x", "axis"} <= set(texts_of(svg))


def test_bars_are_as_high_as_their_numbers():
    svg = bar_chart("one", "", "", UNIT, UNIT, np.array([0, 0.5, 1]), [Bars("bars", [0.5, math.nan])])
    (bar,) = re.findall(r'd="M[\d.]+ ([\d.]+)V([\d.]+)h[\d.]+V', svg)
    bottom, top = map(float, bar)
    svg = bar_chart("one", "", "", UNIT, UNIT, np.array([0, 0.5, 1]), [Bars("bars", [1.0, 0.0])])
    ((_, full),) = re.findall(r'd="M[\d.]+ ([\d.]+)V([\d.]+)h[\d.]+V', svg)
    assert bottom - top == pytest.approx((bottom - float(full)) / 2, abs=0.2)


def test_rows_of_intervals():
    rows = [Row("a", [(0.5, 0.4, 0.6), None]), Row("b" * 100, [(0.1, math.nan, math.nan), (0.2, 0.1, 0.3)])]
    svg = interval_chart("one", "", "", UNIT, ["model", "baseline"], rows)
    assert "a" in texts_of(svg)
    assert any(text.startswith("bbb") and text.endswith("…") for text in texts_of(svg))
    assert "nan" not in svg


def test_everything_lies_inside_of_the_picture():
    lines = [Line(f"a long name of a line {number}", [-5, 5], [-5, 5]) for number in range(6)]
    root = ElementTree.fromstring(line_chart("one", "", "", UNIT, UNIT, lines))
    _, _, width, height = map(float, root.get("viewBox").split())
    assert width == WIDTH
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x")) <= width and 0 <= float(text.get("y")) <= height


def test_texts_do_not_become_markup():
    svg = line_chart("one", HOSTILE, HOSTILE, Axis(HOSTILE), UNIT, [Line(HOSTILE, [0], [0])], [Mark(0.5, HOSTILE)])
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(svg).iter()}
    assert tags == {"svg", "title", "desc", "text", "path", "g"}
    assert "\x1b" not in svg and svg.encode("utf-8")
