"""The rules for a `tokenizer.json`: what other programs write is read, and what could do harm is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import sample_tokenizer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from system.errors import InputError
from text.tokens.checks.tokenizer_file import MAX_BYTES, checked_tokenizer
from text.tokens.tokenizer import BORDERS, OWN_TOKENIZER, SPECIAL_TOKENS

IDS = {token: index for index, token in enumerate((*SPECIAL_TOKENS, "a", "b", "ab"))}
UNIGRAM = models.Unigram([(token, -1.0) for token in IDS], unk_id=1)
BEFORE_UNIGRAM = [normalizers.Strip(), normalizers.NFKD(), normalizers.Replace("``", '"'), normalizers.StripAccents()]
KINDS = {
    "words": (
        models.WordPiece(IDS, unk_token="[UNK]"),
        normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(),
    ),
    "bytes": (models.BPE(IDS, [("a", "b")]), normalizers.NFC(), pre_tokenizers.ByteLevel()),
    "pieces": (
        UNIGRAM,
        normalizers.Sequence([*BEFORE_UNIGRAM, normalizers.Lowercase(), normalizers.Replace(Regex(" {2,}"), " ")]),
        pre_tokenizers.Metaspace(),
    ),
    "whole words": (models.WordLevel(IDS, "[UNK]"), normalizers.Nmt(), BORDERS),
}


def described(kind):
    """Return a tokenizer of a kind as the library writes it, as a JSON value."""
    model, normalizer, pre_tokenizer = KINDS[kind]
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.Sequence([decoders.WordPiece(), decoders.Fuse()])
    return json.loads(tokenizer.to_str())


def check(value, vocab_size=None):
    return checked_tokenizer(json.dumps(value).encode(), "a.json", vocab_size)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_library_writes_is_read(kind):
    assert check(described(kind), len(IDS)).get_vocab_size() == len(IDS)


def test_our_own_is_read():
    content = OWN_TOKENIZER.read_bytes()
    assert checked_tokenizer(content, "a.json", 21_128).get_vocab_size() == 21_128
    with pytest.raises(
        InputError, match="a.json: its tokenizer has the token 21,127, but the network knows 21,127 tokens"
    ):
        checked_tokenizer(content, "a.json", 21_127)


def without(value, *path):
    del at(value, *path[:-1])[path[-1]]


def at(value, *path):
    for key in path:
        value = value[key]
    return value


def set_to(value, new, *path):
    at(value, *path[:-1])[path[-1]] = new


CHANGES = {
    "model is missing": lambda value: without(value, "model"),
    "type is missing": lambda value: without(value, "model", "type"),
    "kind 'Magic'": lambda value: set_to(value, "Magic", "model", "type"),
    "kind 'Shell'": lambda value: set_to(value, {"type": "Shell"}, "decoder"),
    "drops pieces at random": lambda value: set_to(value, 0.1, "model", "dropout"),
    "words of more than": lambda value: set_to(value, 10**9, "model", "max_input_chars_per_word"),
    "continuing_subword_prefix is too long": lambda value: set_to(
        value, "#" * 99, "model", "continuing_subword_prefix"
    ),
    "no whole number": lambda value: set_to(value, -1, "model", "vocab", "a"),
    "added tokens": lambda value: set_to(value, value["added_tokens"] * 3000, "added_tokens"),
    "added token is too long": lambda value: set_to(value, "x" * 1000, "added_tokens", 0, "content"),
    "step Lowercase 2 times": lambda value: set_to(
        value, {"type": "Sequence", "normalizers": [{"type": "Lowercase"}] * 2}, "normalizer"
    ),
    "too much before a text": lambda value: set_to(value, {"type": "Prepend", "prepend": "x" * 999}, "normalizer"),
    "is empty": lambda value: set_to(
        value, {"type": "Replace", "pattern": {"String": ""}, "content": "x"}, "normalizer"
    ),
}


@pytest.mark.parametrize("words", CHANGES)
def test_what_could_do_harm_is_refused(words):
    value = described("words")
    CHANGES[words](value)
    with pytest.raises(InputError, match=f"^a.json: not a tokenizer that can be used: .*{words}"):
        check(value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a tokenizer"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "not a tokenizer"),
        (b'{"a": NaN}', "contains NaN"),
        (b'{"model": {}, "model": {}}', "occurs twice"),
        (b"\xff\xfe{\0}\0", "cannot be read as a tokenizer"),
        (b" " * (MAX_BYTES + 1), "bytes"),
        (b"," * 3_000_000, "values"),
    ],
)
def test_content_that_is_no_tokenizer_is_refused(content, words):
    with pytest.raises(InputError, match=words) as caught:
        checked_tokenizer(content, "a.json")
    assert "\n" not in str(caught.value)


@given(
    path=st.sampled_from([("normalizer",), ("pre_tokenizer",), ("model",), ("added_tokens",), ("model", "vocab")]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ),
)
def test_any_other_value_is_read_or_refused(path, value):
    changed = json.loads(sample_tokenizer().to_str())
    set_to(changed, value, *path)
    try:
        check(changed)
    except InputError as error:
        assert str(error).startswith("a.json: ")
