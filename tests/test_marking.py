"""Show an explanation at a terminal, through a pipe, and as an HTML page."""

import dataclasses
import io
import re
from html.parser import HTMLParser

import pytest
from arrays import logits_of
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.explanation.marking import html_page, marked_for_terminal, wants_colour, windows_for_terminal
from serving.explanation.occlusion import Explanation, Word
from serving.explanation.window_influence import InfluentialWindow
from serving.prediction import Prediction
from system.output.display import display_width

ESCAPE = re.compile("\x1b\\[[0-9;]*m")
CONTROLS = "\x1b[2J\x07\x9b\u202e\r"  # characters that a terminal would obey


def explanation_of(*parts, probability=0.8, labels=("正面", "负面"), **fields):
    """Return the explanation of a text made of words, (text, effect), and of strings between them.

    Args:
        labels: the label that is explained, and the other one if there are only two.
    """
    words, text = [], ""
    for part in parts:
        if isinstance(part, tuple):
            words.append(Word(part[0], len(text), len(text) + len(part[0]), part[1]))
            part = part[0]
        text += part
    logit = float(logits_of([probability])[0, 0])
    return Explanation(Prediction(text, "正面", probability, probability, **fields), words, logit, *labels)


MIXED = explanation_of(("房间", 0.2), ("很干净", 4.0), " ，", ("but", -0.8), ("太差", -2.0), ("k", 1.0), "。\n")
PARTS = st.lists(st.text() | st.tuples(st.text(min_size=1), st.floats(-40, 40)), min_size=1, max_size=8)
LABELS = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=2, unique=True)
ANY_EXPLANATION = st.builds(lambda parts, labels: explanation_of(*parts, labels=labels), PARTS, LABELS)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestColour:
    @pytest.fixture(autouse=True)
    def a_terminal_of_colours(self, monkeypatch):
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")

    def test_a_terminal_and_a_pipe(self):
        assert wants_colour(Terminal())
        assert not wants_colour(io.StringIO())

    @pytest.mark.parametrize(("value", "expected"), [("1", False), ("0", False), ("", True)])
    def test_no_color(self, monkeypatch, value, expected):
        monkeypatch.setenv("NO_COLOR", value)
        assert wants_colour(Terminal()) is expected

    def test_a_terminal_without_colours(self, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        assert not wants_colour(Terminal())


class TestTerminal:
    def test_brackets_without_colour(self):
        first, empty, *_ = marked_for_terminal(MIXED, colour=False).split("\n")
        assert first == "房间[+很干净] ，but[-太差][+k]。"
        assert empty == ""

    def test_colours(self):
        shown = marked_for_terminal(MIXED, colour=True).split("\n")[0]
        assert ESCAPE.sub("", shown) == "房间很干净 ，but太差k。"
        marked = re.findall("\x1b\\[([0-9;]+)m(.*?)\x1b\\[0m", shown)
        assert [word for _, word in marked] == ["很干净", "太差", "k"]
        assert len({style for style, _ in marked}) == 3  # strong green, red, weak green

    def test_the_table(self):
        assert marked_for_terminal(MIXED, colour=False).split("\n")[2:] == [
            "  towards 正面    towards 负面",
            "   +4.00  很干净   -2.00  太差",
            "   +1.00  k        -0.80  but",
            "   +0.20  房间",
        ]

    def test_the_table_of_one_label_of_several(self):
        explanation = explanation_of(("气", 2.0), ("好", -1.0), labels=("愤怒",))
        assert marked_for_terminal(explanation, colour=False).split("\n") == [
            "[+气][-好]",
            "  towards 愤怒  away from 愤怒",
            "   +2.00  气     -1.00  好",
        ]

    def test_a_table_of_one_column(self):
        shown = marked_for_terminal(explanation_of(("差", -12.5), probability=0.1), colour=False)
        assert shown.split("\n") == ["[-差]", "  towards 负面", "  -12.50  差"]

    def test_nothing_to_mark(self):
        assert marked_for_terminal(explanation_of(("好", 0.0)), colour=True) == "好"

    @given(
        words=st.lists(st.tuples(st.text("很a，e\u0301😀ｗ[", min_size=1), st.floats(-40, 40)), min_size=1, max_size=8)
    )
    def test_the_second_column_is_aligned(self, words):
        explanation = explanation_of(*words)
        *_, table = re.split("^(?=  towards)", marked_for_terminal(explanation, colour=False), flags=re.MULTILINE)
        strongest = explanation.strongest(3)
        other = explanation.pushing(-1 if strongest and strongest[0].effect > 0 else 1)[:3]
        if not strongest or not other:
            return
        header, *rows = table.split("\n")
        assert len(rows) == max(len(strongest), len(other))
        begin = display_width(header[: header.rindex("towards")])
        for row, word in zip(rows, other, strict=False):
            cell = f"{word.effect:+6.2f}  {word.text}"
            assert row.endswith(f"  {cell}")
            assert display_width(row) - display_width(cell) == begin

    @pytest.mark.parametrize("colour", [True, False])
    def test_a_label_cannot_control_the_terminal(self, colour):
        explanation = explanation_of(("好", 1.0), labels=(f"正{CONTROLS}", "负"))
        assert "\x1b" not in ESCAPE.sub("", marked_for_terminal(explanation, colour))
        window = InfluentialWindow(f"正{CONTROLS}", 0, 1, "好", 0.8, 1.0)
        assert not set(CONTROLS) - set("[2J") & set(windows_for_terminal([window]))

    @pytest.mark.parametrize("colour", [True, False])
    def test_a_text_cannot_control_the_terminal(self, colour):
        shown = marked_for_terminal(explanation_of(CONTROLS, (f"好{CONTROLS}", 1.0), CONTROLS), colour)
        assert not set(CONTROLS) - {"\x1b"} - set("[2J") & set(shown)
        assert "\x1b" not in ESCAPE.sub("", shown)
        assert "\\u001b[2J\\u0007\\u009b\\u202e\\r" in shown

    def test_lines_stay_lines(self):
        shown = marked_for_terminal(explanation_of("好\r\n", ("坏\n了", -1.0), "\t。"), colour=False)
        assert shown.split("\n")[:3] == ["好", "[-坏", "了]\t。"]
        assert shown.split("\n")[-1] == "   -1.00  坏 了"


class TestWindows:
    def test_a_line_for_each_window(self):
        windows = [
            InfluentialWindow("正面", 104, 208, "房间很干净…", 0.98123, 0.914),
            InfluentialWindow("正面", 0, 104, "早餐难吃", 0.2, -0.086),
        ]
        assert windows_for_terminal(windows).split("\n") == [
            "  towards 正面  probability  characters  window",
            "          +91%       0.9812     104-208  房间很干净…",
            "           -9%       0.2000       0-104  早餐难吃",
        ]

    def test_no_window(self):
        assert windows_for_terminal([]) == ""


class Page(HTMLParser):
    """A page as a browser reads it: its elements, their attributes, and the texts of its paragraphs."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes, self.paragraphs, self.headings, self.open = [], [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)
        if tag == "p":
            self.paragraphs.append("")
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "p" in self.open:
            self.paragraphs[-1] += data
        if "h2" in self.open:
            self.headings[-1] += data


class TestPage:
    ELEMENTS = {"html", "head", "meta", "title", "style", "body", "article", "h2", "p", "mark", "footer"}

    def test_the_policy_allows_no_script_and_nothing_from_elsewhere(self):
        hostile = '<script>alert(1)</script><img src="//b/x" onerror=a>'
        parsed = Page(html_page([explanation_of(hostile, (hostile, 1.0), labels=(hostile, hostile))]))
        assert set(parsed.elements) <= self.ELEMENTS
        assert {name for name, _ in parsed.attributes} <= {
            *("lang", "charset", "name", "content", "http-equiv", "class", "style", "title")
        }
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        assert [("http-equiv", "Content-Security-Policy"), ("content", policy)] == [
            pair for pair in parsed.attributes if "Policy" in pair[1] or "default-src" in pair[1]
        ]

    def test_all_texts_with_their_predictions(self):
        without_prediction = Explanation(Prediction("\ud83d<", problem="the text is <not> valid Unicode"), [])
        truncated = dataclasses.replace(explanation_of(("好", 1.0), "…"), remark="(only a part was read)")
        page = html_page([MIXED, without_prediction, truncated])
        assert page.encode("utf-8").startswith(b"<!doctype html>")
        parsed = Page(page)
        assert parsed.paragraphs == [MIXED.prediction.text, "\\ud83d<", "好…"]
        assert parsed.headings == [
            "正面 0.8000",
            "the text is <not> valid Unicode",
            "正面 0.8000 (only a part was read)",
        ]
        assert parsed.elements.count("mark") == 6

    def test_green_and_red_by_strength(self):
        marks = re.findall('<mark [^>]*style="background: ([^"]+)" title="([^"]+)">', html_page([MIXED]))
        assert {effect: colour for colour, effect in marks} == {
            "+0.20": "hsl(130 75% 55% / 0.05)",
            "+4.00": "hsl(130 75% 55% / 1.00)",
            "-0.80": "hsl(0 75% 55% / 0.20)",
            "-2.00": "hsl(0 75% 55% / 0.50)",
            "+1.00": "hsl(130 75% 55% / 0.25)",
        }

    def test_lines_below_strong_words_differ_by_direction(self):
        kinds = re.findall('<mark class="([^"]+)"', html_page([MIXED]))
        assert kinds == ["for", "for strong", "against", "against strong", "for strong"]

    @settings(max_examples=40)
    @given(explanations=st.lists(ANY_EXPLANATION, max_size=4))
    def test_no_text_and_no_label_becomes_markup(self, explanations):
        parsed = Page(html_page(explanations))
        assert parsed.paragraphs == [explanation.prediction.text for explanation in explanations]
        assert set(parsed.elements) <= self.ELEMENTS
        assert parsed.open == []

    def test_a_text_full_of_markup(self):
        text = "</p><script>alert('1')</script>\"&lt;{articles}%s"
        parsed = Page(html_page([explanation_of(text, (text, 1.0), text, labels=("<b>", "&amp;"))]))
        assert parsed.paragraphs == [text * 3]
        assert set(parsed.elements) <= self.ELEMENTS

    def test_the_footer_says_what_the_colours_mean(self):
        assert "Green words push towards 正面, red words towards 负面." in html_page([MIXED])
        anger = explanation_of(("气", 1.0), labels=("愤怒",))
        assert "Green words push towards 愤怒, red words away from 愤怒." in html_page([anger, anger])

    def test_texts_that_are_explained_for_different_labels(self):
        anger, own = explanation_of(("气", 1.0), labels=("愤怒",)), explanation_of(("好", 1.0), labels=("正面",))
        page = html_page([anger, own])
        assert "Green words push towards the label in the heading, red words away from it." in page
        assert Page(page).headings == ["正面 0.8000 (words marked for 愤怒)", "正面 0.8000"]

    def test_a_text_without_a_label(self):
        none = Explanation(
            Prediction("好", "", 0.2, 0.8, probabilities=(0.2, 0.1)), [Word("好", 0, 1, 1.0)], 0.0, "早餐"
        )
        assert Page(html_page([none])).headings == ["(no label) 0.2000"]

    def test_a_page_without_predictions(self):
        assert "towards the label in the heading" in html_page([Explanation(Prediction("", problem="empty"), [])])

    def test_it_needs_no_other_file(self):
        page = html_page([MIXED])
        names = {name for name, _ in Page(page).attributes}
        assert names == {"lang", "charset", "name", "content", "http-equiv", "class", "style", "title"}
        assert not re.search(r"url\(|@import|https?:", page)
        assert 'charset="utf-8"' in page
