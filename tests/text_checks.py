"""What must hold of the ids of any text, whatever the vocabulary of the tokenizer, and the texts to try."""

import numpy as np
from hypothesis import strategies as st
from token_pieces import ids_of, pieces_of, split_at_borders
from tokenizers import Tokenizer

from text.tokens.tokenizer import SPECIAL_TOKENS, UNKNOWN, WHITESPACE, special_ids, tokenizer_from_json

PRINTABLE_ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
ASCII = st.text(st.characters(max_codepoint=0x7E))
USER_TEXTS = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from([*SPECIAL_TOKENS, "［ＭＡＳＫ］", "[sep]", "好", " ", "WiFi很慢，100%不能用？", "住了2晚。"]),
    )
).map("".join)


def known_texts(tokenizer: Tokenizer) -> st.SearchStrategy[str]:
    """Return texts of the characters that the tokenizer knows, and of some that become these."""
    characters = sorted(piece for piece in pieces_of(tokenizer) if len(piece) == 1)
    return st.text(st.sampled_from([*characters, " ", "\u3000", "\n", "Ｗ", "F", "！", "…"]))


def assert_full_width_is_treated_like_half_width(tokenizer: Tokenizer, text: str) -> None:
    full_width = "".join("\u3000" if character == " " else chr(ord(character) + 0xFEE0) for character in text)
    assert ids_of(tokenizer, full_width) == ids_of(tokenizer, text)


def assert_case_makes_no_difference(tokenizer: Tokenizer, text: str) -> None:
    assert ids_of(tokenizer, text.upper()) == ids_of(tokenizer, text.lower())


def assert_no_special_token(tokenizer: Tokenizer, text: str) -> None:
    special = {tokenizer.token_to_id(token) for token in SPECIAL_TOKENS if token != UNKNOWN}
    assert special.isdisjoint(ids_of(tokenizer, text))


def assert_saving_and_loading_changes_no_token(tokenizer: Tokenizer, text: str) -> None:
    loaded = tokenizer_from_json(tokenizer.to_str())
    assert loaded.encode(text).ids == tokenizer.encode(text).ids
    assert loaded.to_str() == tokenizer.to_str()


def assert_decoding_returns_the_normalised_text_without_whitespace(tokenizer: Tokenizer, text: str) -> None:
    normalised = tokenizer.normalizer.normalize_str(text)
    assert tokenizer.decode(ids_of(tokenizer, text)) == "".join(normalised.split())


def assert_a_file_with_borders_is_loaded_without(tokenizer: Tokenizer) -> None:
    with_borders = split_at_borders(tokenizer).to_str()
    assert with_borders != tokenizer.to_str()
    assert tokenizer_from_json(with_borders).to_str() == tokenizer.to_str()
    assert type(tokenizer.pre_tokenizer) is type(WHITESPACE)


def assert_special_ids_are_those_of_the_special_tokens(tokenizer: Tokenizer) -> None:
    ids = special_ids(tokenizer)
    assert ids.dtype == np.int32
    assert [tokenizer.id_to_token(token) for token in ids.tolist()] == list(SPECIAL_TOKENS)
    assert ids[0] == 0
