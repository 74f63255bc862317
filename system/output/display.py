"""What a terminal shows: text, of which a Chinese character is two columns wide, and the progress of long work."""

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TypeVar

ZERO_WIDTH = ("Mn", "Me", "Cf")  # Unicode categories of characters without a column of their own
ELLIPSIS = "…"
SECONDS_WITHOUT_PROGRESS = 2
# Characters that a terminal obeys or hides instead of showing them: controls, line separators, marks that reverse the
# direction of the text, and invisible ones. Those that join emoji and letters, U+200C and U+200D, are not among them.
UNSHOWN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

Item = TypeVar("Item")


def printable(text: str, keep: str = "") -> str:
    """Return a text from a stranger for a terminal: each character of `UNSHOWN` is spelt out, such as `\\u001b`.

    A line of JSON remains the same JSON.

    Args:
        keep: characters of `UNSHOWN` to leave as they are, such as a newline.
    """
    return UNSHOWN.sub(lambda found: found[0] if found[0] in keep else _spelt_out(found[0]), text)


def _spelt_out(character: str) -> str:
    units = character.encode("utf-16-be").hex(" ", 2).split()
    return SHORT_ESCAPES.get(character) or "".join(f"\\u{unit}" for unit in units)


def show(line: str) -> None:
    """Print a line to standard output, where it cannot control the terminal; see `printable`."""
    print(printable(line))


def say(message: str, keep: str = "") -> None:
    """Print a message to standard error, where it cannot control the terminal; see `printable`."""
    print(printable(message, keep), file=sys.stderr)


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
        printable(description),
        total,
        unit=unit,
        unit_scale=True,
        delay=SECONDS_WITHOUT_PROGRESS,
        leave=False,
        # A log file should not get several lines a second.
        mininterval=0.2 if sys.stderr.isatty() else 15,
    )
