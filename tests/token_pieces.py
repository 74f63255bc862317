"""Ids and pieces of a tokenizer, and which borders a piece must not cross."""

import unicodedata

from tokenizers import Tokenizer

from text.tokens.tokenizer import BORDERS, SPECIAL_TOKENS


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def split_at_borders(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer with the same pieces that first splits the text at the borders, as training does."""
    split = Tokenizer.from_str(tokenizer.to_str())
    split.pre_tokenizer = BORDERS
    return split


def pieces_of(tokenizer: Tokenizer) -> list[str]:
    return [piece for piece in tokenizer.get_vocab() if piece not in SPECIAL_TOKENS]


def kind_of(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("P") or (character.isascii() and category.startswith("S")):
        return "punctuation"
    return "digit" if category.startswith("N") else "other"


def assert_pieces_are_short_and_of_one_kind(tokenizer: Tokenizer) -> None:
    pieces = pieces_of(tokenizer)
    assert max(map(len, pieces)) == 4
    assert [piece for piece in pieces if len({kind_of(character) for character in piece}) > 1] == []
    assert [piece for piece in pieces if any(character.isspace() for character in piece)] == []
