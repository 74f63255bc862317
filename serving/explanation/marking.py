"""Show an explanation: marked words and windows at a terminal, or an HTML page that needs no other file."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import IO

from serving.explanation.occlusion import Explanation, Word
from serving.explanation.window_influence import InfluentialWindow
from serving.prediction import NO_LABEL
from system.output.display import display_width, ljust, printable, rjust
from system.output.page import page

STRONGEST_SHOWN = 3  # in each direction
WEAKEST_MARKED = 0.25  # as a fraction of the strongest effect; if every word is marked, none stands out
# Backgrounds of the 256-colour palette, from weak to strong, each with a readable text colour.
GREENS, REDS = (
    ("48;5;194;38;5;16", "48;5;120;38;5;16", "48;5;34;38;5;231"),
    ("48;5;224;38;5;16", "48;5;217;38;5;16", "48;5;160;38;5;231"),
)
STYLE = """
body { font-size: 18px; line-height: 1.9; max-width: 46em; }
article { border-top: 1px solid #ccc; padding: 1em 0; }
h2 { font-size: 1em; margin: 0; }
p { white-space: pre-wrap; margin: .3em 0; }
mark { color: inherit; border-radius: .2em; padding: .1em 0; }
.strong { text-decoration: underline; }
.strong.against { text-decoration-style: dotted; }
footer { color: #666; font-size: .8em; }
"""
# The directions of a page whose texts are explained for different labels.
VARIOUS_DIRECTIONS = ("towards the label in the heading", "away from it")


def wants_colour(stream: IO[str]) -> bool:
    """Return whether to write colours to `stream`: to a terminal, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def marked_for_terminal(explanation: Explanation, colour: bool) -> str:
    """Return the text with its words marked, and a table of the strongest words.

    Without colour, [+…] marks a word that pushes towards the label that is explained, such as 正面, and [-…] one that
    pushes away from it.

    Args:
        explanation: a prediction with its words.
        colour: whether to mark words with colours.
    """
    text, words = explanation.prediction.text, explanation.words
    parts, done = [], 0
    for word, strength in zip(words, _relative_strengths(words), strict=True):
        parts.append(_escape_controls(text[done : word.start]))
        parts.append(_marked(word, strength, colour))
        done = word.end
    parts.append(_escape_controls(text[done:]))
    return "\n".join(["".join(parts), *_table(explanation)])


def windows_for_terminal(windows: Sequence[InfluentialWindow]) -> str:
    """Return a table of the windows of a text, all for the same label; "" without a window."""
    if not windows:
        return ""
    rows = [(f"towards {printable(windows[0].label)}", "probability", "characters", "window")]
    for window in windows:
        place = f"{window.start}-{window.end}"
        rows.append((f"{window.share:+.0%}", f"{window.probability:.4f}", place, window.excerpt))
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)][:-1]
    padded = ([*map(rjust, numbers, widths), excerpt] for *numbers, excerpt in rows)
    return "\n".join("  ".join(["", *row]) for row in padded)


def html_page(explanations: Sequence[Explanation]) -> str:
    """Return an HTML page with the texts, their words marked, and their predictions."""
    found = {explanation.directions for explanation in explanations if explanation.label is not None}
    is_one_label = len(found) == 1
    directions = found.pop() if is_one_label else VARIOUS_DIRECTIONS
    articles = "\n".join(_article(explanation, name_label=not is_one_label) for explanation in explanations)
    pushes = [html.escape(direction) for direction in directions]
    footer = (
        f"<footer>Green words push {pushes[0]}, red words {pushes[1]}. Hover over a word to see its effect on the "
        "logit.</footer>"
    )
    return page("Mini-BERT", f"{articles}\n{footer}", STYLE, language="zh")


def marked_as_html(explanation: Explanation, end: int | None = None, escape: Callable[[str], str] = html.escape) -> str:
    """Return the text as HTML, in which words are marked with a colour, and strong ones with a line below them.

    Args:
        explanation: a prediction with its words.
        end: where to cut the text, which is where a word ends; None for the whole text.
        escape: turns plain text into HTML.
    """
    text, parts, done = explanation.prediction.text, [], 0
    for word, strength in zip(explanation.words, _relative_strengths(explanation.words), strict=True):
        parts.append(escape(text[done : word.start]))
        hue, kind = (130, "for") if word.effect > 0 else (0, "against")
        kind += " strong" if strength >= WEAKEST_MARKED else ""
        parts.append(
            f'<mark class="{kind}" style="background: hsl({hue} 75% 55% / {strength:.2f})" title="{word.effect:+.2f}">'
            f"{escape(word.text)}</mark>"
        )
        done = word.end
    return "".join([*parts, escape(text[done:end])])


def _article(explanation: Explanation, name_label: bool) -> str:
    """Return the article of a text.

    Args:
        explanation: a prediction with its words.
        name_label: whether the heading must name the label that is explained, if the text has another one.
    """
    prediction = explanation.prediction
    if prediction.problem:
        text = prediction.text.encode("utf-8", "backslashreplace").decode("utf-8")
        return f"<article><h2>{html.escape(prediction.problem)}</h2><p>{html.escape(text)}</p></article>"
    marked_for = ""
    if name_label and explanation.label != prediction.label:
        marked_for = f" (words marked for {html.escape(explanation.label)})"
    remark = f" {explanation.remark}" if explanation.remark else ""
    heading = f"{html.escape(prediction.label or NO_LABEL)} {prediction.probability:.4f}{marked_for}{remark}"
    return f"<article><h2>{heading}</h2><p>{marked_as_html(explanation)}</p></article>"


def _table(explanation: Explanation) -> list[str]:
    """Return the lines of a table: the strongest words, and beside them those that push in the other direction."""
    strongest = explanation.strongest(STRONGEST_SHOWN)
    if not strongest:
        return []
    direction = 1 if strongest[0].effect > 0 else -1
    columns = []
    for sign, words in ((direction, strongest), (-direction, explanation.pushing(-direction)[:STRONGEST_SHOWN])):
        if words:
            cells = [f"{word.effect:+6.2f}  {' '.join(_escape_controls(word.text).split())}" for word in words]
            columns.append([printable(explanation.directions[sign < 0]), *cells])
    widths = [max(map(display_width, column)) for column in columns]
    rows = zip_longest(*columns, fillvalue="")
    padded = ([ljust(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(["", *row]).rstrip() for row in padded]


def _escape_controls(text: str) -> str:
    """Return the text with control characters spelt out, so that a text cannot control the terminal."""
    return printable(text.replace("\r\n", "\n"), keep="\t\n")


def _marked(word: Word, strength: float, colour: bool) -> str:
    text = _escape_controls(word.text)
    if strength < WEAKEST_MARKED:
        return text
    if not colour:
        return f"[{'+' if word.effect > 0 else '-'}{text}]"
    shades = GREENS if word.effect > 0 else REDS
    return f"\x1b[{shades[min(int(strength * len(shades)), len(shades) - 1)]}m{text}\x1b[0m"


def _relative_strengths(words: Sequence[Word]) -> list[float]:
    """Return the effect of each word as a fraction of the strongest effect, 0..1."""
    strongest = max((abs(word.effect) for word in words), default=0) or 1
    return [abs(word.effect) / strongest for word in words]
