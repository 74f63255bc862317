"""The report of a comparison of two sets of texts."""

import json
import os

import numpy as np
import pytest

from evaluation.drift import Distance, Drift, TextSums, WordShare
from evaluation.report.drift_report import (
    TextSet,
    as_json,
    mean_interval,
    report_lines,
    summarize,
    verdict,
)
from system.output.display import display_width
from text.labels import SENTIMENT, LabelSet

SMALL, LARGE, CHANCE = Distance(0.0015, 0.001, 0.001), Distance(0.1, 0.01, 0.001), Distance(0.01, 0.01, 0.4)
PROBABILITIES = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [np.nan, np.nan]])
WORDS = {7: "房间", 8: "\x1b[31m"}


def text_set(source, predictions=None):
    sums = TextSums(np.ones((9, 2), np.float32))
    sums.add(["好", "房间大", "好"], [[3], [7, 8], [3]])
    return TextSet(source, sums, 0.25, predictions)


def test_the_interval_of_a_mean():
    assert mean_interval(np.array([0.5, 0.7])) == pytest.approx((0.6, 0.6 - 0.1386, 0.6 + 0.1386), abs=1e-4)


class TestSummarize:
    def test_two_labels(self):
        found = summarize(SENTIMENT, PROBABILITIES, threshold=0.7)
        assert (found.num_texts, found.num_unknown) == (4, 1)
        assert found.confidence.value == pytest.approx((0.9 + 0.8 + 0.4) / 3)
        assert {name: share.value for name, share in found.shares.items()} == {"负面": 2 / 3, "正面": 1 / 3}

    def test_several_labels(self):
        labels = LabelSet(("甲", "乙", "丙"), multi_label=True)
        found = summarize(labels, np.array([[0.9, 0.6, 0.1], [0.7, 0.2, 0.1]]), threshold=None)
        assert {name: share.value for name, share in found.shares.items()} == {"甲": 1, "乙": 0.5, "丙": 0}
        assert found.confidence.value == pytest.approx((0.6 + 0.7) / 2)

    def test_nothing_known(self):
        found = summarize(SENTIMENT, np.full((2, 2), np.nan), threshold=0.7)
        assert found == (2, 2, None, {})


@pytest.mark.parametrize(
    ("words", "vectors", "beginning", "p_value"),
    [
        (LARGE, CHANCE, "Drift: the texts differ more than random samples of one source would", 0.002),
        (CHANCE, LARGE, "Drift: ", 0.002),
        (SMALL, CHANCE, "No drift that matters: the texts differ more than by chance", 0.002),
        (CHANCE, CHANCE, "No drift: the texts differ no more than random samples of one source would", 0.8),
    ],
)
def test_the_verdict(words, vectors, beginning, p_value):
    found = verdict(Drift((60, 60), words, vectors, []))
    assert found.startswith(beginning) and f"(p = {p_value:.3f} for both tests together)" in found


class TestReport:
    @pytest.fixture
    def drift(self):
        return Drift((60, 60), LARGE, CHANCE, [WordShare(7, 0.002, 0.0, 0.01), WordShare(8, 0.001, 0.01, 0.0)])

    def test_the_lines(self, drift):
        sets = [text_set(name, summarize(SENTIMENT, PROBABILITIES, 0.7)) for name in ("a.csv", "b.csv")]
        lines = [line.split() for line in report_lines(sets, drift, WORDS.get)]
        assert ["Texts", "3", "3"] in lines and ["different", "ones,", "about", "2", "2"] in lines
        assert ["median", "length,", "characters", "1", "1"] in lines and ["unknown", "25.00%", "25.00%"] in lines
        assert ["正面", "33.3%", "(6.1%–79.2%)", "33.3%", "(6.1%–79.2%)"] in lines
        assert ["房间", "0.000", "10.000", "0.00200"] in lines
        assert ["words,", "bits", "0.10000", "0.01000", "0.001"] in lines

    def test_columns_are_aligned(self, drift):
        lines = report_lines([text_set("a"), text_set("b")], drift, WORDS.get)
        assert {display_width(line) for line in lines if "0.00" in line and "p =" not in line} == {32 + 3 * 24}

    def test_without_predictions_for_both_there_are_none(self, drift):
        unknown = summarize(SENTIMENT, np.full((2, 2), np.nan), 0.7)
        for second, is_shown in ((None, False), (unknown, True)):
            sets = [text_set("a", summarize(SENTIMENT, PROBABILITIES, 0.7)), text_set("b", second)]
            lines = report_lines(sets, drift, WORDS.get)
            assert any(line.startswith("Predictions") for line in lines) == is_shown
            assert any("正面" in line and line.endswith("–") for line in lines) == is_shown

    def test_the_numbers_are_json(self, drift):
        sets = [text_set("a.csv", summarize(SENTIMENT, PROBABILITIES, 0.7)), text_set("b.csv")]
        content = json.loads(json.dumps(as_json(sets, drift, WORDS.get), allow_nan=False))
        assert content["reference"]["source"] == "a.csv" and content["reference"]["length_95"] == 3
        assert content["reference"]["predictions"]["label_shares"]["正面"]["value"] == pytest.approx(1 / 3)
        assert "predictions" not in content["current"]
        assert content["words"][0] == {"token": "房间", "bits": 0.002, "reference": 0.0, "current": 0.01}
        assert content["is_drift"] and content["p_value"] == 0.002

    def test_the_name_of_a_file_need_not_be_utf8(self, drift):
        source = os.fsdecode(b"\xff\xe5\xa5\xbd.csv")
        content = as_json([text_set(source), text_set("b.csv")], drift, WORDS.get)
        assert json.dumps(content, ensure_ascii=False).encode("utf-8")
        assert content["reference"]["source"] == "\\udcff好.csv"
