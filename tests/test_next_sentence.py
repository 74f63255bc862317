"""Pairs of texts: half of them get the second text of another document, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import CLASSIFY, SEPARATE

from training.engine.batches.next_sentence import draw_pairs

LENGTH = 16


def make_rows(lengths, documents):
    """Return rows and pairs of texts of the given lengths, (0, 0) for a row without a pair; each has its own tokens."""
    input_ids, pairs = np.zeros((len(lengths), LENGTH), np.uint16), np.zeros((len(lengths), 2), np.uint32)
    for number, ((first, second), document) in enumerate(zip(lengths, documents, strict=True)):
        start = 10 + 20 * number
        middle, end = start + (first or 1), start + (first or 1) + (second or 1)
        row = [CLASSIFY, *range(start, middle), SEPARATE, *range(middle, end), SEPARATE]
        input_ids[number, : len(row)] = row
        pairs[number] = (first + 2 if first else 0, document)
    return input_ids, pairs


LENGTHS = st.integers(2, LENGTH - 3).flatmap(
    lambda both: st.integers(1, both - 1).map(lambda first: (first, both - first))
)
ROWS = st.lists(st.tuples(LENGTHS | st.just((0, 0)), st.integers(0, 9)), min_size=1, max_size=12)


def texts_of(row, second_start):
    """Return the first text and the second one, with [CLS] and [SEP]."""
    tokens = row[: np.count_nonzero(row)].tolist()
    return tokens[:second_start], tokens[second_start:]


@given(rows=ROWS, seed=st.integers(0, 9))
def test_a_label_says_whether_the_second_text_is_that_of_the_row(rows, seed):
    lengths, documents = zip(*rows, strict=True)
    input_ids, pairs = make_rows(lengths, documents)
    drawn = draw_pairs(input_ids, None, pairs, np.random.default_rng(seed))
    second_texts = {}
    for row, (start, document) in zip(input_ids, pairs.tolist(), strict=True):
        if start:
            second_texts[tuple(texts_of(row, start)[1])] = document
    for row, original, (start, document), label, weight in zip(
        drawn.input_ids, input_ids, pairs.tolist(), drawn.labels[:, 0], drawn.weights, strict=True
    ):
        assert weight == (start > 0)
        if label == 1:
            np.testing.assert_array_equal(row, original)
            continue
        first, second = texts_of(row, start)
        original_first, original_second = texts_of(original, start)
        assert first == original_first
        assert second != original_second and len(second) <= len(original_second)
        assert second_texts[tuple(second)] != document


@given(lengths=st.lists(LENGTHS, min_size=2, max_size=12), seed=st.integers(0, 9))
def test_half_of_the_pairs_of_different_documents_get_another_text(lengths, seed):
    input_ids, pairs = make_rows(lengths, range(len(lengths)))
    labels = draw_pairs(input_ids, None, pairs, np.random.default_rng(seed)).labels
    assert labels.dtype == np.float32 and labels.shape == (len(lengths), 1)
    assert np.sum(labels == 0) == len(lengths) // 2


@given(rows=ROWS, seed=st.integers(0, 9))
def test_segments_are_those_of_the_texts(rows, seed):
    input_ids, pairs = make_rows(*zip(*rows, strict=True))
    drawn = draw_pairs(input_ids, None, pairs, np.random.default_rng(seed))
    assert drawn.token_type_ids.dtype == np.int32
    for row, segments, (start, _) in zip(drawn.input_ids, drawn.token_type_ids, pairs.tolist(), strict=True):
        length = np.count_nonzero(row)
        expected = [0] * start + [1] * (length - start) if start else [0] * length
        assert segments.tolist() == expected + [0] * (LENGTH - length)


@given(rows=ROWS, seed=st.integers(0, 9))
def test_words_stay_with_their_tokens(rows, seed):
    input_ids, pairs = make_rows(*zip(*rows, strict=True))
    drawn = draw_pairs(input_ids, input_ids % 2 == 1, pairs, np.random.default_rng(seed))
    assert drawn.continues_word.dtype == bool
    np.testing.assert_array_equal(drawn.continues_word, drawn.input_ids % 2 == 1)


def test_the_generator_alone_decides():
    input_ids, pairs = make_rows([(3, 1 + number % 6) for number in range(20)], range(20))
    one, again, other = (draw_pairs(input_ids, None, pairs, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.input_ids, again.input_ids)
    assert (one.labels != other.labels).any()


def test_lengths_do_not_give_the_label_away():
    """The second texts of a large batch are shortened by the smallest possible step."""
    generator = np.random.default_rng(0)
    lengths = [(5, int(second)) for second in generator.integers(1, LENGTH - 8, 200)]
    input_ids, pairs = make_rows(lengths, range(200))
    drawn = draw_pairs(input_ids, None, pairs, generator)
    shortened = np.count_nonzero(input_ids, axis=1) - np.count_nonzero(drawn.input_ids, axis=1)
    assert shortened.min() == 0 and shortened.sum() <= LENGTH


@pytest.mark.parametrize("documents", [[4] * 6, [4]])
def test_without_another_document_all_pairs_stay(documents):
    input_ids, pairs = make_rows([(2, 3)] * len(documents), documents)
    drawn = draw_pairs(input_ids, None, pairs, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.input_ids, input_ids)
    assert drawn.labels.all() and drawn.weights.all()
