"""Small tokenizers, made of a list of words in milliseconds."""

import base64
import functools
import json
import struct

from tokenizers import Tokenizer, decoders, models

from text.corpus import iter_texts
from text.tokens.tokenizer import BORDERS, SPECIAL_TOKENS, UNKNOWN, load_tokenizer, with_special_tokens

WORDS = ("房间", "干净", "热情", "服务", "早餐", "难吃", "酒店", "位置", "隔音", "前台", "很好", "不错", "下次", "再来")
# Log probabilities. A word is likelier than its two characters, and these are likelier than an unknown token.
KNOWN, UNLIKELY = -5.0, -20.0


def tokenizer_of(words: tuple[str, ...] = WORDS) -> Tokenizer:
    """Return a Unigram tokenizer whose vocabulary is the special tokens, the words and the characters of the words."""
    pieces = [*words, *sorted(set("".join(words)).difference(words))]
    vocabulary = [(token, UNLIKELY) for token in SPECIAL_TOKENS] + [(piece, KNOWN) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL_TOKENS.index(UNKNOWN)))
    tokenizer.normalizer = load_tokenizer().normalizer
    tokenizer.pre_tokenizer = BORDERS
    tokenizer.decoder = decoders.Fuse()
    return with_special_tokens(tokenizer, "tests/tiny.py")


@functools.cache
def sample_tokenizer() -> Tokenizer:
    """Return a tokenizer that knows a few words and every character of the sample corpus."""
    normalize = load_tokenizer().normalizer.normalize_str
    characters = set("".join(normalize(text) for text in iter_texts(["sample"])))
    return tokenizer_of((*WORDS, *sorted(character for character in characters if not character.isspace())))


def panicking_tokenizer() -> Tokenizer:
    """Return a tokenizer that no check has seen, whose table leads out of itself."""
    described = json.loads(sample_tokenizer().to_str())
    table = base64.b64encode(struct.pack("<II", 4, 1000 << 10) + b"x\0").decode()
    described["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": table}
    return Tokenizer.from_str(json.dumps(described))
