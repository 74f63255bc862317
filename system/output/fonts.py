"""The choice of fonts for a plot, so that Chinese names are letters and not boxes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

# The usual fonts of Linux, macOS and Windows with Chinese characters, the most suitable for a plot first.
PREFERRED = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # the first font of the file that contains the one above
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "STHeiti",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Noto Sans CJK TC",
    "Noto Sans CJK HK",
    "Microsoft JhengHei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)
LAST_RESORT = "Last Resort"  # its glyph for every character is a box
REGULAR_WEIGHTS = (400, "normal", "regular")


@functools.cache
def font_families(text: str) -> tuple[str, ...] | None:
    """Return the families of installed fonts that together have every character of a text; None if there are none.

    The default one comes first. Matplotlib takes each character from the first family that has it.
    """
    from matplotlib import font_manager

    families = font_manager.FontProperties().get_family()  # of the user's settings
    default = font_manager.findfont(font_manager.FontProperties())
    missing = _missing(default, default.face_index, text)
    if not missing:
        return tuple(families)
    for font in sorted(font_manager.fontManager.ttflist, key=_rank):
        if not font.name.startswith(LAST_RESORT) and not _missing(font.fname, font.index, missing):
            return (*families, font.name)
    return None


def _rank(font: FontEntry) -> tuple:
    """Return a key that is smaller for a better font."""
    rank = PREFERRED.index(font.name) if font.name in PREFERRED else len(PREFERRED)
    return rank, font.style != "normal", font.weight not in REGULAR_WEIGHTS, font.name, font.fname


def _missing(path: str, index: int, text: str) -> str:
    """Return the characters of a text that a font does not have; all of them if it is unreadable.

    Args:
        index: the number of the font in its file.
    """
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path, face_index=index)
    except (OSError, RuntimeError):  # removed or damaged since matplotlib listed the fonts
        return text
    return "".join(character for character in text if not font.get_char_index(ord(character)))
