"""The perturbations of a text that leave its meaning as it is, by the name that a report shows."""

import functools
import random
from collections.abc import Callable, Sequence

from evaluation.analysis.robustness.characters import FRACTION, with_homophones, with_look_alikes
from evaluation.analysis.robustness.clauses import with_shuffled_clauses
from evaluation.analysis.robustness.removal import without_marks
from text.tables.problems import text_problem


def in_traditional_characters(text: str) -> str:
    """Return the text in Traditional characters, converted by OpenCC, which looks at the phrases around them."""
    return _to_traditional()(text)


@functools.cache
def _to_traditional() -> Callable[[str], str]:
    import opencc  # imported here, because nothing else in this room needs it

    return opencc.OpenCC("s2t").convert


# Each is a function of the text and of the random numbers alone.
PERTURBATIONS: dict[str, Callable[[str, random.Random], str]] = {
    "without punctuation, emoji, links, @names": lambda text, rng: without_marks(text),
    "in Traditional characters": lambda text, rng: in_traditional_characters(text),
    f"{FRACTION:.0%} homophones": with_homophones,
    f"{FRACTION:.0%} look-alikes": with_look_alikes,
    "clauses in another order": with_shuffled_clauses,
}


def perturbed(texts: Sequence[str], name: str, seed: int) -> list[str]:
    """Return the texts, each perturbed; the same for the same seed on every machine.

    Each text has random numbers of its own, by its place, so that no text changes those of the others. A text that no
    model can read remains as it is.

    Args:
        texts: the texts.
        name: a name of `PERTURBATIONS`.
        seed: of the random numbers.
    """
    perturb = PERTURBATIONS[name]
    return [
        text if text_problem(text) else perturb(text, random.Random(f"{seed}/{name}/{place}"))
        for place, text in enumerate(texts)
    ]
