"""Texts with their clauses in another order."""

import random
import re

# One comma always ends a clause, because many type it instead of the Chinese one, even if it divides a number.
ENDS = "，。！？；…,!?;\r\n"
# Whitespace belongs to the border. The first condition keeps the search linear: else each space of a run begins one.
BORDER = re.compile(rf"((?<!\s)\s*[{ENDS}][\s{ENDS}]*|^\s+|(?<!\s)\s+\Z)")


def clauses(text: str) -> list[str]:
    """Return the clauses of a text: what is between commas, full stops, other marks of `ENDS`, or line ends."""
    return [part for part in BORDER.split(text)[::2] if part]


def with_shuffled_clauses(text: str, rng: random.Random) -> str:
    """Return the text with its clauses in another order, and its punctuation where it was.

    A text whose clauses are all the same remains as it is.

    Args:
        text: the text.
        rng: draws the order.
    """
    parts = BORDER.split(text)
    places = [place for place in range(0, len(parts), 2) if parts[place]]
    in_order = [parts[place] for place in places]
    if len(set(in_order)) < 2:
        return text
    shuffled = in_order
    while shuffled == in_order:
        shuffled = rng.sample(in_order, len(in_order))
    for place, clause in zip(places, shuffled, strict=True):
        parts[place] = clause
    return "".join(parts)
