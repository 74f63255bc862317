"""The width of text at a terminal, where a Chinese character is two columns wide."""

import unicodedata

ZERO_WIDTH = ("Mn", "Me", "Cf")  # Unicode categories of characters without a column of their own
ELLIPSIS = "…"


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
