"""New texts, made of clauses of given ones."""

import re
from collections.abc import Sequence

import numpy as np

CLAUSE = re.compile(r"[^，。！？；,.!?;\n\s]*[，。！？；,.!?;\n\s]*")
MAX_CHARACTERS = 110  # about what 64 tokens hold
MIN_CHARACTERS = 40
CLAUSES_PER_TEXT = 4


def mixed_texts(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Return `count` new texts made of clauses of the given ones; the same arguments return the same texts.

    Half of them are excerpts of one text, which begin at a random clause. The others mix up to four clauses from each
    of two texts in random order, so that praise and complaint meet. Tang et al., "Distilling Task-Specific Knowledge
    from BERT into Simple Neural Networks" (2019), section 3.3, sample n-grams in much the same way.

    Args:
        texts: at least one of them is not blank.

    Raises:
        ValueError: all texts are blank.
    """
    clauses = [found for found in map(_clauses, texts) if found]
    generator = np.random.default_rng(seed)
    mixed = []
    while len(mixed) < count:
        first, second = (clauses[index] for index in generator.integers(len(clauses), size=2))
        if len(mixed) % 2:
            chosen = [*_random_clauses(first, generator), *_random_clauses(second, generator)]
            text = "".join(chosen[index] for index in generator.permutation(len(chosen)))[:MAX_CHARACTERS]
        else:
            start = generator.integers(len(first))
            text = "".join(first[start:])[: generator.integers(MIN_CHARACTERS, MAX_CHARACTERS + 1)]
        if text := text.strip():
            mixed.append(text)
    return mixed


def _clauses(text: str) -> list[str]:
    return [clause for clause in CLAUSE.findall(text) if clause.strip()]


def _random_clauses(clauses: list[str], generator: np.random.Generator) -> list[str]:
    return [clauses[index] for index in generator.permutation(len(clauses))[:CLAUSES_PER_TEXT]]
