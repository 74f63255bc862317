"""A panic of the tokenizers library is an error like any other."""

import pytest
from tiny import panicking_tokenizer

from system.errors import InputError
from text.tokens.checks.panics import panics_as_input_error
from text.tokens.windows import encode_windows


def test_of_a_text_it_is_an_input_error():
    with pytest.raises(InputError, match="fails on a text; leave the text out, .*out of bounds"):
        encode_windows(panicking_tokenizer(), ["很好"], 16)


def test_other_errors_stay_what_they_are():
    for error in (KeyboardInterrupt(), ValueError("x"), InputError("y")):
        with pytest.raises(type(error)) as caught, panics_as_input_error("it failed"):
            raise error
        assert caught.value is error
