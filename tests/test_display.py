"""Text at a terminal: what it may not do, its width, and texts that fill a width; and the progress of long work."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import system.output.display
from system.output.display import UNSHOWN, display_width, ljust, printable, progress, rjust, say, shorten, show

WIDTHS = st.integers(1, 30)


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("ab", 2), ("愤怒", 4), ("é", 1), ("e\u0301", 1), ("Ａ", 2), ("，！", 4), ("😀", 2), ("好a", 3)],
)
def test_a_chinese_character_is_two_columns_wide(text, width):
    assert display_width(text) == width


HOSTILE = "\x1b]0;a\x07b\x9b2J\x7f\r\u202e\u2066\u2028\u200b\U000e0041"
SPELT_OUT = "\\u001b]0;a\\u0007b\\u009b2J\\u007f\\r\\u202e\\u2066\\u2028\\u200b\\udb40\\udc41"


def test_characters_that_a_terminal_obeys_or_hides_are_spelt_out():
    assert printable(HOSTILE) == SPELT_OUT
    assert printable("👨\u200d👩 好\ta\nb", keep="\t\n") == "👨\u200d👩 好\ta\nb"
    assert printable("a\nb") == "a\\nb"


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.from_regex(UNSHOWN))
def test_nothing_hostile_is_left_and_json_stays_the_same(text):
    assert not UNSHOWN.search(printable(text))
    assert json.loads(printable(json.dumps([text], ensure_ascii=False))) == [text]


def test_lines_on_both_streams(capsys):
    show(HOSTILE)
    say(HOSTILE)
    assert tuple(capsys.readouterr()) == (f"{SPELT_OUT}\n", f"{SPELT_OUT}\n")


@given(st.text(max_size=20), WIDTHS)
def test_filled_texts_have_the_width_and_keep_their_characters(text, width):
    for filled in (ljust(text, width), rjust(text, width)):
        assert display_width(filled) == max(width, display_width(text))
    assert ljust(text, width).startswith(text) and rjust(text, width).endswith(text)


@given(st.text(max_size=20), WIDTHS)
def test_shortened_texts_fit_on_one_line(text, width):
    shortened = shorten(text, width)
    assert display_width(shortened) <= width
    assert shortened.isprintable()


def test_only_a_text_that_is_too_wide_is_cut():
    assert shorten("无情绪", 6) == "无情绪"
    assert shorten("无情绪", 5) == "无情…"
    assert shorten("anger\nand\x1b[31m rage", 40) == "anger and [31m rage"


class TestProgress:
    def test_items_remain_what_they_are(self, capsys):
        assert list(progress(iter("abc"), "reading", " rows")) == ["a", "b", "c"]
        assert capsys.readouterr().err == "", "short work shows none"

    def test_long_work_is_shown(self, capsys, monkeypatch):
        monkeypatch.setattr(system.output.display, "SECONDS_WITHOUT_PROGRESS", 0)
        assert sum(progress(range(3), "reading a.csv", " rows", 3)) == 3
        assert "reading a.csv:" in capsys.readouterr().err
