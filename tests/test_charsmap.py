"""The table of a Precompiled normalizer: one that is accepted never lets the library panic."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from text.tokens.checks.charsmap import longest_replacement
from text.tokens.tokenizer import OWN_TOKENIZER

DESCRIBED = json.loads(OWN_TOKENIZER.read_bytes())
TABLE = next(
    step["precompiled_charsmap"] for step in DESCRIBED["normalizer"]["normalizers"] if "precompiled_charsmap" in step
)
CONTENT = base64.b64decode(TABLE)
SMALL = {
    "added_tokens": [],
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    "normalizer": {"type": "Precompiled"},
}


def normalizer(encoded):
    """Return the normalizer of a table, read as the library reads a file."""
    step = {"type": "Precompiled", "precompiled_charsmap": encoded}
    return Tokenizer.from_str(json.dumps(SMALL | {"normalizer": step})).normalizer


def test_our_own_replaces_one_character_by_one():
    assert longest_replacement(TABLE) == 1
    assert normalizer(TABLE).normalize_str("訂房") == "订房"


@given(
    start=st.integers(0, len(CONTENT) - 1),
    damage=st.binary(min_size=1, max_size=8),
    text=st.text(min_size=1, max_size=30)
    | st.text(st.characters(min_codepoint=0x3400, max_codepoint=0x9FFF), min_size=1),
)
def test_a_damaged_one_is_refused_or_causes_no_panic(start, damage, text):
    encoded = base64.b64encode(CONTENT[:start] + damage + CONTENT[start + len(damage) :]).decode()
    try:
        longest_replacement(encoded)
    except ValueError:
        return
    normalizer(encoded).normalize_str(text)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\0\0", b"\xff\xff\xff\xff" + bytes(8), CONTENT[:-1], CONTENT[: len(CONTENT) // 2], CONTENT + b"\xff\0"],
)
def test_one_that_is_not_whole_is_refused(content):
    with pytest.raises(ValueError):
        longest_replacement(base64.b64encode(content).decode())
