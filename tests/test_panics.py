"""A panic of the tokenizers library is an error like any other."""

import base64
import json
import struct

import pytest
from tiny import sample_tokenizer
from tokenizers import Tokenizer

from system.errors import InputError
from text.tokens.checks.panics import panics_as_input_error
from text.tokens.windows import encode_windows


def panicking_tokenizer():
    """Return a tokenizer that no check has seen, whose table leads out of itself."""
    described = json.loads(sample_tokenizer().to_str())
    table = base64.b64encode(struct.pack("<II", 4, 1000 << 10) + b"x\0").decode()
    described["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": table}
    return Tokenizer.from_str(json.dumps(described))


def test_of_a_text_it_is_an_input_error():
    with pytest.raises(InputError, match="fails on a text; leave the text out, .*out of bounds"):
        encode_windows(panicking_tokenizer(), ["很好"], 16)


def test_other_errors_stay_what_they_are():
    for error in (KeyboardInterrupt(), ValueError("x"), InputError("y")):
        with pytest.raises(type(error)) as caught, panics_as_input_error("it failed"):
            raise error
        assert caught.value is error
