"""Shows an explanation: marked words in a terminal, and as an HTML page that needs no other file."""

from __future__ import annotations

import html
import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import IO

from serving.explanation.occlusion import Explanation, Word
from serving.predictor import TRUNCATED_REMARK
from text.labels import LabelSet

STRONGEST_SHOWN = 3  # each way
WEAKEST_MARKED = 0.25  # of the strongest word's effect: where every word is marked, none stands out
# What would move a terminal's cursor, colour it or turn its writing round, all but tab and end of line.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
UNSEEN = ("Mn", "Me", "Cf")  # Unicode's categories of what takes no place of its own
# Of the terminal's 256 colours, from weak to strong, with a text colour that can be read on each.
GREENS, REDS = (
    ("48;5;194;38;5;16", "48;5;120;38;5;16", "48;5;34;38;5;231"),
    ("48;5;224;38;5;16", "48;5;217;38;5;16", "48;5;160;38;5;231"),
)
PAGE = """<!doctype html>
<html lang="zh">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mini-BERT</title>
<style>
body {{ font: 18px/1.9 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }}
body {{ color: #222; background: #fff; }}
article {{ border-top: 1px solid #ccc; padding: 1em 0; }}
h2 {{ font-size: 1em; margin: 0; }}
p {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: .3em 0; }}
mark {{ color: inherit; border-radius: .2em; padding: .1em 0; }}
footer {{ color: #666; font-size: .8em; }}
</style>
</head>
<body>
{articles}
<footer>Green words push towards {positive}, red ones towards {negative}. Point at a word to see by how much it moves
the logit.</footer>
</body>
</html>
"""


def wants_colour(stream: IO[str]) -> bool:
    """Returns whether to colour what is written to `stream`: a terminal, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def marked_for_terminal(explanation: Explanation, labels: LabelSet, colour: bool) -> str:
    """Returns the text with its words marked, and a table of the strongest of them.

    Without colour a word that pushes towards the positive stands in [+…], another in [-…].

    Args:
        labels: of the model.
    """
    text, words = explanation.prediction.text, explanation.words
    strength = _relative_strength(words)
    parts, done = [], 0
    for word in words:
        parts.append(_shown(text[done : word.start]))
        parts.append(_marked(word, strength(word), colour))
        done = word.end
    return "\n".join(["".join([*parts, _shown(text[done:])]), *_table(explanation, labels)])


def display_width(text: str) -> int:
    """Returns how many columns of a terminal the text takes: a Chinese character takes two, an accent none."""
    return sum(
        (unicodedata.category(character) not in UNSEEN) * (1 + (unicodedata.east_asian_width(character) in "WF"))
        for character in text
    )


def html_page(explanations: Sequence[Explanation], labels: LabelSet) -> str:
    """Returns a page with the texts and their verdicts.

    Args:
        labels: of the model.
    """
    articles = "\n".join(_article(explanation) for explanation in explanations)
    negative, positive = map(html.escape, labels.names)
    return PAGE.format(articles=articles, negative=negative, positive=positive)


def _article(explanation: Explanation) -> str:
    prediction, words = explanation.prediction, explanation.words
    if prediction.problem:
        text = prediction.text.encode("utf-8", "backslashreplace").decode("utf-8")
        return f"<article><h2>{html.escape(prediction.problem)}</h2><p>{html.escape(text)}</p></article>"
    strength = _relative_strength(words)
    parts, done = [], 0
    for word in words:
        parts.append(html.escape(prediction.text[done : word.start]))
        hue = 130 if word.effect > 0 else 0
        parts.append(
            f'<mark style="background: hsl({hue} 75% 55% / {strength(word):.2f})" title="{word.effect:+.2f}">'
            f"{html.escape(word.text)}</mark>"
        )
        done = word.end
    parts.append(html.escape(prediction.text[done:]))
    remark = f" {TRUNCATED_REMARK}" if prediction.is_truncated else ""
    verdict = f"{html.escape(prediction.label)} {prediction.probability:.4f}{remark}"
    return f"<article><h2>{verdict}</h2><p>{''.join(parts)}</p></article>"


def _table(explanation: Explanation, labels: LabelSet) -> list[str]:
    """Returns the lines of two columns: what holds the probability where it is, and what pushes the other way."""
    strongest = explanation.strongest(STRONGEST_SHOWN)
    if not strongest:
        return []
    direction = 1 if strongest[0].effect > 0 else -1
    columns = []
    for way, words in ((direction, strongest), (-direction, explanation.pushing(-direction)[:STRONGEST_SHOWN])):
        if words:
            cells = [f"{word.effect:+6.2f}  {' '.join(_shown(word.text).split())}" for word in words]
            columns.append([f"towards {labels.names[way > 0]}", *cells])
    widths = [max(map(display_width, column)) for column in columns]
    rows = zip_longest(*columns, fillvalue="")
    padded = (
        [cell + " " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)] for row in rows
    )
    return ["  ".join(["", *row]).rstrip() for row in padded]


def _shown(text: str) -> str:
    """Returns the text with its control characters spelt out: a review must not give a terminal orders."""
    return CONTROLS.sub(lambda match: repr(match[0])[1:-1], text.replace("\r\n", "\n"))


def _marked(word: Word, strength: float, colour: bool) -> str:
    text = _shown(word.text)
    if strength < WEAKEST_MARKED:
        return text
    if not colour:
        return f"[{'+' if word.effect > 0 else '-'}{text}]"
    shades = GREENS if word.effect > 0 else REDS
    return f"\x1b[{shades[min(int(strength * len(shades)), len(shades) - 1)]}m{text}\x1b[0m"


def _relative_strength(words: Sequence[Word]):
    """Returns the function from a word to how strong it is beside the strongest, 0..1."""
    most = max((abs(word.effect) for word in words), default=0) or 1
    return lambda word: abs(word.effect) / most
