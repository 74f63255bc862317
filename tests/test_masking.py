"""Masked tokens: which ones, how many, and their replacements."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from text.tokens.masking import Masker

VOCAB_SIZE = 50
SPECIAL = np.array([0, 1, 2, 3, 4])
CLASSIFY, SEPARATE, MASK = 2, 3, 4
ROWS = hypothesis_numpy.arrays(
    st.sampled_from([np.uint16, np.int32]),
    st.tuples(st.integers(1, 6), st.integers(1, 24)),
    elements=st.integers(0, VOCAB_SIZE - 1),
).map(lambda tokens: np.insert(tokens, 0, CLASSIFY, axis=1))
MASK_RATES = st.floats(0.05, 0.9)


def make_masker(length, mask_rate=0.15):
    return Masker(VOCAB_SIZE, SPECIAL, MASK, length, mask_rate)


def mask(input_ids, seed=0, mask_rate=0.15, continues_word=None):
    masker = make_masker(input_ids.shape[1], mask_rate)
    return masker(input_ids, np.random.default_rng(seed), continues_word)


def is_masked(masked, shape):
    """Return a bool array of the shape of the input, True at the positions that count."""
    result = np.zeros(shape, bool)
    rows, columns = np.nonzero(masked.weights)
    result[rows, masked.positions[rows, columns]] = True
    return result


def random_rows(rows, length, seed=1):
    """Return rows as packing makes them: `[CLS]`, text, `[SEP]`, text, `[SEP]`, a little padding."""
    input_ids = np.random.default_rng(seed).integers(5, VOCAB_SIZE, (rows, length))
    input_ids[:, 0] = CLASSIFY
    input_ids[:, [length // 2, -3]] = SEPARATE
    input_ids[:, -2:] = 0
    return input_ids


class TestAnyRows:
    @given(input_ids=ROWS, seed=st.integers(0, 100), mask_rate=MASK_RATES)
    def test_masking_is_a_pure_function(self, input_ids, seed, mask_rate):
        before = input_ids.copy()
        first, again = mask(input_ids, seed, mask_rate), mask(input_ids, seed, mask_rate)
        np.testing.assert_array_equal(input_ids, before)
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)

    @given(input_ids=ROWS, mask_rate=MASK_RATES)
    def test_shapes_and_types(self, input_ids, mask_rate):
        masked = mask(input_ids, mask_rate=mask_rate)
        rows, length = input_ids.shape
        predictions = max(1, round(length * mask_rate))
        assert masked.input_ids.shape == (rows, length)
        assert masked.positions.shape == masked.targets.shape == masked.weights.shape == (rows, predictions)
        assert [array.dtype for array in masked] == [np.int32, np.int32, np.int32, np.float32]
        assert set(np.unique(masked.weights)) <= {0, 1}

    @given(input_ids=ROWS, seed=st.integers(0, 100), mask_rate=MASK_RATES)
    def test_targets_are_the_original_tokens_at_distinct_positions(self, input_ids, seed, mask_rate):
        masked = mask(input_ids, seed, mask_rate)
        np.testing.assert_array_equal(masked.targets, np.take_along_axis(input_ids, masked.positions, axis=1))
        assert all(len(set(row)) == len(row) for row in masked.positions.tolist())

    @given(input_ids=ROWS, seed=st.integers(0, 100), mask_rate=MASK_RATES)
    def test_only_positions_that_count_are_changed(self, input_ids, seed, mask_rate):
        masked = mask(input_ids, seed, mask_rate)
        changed = masked.input_ids != input_ids
        assert not np.any(changed & ~is_masked(masked, input_ids.shape))

    @given(input_ids=ROWS, seed=st.integers(0, 100), mask_rate=MASK_RATES)
    def test_special_tokens_are_neither_masked_nor_drawn(self, input_ids, seed, mask_rate):
        masked = mask(input_ids, seed, mask_rate)
        special = np.isin(input_ids, SPECIAL)
        assert not np.any(is_masked(masked, input_ids.shape) & special)
        shown = masked.input_ids[~special]
        assert np.all((shown == MASK) | ~np.isin(shown, SPECIAL))

    @given(input_ids=ROWS, seed=st.integers(0, 100), mask_rate=MASK_RATES)
    def test_each_row_masks_its_fraction(self, input_ids, seed, mask_rate):
        masked = mask(input_ids, seed, mask_rate)
        ordinary = np.sum(~np.isin(input_ids, SPECIAL), axis=1)
        wanted = np.clip(np.rint(ordinary * mask_rate), 1, masked.weights.shape[1])
        np.testing.assert_array_equal(masked.weights.sum(axis=1), np.where(ordinary, wanted, 0))


class TestFractions:
    @pytest.mark.parametrize("mask_rate", [0.15, 0.4])
    def test_fraction_of_masked_tokens(self, mask_rate):
        input_ids = random_rows(2000, 64)
        masked = mask(input_ids, mask_rate=mask_rate)
        assert masked.weights.sum() / np.sum(input_ids > 4) == pytest.approx(mask_rate, rel=0.04)

    def test_of_ten_masked_tokens_eight_become_the_mask_and_one_a_random_token(self):
        input_ids = random_rows(5000, 64)
        masked = mask(input_ids, seed=3)
        counts = masked.weights > 0
        shown = np.take_along_axis(masked.input_ids, masked.positions, axis=1)[counts]
        targets = masked.targets[counts]
        assert len(shown) > 40_000
        # One in 45 random tokens is the original one by chance. Four standard deviations are 0.8% and 0.6%.
        by_chance = 0.1 / (VOCAB_SIZE - len(SPECIAL))
        assert np.mean(shown == MASK) == pytest.approx(0.8, abs=0.008)
        assert np.mean(shown == targets) == pytest.approx(0.1 + by_chance, abs=0.006)
        replaced = shown[(shown != MASK) & (shown != targets)]
        assert len(replaced) / len(shown) == pytest.approx(0.1 - by_chance, abs=0.006)
        # Every ordinary token is drawn as a replacement, and none much more often than another.
        drawn = np.bincount(replaced, minlength=VOCAB_SIZE)[5:]
        assert drawn.min() > 0.5 * drawn.mean()
        assert drawn.max() < 1.5 * drawn.mean()

    def test_every_position_is_masked_equally_often(self):
        input_ids = np.full((4000, 12), 7)
        often = is_masked(mask(input_ids, mask_rate=0.25), input_ids.shape).mean(axis=0)
        np.testing.assert_allclose(often, 0.25, atol=0.03)

    def test_another_seed_draws_other_masks(self):
        input_ids = random_rows(4, 64)
        assert np.any(mask(input_ids, seed=1).positions != mask(input_ids, seed=2).positions)


class TestShortRows:
    def test_one_ordinary_token_is_masked(self):
        masked = mask(np.array([[CLASSIFY, 9, SEPARATE] + [0] * 61]))
        assert masked.weights.sum() == 1
        assert (masked.positions[0, 0], masked.targets[0, 0], masked.weights[0, 0]) == (1, 9, 1)

    def test_a_row_without_ordinary_tokens_masks_none(self):
        input_ids = np.array([[CLASSIFY, 1, SEPARATE] + [0] * 61, [0] * 64])
        masked = mask(input_ids)
        assert not masked.weights.any()
        np.testing.assert_array_equal(masked.input_ids, input_ids)

    def test_no_rows_have_no_masks(self):
        assert mask(np.zeros((0, 64), int)).weights.shape == (0, 10)


class TestWholeWords:
    @given(data=st.data(), input_ids=ROWS, seed=st.integers(0, 100), mask_rate=MASK_RATES)
    def test_a_word_is_masked_entirely_or_not_at_all(self, data, input_ids, seed, mask_rate):
        special = np.isin(input_ids, SPECIAL)
        continues_word = data.draw(hypothesis_numpy.arrays(bool, input_ids.shape))
        # As packing writes it: a word continues only after an ordinary token.
        continues_word[:, 0] = False
        continues_word[:, 1:] &= ~special[:, 1:] & ~special[:, :-1]
        masked = mask(input_ids, seed, mask_rate, continues_word)
        masked_positions = is_masked(masked, input_ids.shape)
        np.testing.assert_array_equal(
            masked_positions[:, 1:][continues_word[:, 1:]], masked_positions[:, :-1][continues_word[:, 1:]]
        )
        ordinary = np.sum(~special, axis=1)
        assert np.all(masked_positions.sum(axis=1) <= np.clip(np.rint(ordinary * mask_rate), 1, None))
        assert not np.any(masked_positions & special)
        np.testing.assert_array_equal(masked.targets, np.take_along_axis(input_ids, masked.positions, axis=1))

    def test_words_of_one_token_are_masked_as_tokens(self):
        input_ids = random_rows(20, 64)
        without = mask(input_ids)
        single = mask(input_ids, continues_word=np.zeros(input_ids.shape, bool))
        for one, other in zip(without, single, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_word_longer_than_the_budget_is_not_masked(self):
        # 20 tokens of which 3 may be masked: a word of 4 tokens, and 16 words of one token.
        input_ids = np.tile(np.arange(5, 25), (200, 1))
        continues_word = np.zeros(input_ids.shape, bool)
        continues_word[:, 8:11] = True
        masked_positions = is_masked(mask(input_ids, continues_word=continues_word), input_ids.shape)
        assert not masked_positions[:, 7:11].any()
        assert masked_positions[:, :7].any(axis=0).all()
        assert masked_positions[:, 11:].any(axis=0).all()

    def test_a_word_as_long_as_the_budget_is_masked(self):
        input_ids = np.tile(np.arange(5, 25), (200, 1))
        continues_word = np.zeros(input_ids.shape, bool)
        continues_word[:, 8:10] = True
        masked_positions = is_masked(mask(input_ids, continues_word=continues_word), input_ids.shape)
        alone = masked_positions[masked_positions[:, 7]]
        assert len(alone)
        assert np.all(alone.sum(axis=1) == 3)

    def test_the_fraction_stays_near_the_mask_rate(self):
        input_ids = random_rows(2000, 64)
        continues_word = np.random.default_rng(5).random(input_ids.shape) < 0.3
        continues_word[:, 1:] &= (input_ids[:, 1:] > 4) & (input_ids[:, :-1] > 4)
        continues_word[:, 0] = False
        masked = mask(input_ids, continues_word=continues_word)
        assert masked.weights.sum() / np.sum(input_ids > 4) == pytest.approx(0.15, rel=0.06)
