"""Tokenizing: documents in pieces, the same by one process or by several, and the ends of these."""

import multiprocessing
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import tokens_of
from tiny import panicking_tokenizer, sample_tokenizer

from system.errors import InputError
from text.corpus import iter_texts
from text.packing import tokenizing
from text.packing.tokenizing import BlockTokenizer, PackingOptions, groups, tokenized_blocks

TEXTS = list(iter_texts(["sample"]))[:60]
OPTIONS = PackingOptions(sample_tokenizer().to_str(), 16, 0.3, True, True)


@given(
    texts=st.lists(st.text(max_size=9), max_size=30), most_texts=st.integers(1, 5), most_characters=st.integers(1, 20)
)
def test_groups_are_the_texts_in_order_and_as_many_as_allowed(texts, most_texts, most_characters):
    found = list(groups(texts, most_texts, most_characters))
    assert [text for group in found for text in group] == texts
    for group, following in zip_longest(found, found[1:]):
        assert 1 <= len(group) <= most_texts
        characters = len("".join(group))
        assert characters <= most_characters or len(group) == 1
        if following:
            assert len(group) == most_texts or characters + len(following[0]) > most_characters


def test_a_document_has_its_tokens_and_its_size():
    options = OPTIONS._replace(whole_words=False, next_sentence=False)
    for text in TEXTS[:5]:
        [document] = BlockTokenizer(options)([text])
        ids = sample_tokenizer().encode(text, add_special_tokens=False).ids
        assert (document.characters, document.tokens) == (len(text), len(ids))
        assert [token for tokens, _ in document.pieces for token in tokens_of(tokens)[:-1]] == ids


@pytest.fixture
def in_processes(monkeypatch):
    """Let every block go to one of two processes, however few cores there are."""
    monkeypatch.setattr(tokenizing, "DOCUMENTS_PER_BLOCK", 7)
    monkeypatch.setattr(tokenizing, "BLOCKS_WITHOUT_PROCESSES", 1)
    monkeypatch.setattr(tokenizing, "available_cores", lambda: 2)


def test_processes_return_the_same_documents_in_the_same_order(in_processes, monkeypatch):
    by_processes = list(tokenized_blocks(TEXTS, OPTIONS))
    assert multiprocessing.active_children() == []
    monkeypatch.setattr(tokenizing, "available_cores", lambda: 1)
    assert by_processes == list(tokenized_blocks(TEXTS, OPTIONS))


def test_a_process_that_ends_early_is_one_error(in_processes):
    def texts():
        yield from TEXTS[:30]
        for process in multiprocessing.active_children():
            process.kill()
        yield from TEXTS[30:]

    with pytest.raises(InputError, match="run the same command again, which continues the packing"):
        list(tokenized_blocks(texts(), OPTIONS))


def test_a_panic_is_an_input_error():
    tokenize = BlockTokenizer(OPTIONS)
    tokenize.tokenizer = panicking_tokenizer()
    with pytest.raises(InputError, match="the tokenizer of the model fails on a text; leave the text out"):
        tokenize(TEXTS[:1])


class OptionsThatFail(PackingOptions):
    """Options with which every block is an error, in another process too."""

    @property
    def needs_offsets(self):
        raise InputError("the tokenizer fails on a text")


def test_an_error_in_a_process_is_raised_here(in_processes, monkeypatch, capfd):
    monkeypatch.setattr(tokenizing, "BLOCKS_WITHOUT_PROCESSES", 0)
    with pytest.raises(InputError, match="^the tokenizer fails on a text$"):
        list(tokenized_blocks(TEXTS, OptionsThatFail(*OPTIONS)))
    assert multiprocessing.active_children() == [] and "Traceback" not in capfd.readouterr().err


def test_few_documents_start_no_process(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_context", None)
    assert len(list(tokenized_blocks(TEXTS, OPTIONS))) == 1
