"""The regular expressions that a tokenizer may contain."""

import pytest
from tokenizers import Regex, pre_tokenizers

from text.tokens.checks.patterns import PATTERNS, PUBLISHED, is_safe

ONE_CLASS = (" {2,}", r"\s+", r"[\s\p{C}]+", r"\d", r"\p{Han}", "[^a-z0-9]+", "x", "，", r"[\-\]]{1,3}", "[a-z]{2}")


@pytest.mark.parametrize("pattern", [*PATTERNS.values(), *PUBLISHED, *ONE_CLASS])
def test_one_that_cannot_backtrack_is_safe_and_is_one_of_the_library(pattern):
    assert is_safe(pattern)
    pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str("Wi-Fi 很好，99分  \n")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a*",
        "a?",
        "(a|a)*b",
        "(a+)+b",
        r"(\w+\s?)+$",
        r"(.)\1",
        "a+a+a+b",
        "[a",
        "[a[b]]+",
        "[a&&b]+",
        "a{0,9}",
        ".+x",
    ]
    + [r"\b", "(?=a)", "^", "a++", "a{1,999}", f"{PUBLISHED[0]}|(a|a)*b"],
)
def test_any_other_is_not(pattern):
    assert not is_safe(pattern)
