"""Tests of evaluation/report/page/language.py: the language of a locale, and numbers in sentences."""

import math

import pytest

from evaluation.analysis.intervals import Interval
from evaluation.report.page.language import Language, default_language, percent, percent_interval, points


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_HK"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN", "LC_ALL": ""}, "zh"),
    ],
)
def test_the_language_of_a_locale(environment, expected):
    assert default_language(environment) == expected


def test_a_sentence_in_each_language():
    assert Language("en")("text", "文本") == "text"
    assert Language("zh")("text", "文本") == "文本"
    assert Language("zh").join(["a", "b"]) == "a、b"


def test_numbers():
    assert percent(0.9079) == "90.8%" and percent(math.nan) == "–"
    assert points(-0.0123) == "-1.2" and points(0.1) == "+10.0"
    assert percent_interval(Interval(0.9, 0.85, 0.95)) == "90.0% [85.0,\xa095.0]"
    assert percent_interval(Interval(0.9, math.nan, math.nan)) == "90.0%"
