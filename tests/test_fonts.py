"""The choice of fonts: every character has a font that really has it, or there is none."""

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from system.output.fonts import font_families

UNASSIGNED = "\U0003fffd"  # no font has it


@pytest.fixture(autouse=True)
def no_earlier_choice():
    font_families.cache_clear()
    yield
    font_families.cache_clear()


def test_english_names_are_in_the_usual_font():
    assert font_families("negative, positive") == tuple(matplotlib.rcParams["font.family"])


def test_a_font_is_found_that_has_the_characters():
    # A mathematical letter of a font that comes with matplotlib, as a Chinese character would be.
    *usual, family = font_families("a𝔘")
    assert usual == matplotlib.rcParams["font.family"]
    path = font_manager.findfont(font_manager.FontProperties(family=[family]), fallback_to_default=False)
    assert FT2Font(str(path)).get_char_index(ord("𝔘"))


def test_a_font_of_boxes_is_no_font():
    assert font_families(UNASSIGNED) is None


def test_a_font_that_has_disappeared_is_passed_over(monkeypatch, tmp_path):
    gone = font_manager.FontEntry(fname=str(tmp_path / "gone.ttf"), name="Noto Sans CJK SC", weight=400)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [gone])
    assert font_families("怒") is None
