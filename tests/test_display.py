"""Text at a terminal: its width, and texts that fill a width; and the progress of long work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import system.output.display
from system.output.display import display_width, ljust, progress, rjust, shorten

WIDTHS = st.integers(1, 30)


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("ab", 2), ("愤怒", 4), ("é", 1), ("e\u0301", 1), ("Ａ", 2), ("，！", 4), ("😀", 2), ("好a", 3)],
)
def test_a_chinese_character_is_two_columns_wide(text, width):
    assert display_width(text) == width


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
