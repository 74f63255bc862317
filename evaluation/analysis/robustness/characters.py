"""Wrong characters in a text: what sounds alike, as a pinyin input method mistypes it, and what looks alike."""

import functools
import math
import random
import re
from collections.abc import Mapping

from evaluation.analysis.robustness.look_alikes import LOOK_ALIKES, alternatives

FRACTION = 0.05
CHINESE = re.compile("[\u4e00-\u9fff]")
# The 3,755 common characters of GB 2312 (level 1) are rows 16 to 55 of its table, of which the last is not full.
ROWS, COLUMNS, NUM_COMMON = range(0xB0, 0xD8), range(0xA1, 0xFF), 3755


def with_homophones(text: str, rng: random.Random, fraction: float = FRACTION) -> str:
    """Return the text with some characters replaced by others of the same pinyin syllable; see `replaced`."""
    return replaced(text, rng, homophones(), fraction)


def with_look_alikes(text: str, rng: random.Random, fraction: float = FRACTION) -> str:
    """Return the text with some characters replaced by others that look alike; see `replaced`."""
    return replaced(text, rng, LOOK_ALIKES, fraction)


def replaced(text: str, rng: random.Random, others: Mapping[str, str], fraction: float) -> str:
    """Return the text with a fraction of its Chinese characters replaced.

    Args:
        text: the text.
        rng: draws which characters are replaced, and by which.
        others: the characters that may replace a character. One that is not in it remains, so that fewer characters
            are replaced in a text of which too few are in it.
        fraction: the expected fraction, 0..1.
    """
    replaceable = [index for index, character in enumerate(text) if character in others]
    expected = fraction * len(CHINESE.findall(text))
    # Rounded up or down at random, else no text of ten characters would ever change.
    count = math.floor(expected + rng.random())
    characters = list(text)
    for index in rng.sample(replaceable, min(count, len(replaceable))):
        characters[index] = rng.choice(others[characters[index]])
    return "".join(characters)


@functools.cache
def homophones() -> dict[str, str]:
    """Return for each common character the other common ones of its most frequent pinyin syllable, in any tone.

    Tones are ignored because input methods ignore them. Characters without another one are left out.
    """
    from pypinyin import lazy_pinyin  # imported here, because it takes seconds and nothing else needs it

    by_syllable = {}
    for character in common_characters():
        by_syllable.setdefault(lazy_pinyin(character)[0], []).append(character)
    found = alternatives("".join(group) for group in by_syllable.values())
    return {character: others for character, others in found.items() if others}


def common_characters() -> str:
    """Return the common characters of GB 2312, in the order of their pinyin."""
    return b"".join(bytes((row, column)) for row in ROWS for column in COLUMNS)[: 2 * NUM_COMMON].decode("gb2312")
