"""The regular expressions that a tokenizer may contain: with others, one text could take hours."""

import re

# What each cleaning of `text.tokens.cleaning` replaces with a space, in the order of application. Every repetition is
# bounded, or cannot meet a character that ends it, so that the time is linear in the length of the text.
PATTERNS = {
    # A forwarded chain. A text that begins with one keeps its first link, else nothing would be left of it.
    "reposts": r"(?<=\S)\s*[/／]{2}\s?[@＠][\s\S]*",
    # Chinese text often follows an address without a space, and so does a chain.
    "urls": r"(?i:https?://|www\.)(?:(?!//@)[A-Za-z0-9\-._~:/?!$&'()*+,;=%]|#(?=[A-Za-z0-9]))+",
    # Not the second half of an e-mail address.
    "names": r"(?:(?:回复|回覆|[/／]{2})\s?)?(?<![A-Za-z0-9._%+\-])[@＠][\p{Word}\-]{1,20} ?[:：]?",
    "hashtags": r"[#＃][^#＃\r\n]{1,40}[#＃]",
    # 【…】 is a headline.
    "emoticons": r"[\[［]\p{L}[\p{L}\p{N}]{0,7}[\]］]",
}
# Those by which published byte-level vocabularies split a text into words: GPT-2's, a shorter form of it, and those of
# GPT-4 and Llama 3, with up to three digits, and of Qwen 2, with one.
SUFFIXES = "'s|'t|'re|'ve|'m|'ll|'d"
PUBLISHED = (
    rf"{SUFFIXES}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    *(
        rf"(?i:{SUFFIXES})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+"
        for digits in ("{1,3}", "")
    ),
)
KNOWN = frozenset((*PATTERNS.values(), *PUBLISHED))
# One character or one class of characters, perhaps repeated, but never nothing: such a pattern cannot backtrack.
ONE_CLASS = re.compile(
    r"(?:\[\^?(?:[^\[\]\\&]|\\[^pPxucCM]|\\[pP]\{\^?\w+\})+\]|\\[sSdDwWnrt]|\\[pP]\{\^?\w+\}|[^\\^$.|?*+(){}\[\]])"
    r"(?:\+|\{[1-9]\d?(?:,\d{0,2})?\})?"
)


def is_safe(pattern: str) -> bool:
    """Return whether a regular expression takes a time that grows at most with the square of the text's length."""
    return pattern in KNOWN or ONE_CLASS.fullmatch(pattern) is not None
