"""Hostile tokenizers, as the content of a `tokenizer.json`."""

import base64
import json
import struct
from collections.abc import Callable


def doubling(content: dict) -> None:
    """Let the normalizer double a text 26 times, to 67 million times its length."""
    steps = [{"type": "Replace", "pattern": {"String": "好"}, "content": "好好"}] * 26
    content["normalizer"] = {"type": "Sequence", "normalizers": steps}


def growing(content: dict) -> None:
    """Replace a character by ten thousand."""
    content["normalizer"] = {"type": "Replace", "pattern": {"String": "好"}, "content": "好" * 10_000}


def nested(content: dict) -> None:
    """Put sequences into sequences, which a reader without limits follows until its stack is full."""
    for _ in range(400):
        content["normalizer"] = {"type": "Sequence", "normalizers": [content["normalizer"]]}


def backtracking(content: dict) -> None:
    """Split texts by a regular expression whose time doubles with every character."""
    content["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": r"(?:(?:好|好)*)*坏"},
        "behavior": "Isolated",
        "invert": False,
    }


def broken_table(content: dict) -> None:
    """Let the table of the normalizer lead out of itself, where the library panics."""
    table = struct.pack("<II", 4, 1000 << 10) + b"x\0"
    content["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}


def unknown_id(content: dict) -> None:
    """Give a token an id beyond the vocabulary of the network."""
    content["added_tokens"].append(content["added_tokens"][-1] | {"id": 10**6, "content": "好", "special": False})


def long_words(content: dict) -> None:
    """Look for WordPieces in words of any length, which takes the square of their length."""
    content["model"] = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 10**9,
        "vocab": {token["content"]: token["id"] for token in content["added_tokens"]},
    }


def unknown_kind(content: dict) -> None:
    """Use a kind of normalizer that does not exist."""
    content["normalizer"] = {"type": "Shell", "command": "true"}


TOKENIZERS: dict[str, Callable[[dict], None]] = {
    "doubling": doubling,
    "growing": growing,
    "nested": nested,
    "backtracking": backtracking,
    "broken-table": broken_table,
    "unknown-id": unknown_id,
    "long-words": long_words,
    "unknown-kind": unknown_kind,
}


def hostile_tokenizer(good: bytes, name: str) -> bytes:
    """Return a good `tokenizer.json` after one of the changes of `TOKENIZERS`."""
    content = json.loads(good)
    TOKENIZERS[name](content)
    return json.dumps(content, ensure_ascii=False).encode()
