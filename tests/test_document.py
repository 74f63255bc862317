"""The report page: what it says of each kind of labels, in both languages, and that no text becomes markup."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_reports import ASPECTS, MANY, TOPICS, small_contents

from evaluation.analysis.robustness.measurement import ORIGINAL, ChangedVerdict, PerturbationResult
from evaluation.analysis.robustness.perturbations import PERTURBATIONS
from evaluation.report.page.document import report_page
from text.labels import SENTIMENT, LabelSet

KINDS = {"two": SENTIMENT, "more": TOPICS, "several": ASPECTS, "many": MANY}
CHINESE = re.compile("[\u4e00-\u9fff]")
EVERYWHERE = [
    *("verdict", "overview", "labels", "confusions", "parts", "errors"),
    *("precision-recall", "calibration", "abstention", "training"),
]
VOID = ("meta", "br")


class Page(HTMLParser):
    """The elements of a page, their attributes, the texts outside of marked ones, and what is left open."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def values(self, name):
        return [value for key, value in self.attributes if key == name]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def pages(kind):
    contents = small_contents(KINDS[kind])
    return {language: Page(report_page(contents, language)) for language in ("zh", "en")}


def test_the_sections_of_each_kind_of_labels(kind, pages):
    thresholds = ["thresholds"] if kind in ("two", "several") else []
    for page in pages.values():
        sections = [value for value in page.values("id") if not re.search("-(title|desc)$", value)]
        assert sorted(sections) == sorted([*EVERYWHERE, *thresholds])


def test_the_page_is_well_formed_and_loads_nothing(pages):
    for language, page in pages.items():
        assert page.open == []
        assert page.values("lang") == [language]
        assert "script" not in page.elements and "img" not in page.elements and "link" not in page.elements
        assert {name for name, _ in page.attributes if name in ("src", "srcset", "action", "data")} == set()
        ids = page.values("id")
        assert len(set(ids)) == len(ids)
        assert {f"#{identifier}" for identifier in ids} >= set(page.values("href"))


def test_every_picture_has_a_text(pages):
    for page in pages.values():
        pictures = page.elements.count("svg")
        assert pictures >= 8 and page.values("role").count("img") == pictures
        for label in page.values("aria-labelledby"):
            assert set(label.split()) <= set(page.values("id"))


def test_nothing_odd_is_said(pages):
    for page in pages.values():
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b|\{|\}|  ,", page.text)


def test_each_language_is_alone(kind, pages):
    if kind in ("two", "many"):  # other labels are Chinese themselves, as are all texts and a group
        words = "".join(text for text in pages["en"].texts if "房间" not in text and "酒店" not in text)
        assert CHINESE.findall(words) == []
    # Options and the titles of papers are English too.
    english = set(re.findall(r"(?<![-\w])[a-z]{4,}", pages["zh"].text))
    assert english & {"model", "accuracy", "texts", "confidence", "precision", "threshold", "sure"} == set()


class TestVerdict:
    def test_a_good_model(self):
        text = Page(report_page(small_contents(count=400), "en")).text
        assert "It is better than always answering “positive”" in text
        assert "It is better than TF-IDF with logistic regression" in text
        assert "at a threshold of 0.5" in text and "at 0.7, the threshold of the application" in text

    def test_a_model_that_knows_nothing(self):
        contents = small_contents(TOPICS, count=400, baseline=None)
        contents = small_contents(TOPICS, 400, baseline=None, logits=np.tile([1.0, 0, 0, 0], (400, 1)))
        text = Page(report_page(contents, "en")).text
        assert "It is worse than always answering" in text or "It is not certainly better than" in text

    def test_a_baseline_that_is_better(self):
        contents = small_contents(count=400)
        better = contents.baseline._replace(logits=(8.0 * contents.labels - 4)[:, None])
        text = Page(report_page(small_contents(count=400, baseline=better), "zh")).text
        assert "它不如 TF-IDF 加逻辑回归（准确率 100.0%）" in text

    def test_no_interval_is_a_point(self):
        contents = small_contents(count=400, logits=(8.0 * small_contents(count=400).labels - 4)[:, None])
        text = Page(report_page(contents, "en")).text
        assert "The model is right in 100.0% [99.0" in text

    def test_few_texts(self):
        assert "20 texts are few" in Page(report_page(small_contents(count=20), "en")).text
        assert "texts are few" not in Page(report_page(small_contents(count=400), "en")).text

    def test_an_overconfident_model(self):
        text = Page(report_page(small_contents(count=400, temperature=0.1), "en")).text
        assert "it is too sure on these texts" in text


def test_without_training_texts_and_history():
    contents = small_contents(baseline=None, num_training_texts=None, history=None, groups=None, temperature=1.0)
    page = Page(report_page(contents, "en"))
    assert "TF-IDF is not compared" in page.text
    assert "TF-IDF + logistic regression" not in page.text
    assert "training" not in page.values("id")
    assert "at temperature 1" not in page.text


@pytest.mark.parametrize("label_set", KINDS.values(), ids=KINDS)
def test_one_text_and_one_label_alone(label_set):
    count = len(label_set.names)
    for rows in ([0], list(range(count))):
        labels = np.zeros((len(rows), count) if label_set.multi_label else len(rows), np.int64)
        logits = np.zeros((len(rows), label_set.num_outputs))
        contents = small_contents(label_set, count)
        contents = small_contents(
            label_set,
            count,
            texts=["好"] * len(rows),
            labels=labels,
            logits=logits,
            num_windows=np.ones(len(rows), int),
            groups=None,
            baseline=contents.baseline._replace(logits=logits),
        )
        page = Page(report_page(contents, "en"))
        assert not re.search(r"\bnan\b|\binf\b", page.text)


def test_results_of_small_changes():
    worst = [
        ChangedVerdict("房间<b>很干净", "房间<b>恨干净", "正面", 0.91, 0.12),
        ChangedVerdict("好", "", "正面", 0.9, np.nan),
    ]
    results = [
        PerturbationResult(ORIGINAL, 0.9, 0.0, []),
        *(PerturbationResult(name, 0.85, 0.08, worst) for name in PERTURBATIONS),
    ]
    contents = small_contents(robustness=results, num_perturbed=1000)
    pages = {language: Page(report_page(contents, language)) for language in ("en", "zh")}
    for page in pages.values():
        assert "robustness" in page.values("id")
        assert {"85.0%", "8.0%", "房间<b>恨干净", "0.910", "0.120"} <= set(page.texts)
        assert not re.search(r"\bnan\b", page.text)
    assert {*PERTURBATIONS} <= set(pages["en"].texts)
    assert not {*PERTURBATIONS} & set(pages["zh"].texts), "a perturbation lacks its Chinese name"


@settings(max_examples=15)
@given(hostile=st.text(min_size=1).filter(str.strip), surrogate=st.sampled_from(["", "\ud800"]))
def test_no_text_becomes_markup(hostile, surrogate):
    hostile = f"<script>{hostile}</title>{surrogate}"
    contents = small_contents(
        count=20,
        model_name=hostile,
        data_name=hostile,
        texts=[hostile] * 20,
        groups=[hostile, "other"] * 10,
        label_set=LabelSet(("<b>", "</table>&amp;")),
    )
    content = report_page(contents, "en")
    assert content.encode("utf-8")
    page = Page(content)
    assert page.open == [] and "script" not in page.elements and "b" in page.elements
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", content)
