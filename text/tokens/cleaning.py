"""The cleaning of social media, as the first steps of a tokenizer's normalizer: a model file contains it."""

import json
from collections.abc import Collection, Iterable

from tokenizers import Regex, Tokenizer, normalizers

from text.tokens.checks.patterns import PATTERNS
from text.tokens.tokenizer import tokenizer_from_json

ALL = "all"
REPLACEMENT = " "  # a space, so that the words on both sides stay two words


def with_cleaning(tokenizer: Tokenizer, names: Collection[str]) -> Tokenizer:
    """Return a copy of a tokenizer that also cleans texts, or the same one if it already does.

    Offsets of its tokens are those of the original text.

    Args:
        names: names of `PATTERNS`, or `ALL`.

    Example:
        >>> with_cleaning(load_tokenizer(), ["urls"]).encode("见http://t.cn/a很好", add_special_tokens=False).tokens
        ['见', '很好']
    """
    present = cleanings_of(tokenizer)
    wanted = [name for name in PATTERNS if name in present or name in names or ALL in names]
    if wanted == present:
        return tokenizer
    described = json.loads(tokenizer.to_str())
    normalizer = described["normalizer"]
    others = _steps(normalizer)[len(present) :] if present else [normalizer] if normalizer else []
    steps = [_step(PATTERNS[name]) for name in wanted]
    described["normalizer"] = {"type": "Sequence", "normalizers": steps + others}
    return tokenizer_from_json(json.dumps(described, ensure_ascii=False))


def cleanings_of(tokenizer: Tokenizer) -> list[str]:
    """Return the names of the cleanings of a tokenizer, in the order of `PATTERNS`."""
    if tokenizer.normalizer is None:
        return []
    steps = _steps(json.loads(tokenizer.normalizer.__getstate__()))
    return [name for name, pattern in PATTERNS.items() if _step(pattern) in steps]


def cleaned_texts(tokenizer: Tokenizer, texts: Iterable[str]) -> list[str]:
    """Return texts as the cleanings of a tokenizer leave them, for a model without a tokenizer.

    If it has any, outer whitespace is removed too, such as the space that replaces a URL.
    """
    names = cleanings_of(tokenizer)
    if not names:
        return list(texts)
    cleaning = normalizers.Sequence([normalizers.Replace(Regex(PATTERNS[name]), REPLACEMENT) for name in names])
    return [cleaning.normalize_str(text).strip() for text in texts]


def _step(pattern: str) -> dict:
    """Return a replacement as `tokenizer.json` describes it."""
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": REPLACEMENT}


def _steps(normalizer: dict | None) -> list[dict]:
    return normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else []
