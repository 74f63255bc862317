"""What a terminal shows: text, of which a Chinese character is two columns wide, and the progress of long work."""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TypeVar

ZERO_WIDTH = ("Mn", "Me", "Cf")  # Unicode categories of characters without a column of their own
ELLIPSIS = "…"
SECONDS_WITHOUT_PROGRESS = 2

Item = TypeVar("Item")


def display_width(text: str) -> int:
    """Return the width of a text in terminal columns: two for a Chinese character, none for a combining accent."""
    return sum(
        (unicodedata.category(character) not in ZERO_WIDTH) * (1 + (unicodedata.east_asian_width(character) in "WF"))
        for character in text
    )


def ljust(text: str, width: int) -> str:
    """Return the text followed by spaces, as `str.ljust` does, but `width` terminal columns wide."""
    return text + " " * (width - display_width(text))


def rjust(text: str, width: int) -> str:
    """Return the text after spaces, as `str.rjust` does, but `width` terminal columns wide."""
    return " " * (width - display_width(text)) + text


def shorten(text: str, width: int) -> str:
    """Return the text on one line of at most `width` terminal columns; if it is cut, it ends in "…".

    Characters that cannot be printed become spaces.
    """
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    if display_width(text) <= width:
        return text
    while display_width(text + ELLIPSIS) > width:
        text = text[:-1]
    return text + ELLIPSIS


def progress(items: Iterable[Item], description: str, unit: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items, and show their number on standard error while that takes more than two seconds.

    Args:
        items: the items.
        description: what is done with them.
        unit: their name after a number, such as " rows".
        total: how many there are, where that is known.
    """
    from tqdm import tqdm  # imported here, because the application needs the width of text alone

    yield from tqdm(
        items,
        description,
        total,
        unit=unit,
        unit_scale=True,
        delay=SECONDS_WITHOUT_PROGRESS,
        leave=False,
        # A log file should not get several lines a second.
        mininterval=0.2 if sys.stderr.isatty() else 15,
    )
