"""Makes new texts of the clauses of given ones, for a teacher to judge: a student learns more from more of them."""

import re
from collections.abc import Sequence

import numpy as np

CLAUSE = re.compile(r"[^，。！？；,.!?;\n\s]*[，。！？；,.!?;\n\s]*")
MOST_CHARACTERS = 110  # about what 64 tokens hold
FEWEST_CHARACTERS = 40
CLAUSES_OF_EACH = 4


def mixed_texts(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Returns `count` new texts, which depend on the arguments alone.

    One half are pieces of a text, from some clause on. The others are up to four clauses of each of two texts in any
    order, so that praise stands beside complaint. Tang et al., "Distilling Task-Specific Knowledge from BERT into
    Simple Neural Networks" (2019), section 3.3, sample n-grams in much the same way.

    Args:
        texts: not all of them blank.
    """
    clauses = [found for found in map(_clauses, texts) if found]
    generator = np.random.default_rng(seed)
    mixed = []
    while len(mixed) < count:
        first, second = (clauses[index] for index in generator.integers(len(clauses), size=2))
        if len(mixed) % 2:
            chosen = [*_some(first, generator), *_some(second, generator)]
            text = "".join(chosen[index] for index in generator.permutation(len(chosen)))[:MOST_CHARACTERS]
        else:
            start = generator.integers(len(first))
            text = "".join(first[start:])[: generator.integers(FEWEST_CHARACTERS, MOST_CHARACTERS + 1)]
        if text := text.strip():
            mixed.append(text)
    return mixed


def _clauses(text: str) -> list[str]:
    return [clause for clause in CLAUSE.findall(text) if clause.strip()]


def _some(clauses: list[str], generator: np.random.Generator) -> list[str]:
    return [clauses[index] for index in generator.permutation(len(clauses))[:CLAUSES_OF_EACH]]
