"""Texts without what is no word: links, names of users, punctuation and emoji."""

import functools
import unicodedata

from tokenizers import Regex, normalizers

from text.tokens.checks.patterns import PATTERNS
from text.tokens.cleaning import REPLACEMENT

REMOVED_PATTERNS = ("urls", "names", "emoticons")
# Unicode categories: punctuation, symbols such as emoji, what joins or surrounds these, and their skin tones.
REMOVED_CATEGORIES = ("P", "S", "Cf", "Me")
VARIATION_SELECTORS = "\ufe0e\ufe0f"  # whether a symbol is shown as text or in color; their category is that of accents


def without_marks(text: str) -> str:
    """Return the text without links, @names, emoticons such as [微笑], punctuation, and symbols such as emoji.

    Each is replaced by a space, so that the words on both sides stay two words; runs of whitespace become one space.
    """
    kept = (
        " " if is_mark(character) else character for character in _removal().normalize_str(text) if character != "\0"
    )
    return " ".join("".join(kept).split())


@functools.lru_cache(maxsize=100_000)
def is_mark(character: str) -> bool:
    """Return whether a character is punctuation or a symbol, or a part of one that is invisible alone."""
    return unicodedata.category(character).startswith(REMOVED_CATEGORIES) or character in VARIATION_SELECTORS


@functools.cache
def _removal() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.Replace(Regex(PATTERNS[name]), REPLACEMENT) for name in REMOVED_PATTERNS])
