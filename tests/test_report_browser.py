"""The report page in a browser: it fits narrow and wide screens and asks the network for nothing."""

import numpy as np
import pytest
from browser import count_connections, find_browser, screenshot, sizes_of
from PIL import Image
from small_reports import ASPECTS, MANY, TOPICS, small_contents

from evaluation.analysis.power_law import curve_of
from evaluation.report.learning_curve.page import learning_curve_page
from evaluation.report.page.document import report_page
from evaluation.report.page.label_audit_page import DoubtedRow, label_audit_page
from evaluation.report.page.language import Language
from text.labels import SENTIMENT

PHONE, DESKTOP = 380, 1280
LONG = ["房间很大" * 200, "http://example.invalid/" + "x" * 400]
PAPER = 717  # A4 without the margins of Chromium, at 96 pixels an inch


@pytest.fixture(scope="module")
def pages():
    find_browser()
    return [
        report_page(small_contents(label_set), language)
        for label_set in (SENTIMENT, TOPICS, ASPECTS, MANY)
        for language in ("zh", "en")
    ]


def test_no_page_is_wider_than_the_screen(pages, tmp_path):
    wanted = [(page, width) for page in pages for width in (PHONE, DESKTOP)]
    for (_, width), (view, content, height) in zip(wanted, sizes_of(wanted, tmp_path), strict=True):
        assert content <= view <= width
        assert height > 2000


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_other_pages_are_no_wider_than_the_screen(tmp_path, language):
    rows = [DoubtedRow("long-name" * 9 + ".csv", 123456, text, "负面", "正面", 0.01, "x" * 90) for text in LONG]
    audit = label_audit_page(rows, 10_000, 321, "long-name" * 9 + "/label_audit.csv", language)
    sizes = np.repeat([100_000, 200_000, 400_000, 800_000], 2)
    curves = {name: curve_of(sizes, 1 / sizes**exponent) for name, exponent in (("Mini-BERT", 0.2), ("TF-IDF", 0.1))}
    table = [["part", "texts", *["accuracy", "baseline"] * 3], ["1/16", "100,000", *["0.879 ± 0.007"] * 6]]
    curve = learning_curve_page(curves, "accuracy", ["x" * 90, "sentence"], table, Language(language))
    wanted = [(page, width) for page in (audit, curve) for width in (PHONE, DESKTOP)]
    for (_, width), (view, content, _) in zip(wanted, sizes_of(wanted, tmp_path), strict=True):
        assert content <= view <= width


def test_a_printed_page_is_no_wider_than_the_paper(pages, tmp_path):
    printed = [(page.replace("@media print", "@media all"), PAPER) for page in pages]
    for (page, _), (view, content, _) in zip(printed, sizes_of(printed, tmp_path), strict=True):
        assert page.count("@media all") == 1
        assert content <= view


def test_too_wide_a_page_is_noticed(tmp_path):
    ((view, content, _),) = sizes_of([('<div style="width: 500px">wide</div>', PHONE)], tmp_path)
    assert content > view


def test_a_page_opens_no_connection(pages, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(pages[0], encoding="utf-8")
    assert count_connections(path, tmp_path) == 0
    # Another page does, so that the count means something.
    path.write_text('<img src="http://example.invalid/x.png">', encoding="utf-8")
    assert count_connections(path, tmp_path) > 0


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_screenshot_has_the_colours_of_the_page(pages, tmp_path, width):
    path = tmp_path / "report.html"
    path.write_text(pages[1], encoding="utf-8")
    with Image.open(screenshot(path, tmp_path, width, 2400)) as picture:
        assert picture.width == width
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x22, 0x22, 0x22)} <= colours  # lines, markers and text
