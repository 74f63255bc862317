"""Batches: their order, resumed epochs, and masks and labels that stay with their rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text.packing import row_order
from text.packing.packed_rows import PackedRows
from text.tokens.masking import Masker
from training.engine.batches.epoch_batches import (
    EpochBatches,
    LabelledBatches,
    LengthGroupedBatches,
    MaskedBatches,
    choose_padded_lengths,
)

COUNTS, BATCH_SIZES = st.integers(1, 60), st.integers(1, 80)
SEEDS, EPOCHS = st.none() | st.integers(0, 9), st.integers(0, 3)


class RowNumbers(EpochBatches):
    """Batches that consist of the numbers of their rows."""

    def batch(self, rows, number):
        return rows.tolist()


def batches_of(dataset):
    return [dataset[index] for index in range(len(dataset))]


def assert_equal_batches(one, other):
    """Compare nested tuples, dicts and arrays."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
        return
    assert len(one) == len(other)
    keys = one if isinstance(one, dict) else range(len(one))
    for key in keys:
        assert_equal_batches(one[key], other[key])


class TestFrequencies:
    """Rows that are drawn more often than others."""

    @given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=4), seed=st.integers(0, 9), epoch=EPOCHS)
    def test_labels_become_equally_frequent(self, counts, seed, epoch):
        labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
        frequencies = 1 / np.array(counts)[labels]
        total = len(labels)
        (rows,) = batches_of(RowNumbers(total, total, seed=seed, epoch=epoch, frequencies=frequencies))
        assert len(rows) == total
        drawn = np.bincount(rows, minlength=total)
        for label, count in enumerate(counts):
            # Labels with the same number of rows have the same frequency, and are equally frequent only together.
            same = [other for other in range(len(counts)) if counts[other] == count]
            of_same = drawn[np.isin(labels, same)].sum()
            assert abs(of_same - len(same) * total / len(counts)) < 2
            expected = total / len(counts) / count
            of_label = drawn[labels == label]
            assert np.floor(expected - 1e-9) <= of_label.min() and of_label.max() <= np.ceil(expected + 1e-9)

    def test_the_draw_depends_on_seed_and_epoch_alone(self):
        frequencies = np.random.default_rng(3).uniform(0.1, 1, 60)

        def drawn(seed, epoch, **options):
            return batches_of(RowNumbers(60, 7, seed=seed, epoch=epoch, frequencies=frequencies, **options))

        assert drawn(1, 0) == drawn(1, 0)
        assert drawn(1, 0)[5:] == drawn(1, 0, first_batch=5)
        assert len(drawn(1, 0)) == 60 // 7
        assert drawn(1, 0) != drawn(1, 1) and drawn(1, 0) != drawn(2, 0)

    def test_a_batch_is_not_of_one_label(self):
        frequencies = np.repeat([0.1, 1.0], [80, 20])
        batches = batches_of(RowNumbers(100, 10, seed=0, frequencies=frequencies))
        assert all(0 < sum(row < 80 for row in batch) < 10 for batch in batches)

    def test_every_row_is_drawn_once_if_all_are_alike(self):
        (rows,) = batches_of(RowNumbers(50, 50, seed=2, frequencies=np.full(50, 0.3)))
        assert rows == list(range(50))


class TestEpochBatches:
    @given(count=COUNTS, batch_size=BATCH_SIZES, seed=SEEDS, epoch=EPOCHS)
    def test_whole_batches_and_no_row_twice(self, count, batch_size, seed, epoch):
        batches = batches_of(RowNumbers(count, batch_size, seed=seed, epoch=epoch))
        size = min(batch_size, count)
        assert [len(batch) for batch in batches] == [size] * (count // size)
        rows = [row for batch in batches for row in batch]
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(range(count))
        assert all(batch == sorted(batch) for batch in batches)

    @given(count=COUNTS, batch_size=BATCH_SIZES, seed=SEEDS, epoch=EPOCHS)
    def test_the_order_depends_on_seed_and_epoch_alone(self, count, batch_size, seed, epoch):
        first, again = (batches_of(RowNumbers(count, batch_size, seed=seed, epoch=epoch)) for _ in range(2))
        assert first == again

    def test_another_epoch_or_seed_has_another_order_and_leaves_out_others(self):
        epochs = [batches_of(RowNumbers(105, 10, seed=seed, epoch=epoch)) for seed, epoch in [(1, 0), (1, 1), (2, 0)]]
        left_out = [set(range(105)) - set(np.concatenate(batches)) for batches in epochs]
        for one, other in [(0, 1), (0, 2), (1, 2)]:
            assert epochs[one] != epochs[other]
            assert left_out[one] != left_out[other]

    def test_without_a_seed_rows_keep_their_order(self):
        assert batches_of(RowNumbers(7, 3)) == [[0, 1, 2], [3, 4, 5]]

    @given(data=st.data(), count=COUNTS, batch_size=BATCH_SIZES, seed=SEEDS, epoch=EPOCHS)
    def test_first_and_last_batch_select_a_part_of_the_epoch(self, data, count, batch_size, seed, epoch):
        options = {"seed": seed, "epoch": epoch}
        full = batches_of(RowNumbers(count, batch_size, **options))
        first = data.draw(st.integers(0, len(full)))
        last = data.draw(st.none() | st.integers(first, len(full) + 2))
        part = RowNumbers(count, batch_size, first_batch=first, last_batch=last, **options)
        assert batches_of(part) == full[first:last]

    def test_a_batch_larger_than_the_data_is_all_of_it(self):
        assert batches_of(RowNumbers(3, 32)) == [[0, 1, 2]]


class TestMaskedBatches:
    VOCAB_SIZE, LENGTH, COUNT = 300, 16, 21
    MASKER = Masker(VOCAB_SIZE, np.arange(5), 4, LENGTH, 0.3)

    @pytest.fixture
    def rows(self):
        input_ids = np.random.default_rng(0).integers(5, self.VOCAB_SIZE, (self.COUNT, self.LENGTH)).astype(np.uint16)
        input_ids[:, 0] = 2
        input_ids[:, -1] = 3
        return PackedRows(input_ids, None, self.COUNT, 0, 0)

    def batches(self, rows, **options):
        options = {"mask_seed": 7, "seed": 1, "epoch": 2} | options
        return batches_of(MaskedBatches(rows, self.MASKER, 4, **options))

    def test_restored_batches_are_rows_and_no_row_occurs_twice(self, rows):
        known = {tuple(row): number for number, row in enumerate(rows.input_ids.tolist())}
        found = []
        for inputs, targets, weights in self.batches(rows):
            assert {name: array.dtype for name, array in inputs.items()} == dict.fromkeys(inputs, np.int32)
            assert not inputs["token_type_ids"].any()
            assert targets.shape == weights.shape == inputs["masked_positions"].shape == (4, 5)
            assert weights.sum(axis=1).tolist() == [4] * 4
            restored = inputs["input_ids"].copy()
            assert np.any(restored == 4)
            np.put_along_axis(restored, inputs["masked_positions"], targets, axis=1)
            found.extend(known[tuple(row)] for row in restored.tolist())
        assert len(set(found)) == len(found) == 20

    @pytest.mark.parametrize("first", [0, 1, 4, 5])
    def test_a_resumed_epoch_has_the_same_batches(self, rows, first):
        full = self.batches(rows)
        assert len(full) == 5
        assert_equal_batches(self.batches(rows, first_batch=first), full[first:])
        assert_equal_batches(self.batches(rows, last_batch=first), full[:first])

    @pytest.mark.parametrize(("tokens_per_buffer", "in_blocks"), [(21 * 16, False), (8 * 16, True)])
    def test_many_rows_are_shuffled_in_blocks(self, rows, monkeypatch, tokens_per_buffer, in_blocks):
        monkeypatch.setattr(row_order, "ROWS_PER_BLOCK", 4)
        monkeypatch.setattr(row_order, "TOKENS_PER_BUFFER", tokens_per_buffer)
        permutation = np.random.default_rng((1, 2)).permutation(self.COUNT)
        expected = row_order.BlockOrder(self.COUNT, 1, 2, 8, 4)[:] if in_blocks else permutation
        batches = MaskedBatches(rows, self.MASKER, 4, mask_seed=7, seed=1, epoch=2)
        assert [batches.rows_of(number).tolist() for number in range(5)] == [
            sorted(expected[start : start + 4]) for start in range(0, 20, 4)
        ]
        for first in (1, 4):
            assert_equal_batches(self.batches(rows, first_batch=first), batches_of(batches)[first:])

    def test_rows_on_disk_make_the_same_batches(self, rows, tmp_path):
        np.save(tmp_path / "rows.npy", rows.input_ids)
        on_disk = PackedRows(np.load(tmp_path / "rows.npy", mmap_mode="r"), None, self.COUNT, 0, 0)
        assert_equal_batches(self.batches(on_disk), self.batches(rows))

    def test_masks_are_drawn_anew_for_each_batch_and_epoch(self, rows):
        same = PackedRows(np.tile(rows.input_ids[:1], (self.COUNT, 1)), None, self.COUNT, 0, 0)
        batches = [*self.batches(same), *self.batches(same, epoch=3), *self.batches(same, mask_seed=8)]
        drawn = {batch[0]["masked_positions"].tobytes() for batch in batches}
        assert len(drawn) == len(batches)

    def test_the_masks_do_not_depend_on_the_order_of_rows(self, rows):
        same = PackedRows(np.tile(rows.input_ids[:1], (self.COUNT, 1)), None, self.COUNT, 0, 0)
        assert_equal_batches(self.batches(same, seed=1), self.batches(same, seed=None))

    def test_targets_can_be_an_input(self, rows):
        plain = self.batches(rows)
        assert_equal_batches(
            self.batches(rows, targets_as_input=True),
            [(inputs | {"targets": targets}, 0 * targets, weights) for inputs, targets, weights in plain],
        )

    def test_words_stay_with_their_rows(self, rows):
        # In row n the only word of two tokens begins at position 1 + n % 13.
        continues_word = np.zeros(rows.input_ids.shape, bool)
        starts = 1 + np.arange(self.COUNT) % 13
        continues_word[np.arange(self.COUNT), starts + 1] = True
        known = {tuple(row): number for number, row in enumerate(rows.input_ids.tolist())}
        with_words = PackedRows(rows.input_ids, continues_word, self.COUNT, 0, 0)
        seen = set()
        for epoch in range(10):
            for inputs, targets, weights in self.batches(with_words, epoch=epoch):
                restored = inputs["input_ids"].copy()
                np.put_along_axis(restored, inputs["masked_positions"], targets, axis=1)
                for row, positions, weight in zip(restored.tolist(), inputs["masked_positions"], weights, strict=True):
                    start = starts[known[tuple(row)]]
                    masked = set(positions[weight > 0].tolist())
                    assert (start in masked) == (start + 1 in masked)
                    seen.add(start in masked)
        assert seen == {True, False}

    def test_rows_of_pairs_have_the_targets_of_both_tasks(self, rows):
        rows.input_ids[:, 6] = 3
        pairs = np.stack([np.full(self.COUNT, 7), np.arange(self.COUNT)], axis=1).astype(np.uint32)
        pairs[:5, 0] = 0
        paired = PackedRows(rows.input_ids, None, self.COUNT, 0, 0, pairs)
        drawn_labels = set()
        for epoch in (2, 3):
            full = self.batches(paired, epoch=epoch, targets_as_input=True)
            assert_equal_batches(self.batches(paired, epoch=epoch, targets_as_input=True, first_batch=2), full[2:])
            for inputs, targets, weights in full:
                restored = inputs["input_ids"].copy()
                np.put_along_axis(restored, inputs["masked_positions"], inputs["targets"], axis=1)
                assert inputs["token_type_ids"].dtype == np.int32
                assert not targets["masked_lm"].any() and targets["masked_lm"].shape == weights["masked_lm"].shape
                for row, segments, label, weight in zip(
                    restored, inputs["token_type_ids"], targets["next_sentence"], weights["next_sentence"], strict=True
                ):
                    [number] = np.flatnonzero((self.pairs_of(rows)[0] == row[:7]).all(axis=1))
                    assert weight == (number >= 5)
                    assert segments.tolist() == [0] * 7 + [int(weight)] * 9
                    assert label[0] == (rows.input_ids[number, 7:] == row[7:]).all()
            drawn_labels.add(np.concatenate([targets["next_sentence"] for _, targets, _ in full]).tobytes())
        assert len(drawn_labels) == 2, "drawn anew in each epoch"

    def pairs_of(self, rows):
        return rows.input_ids[:, :7], rows.input_ids[:, 7:]


class TestLabelledBatches:
    INPUTS = np.arange(23 * 3).reshape(23, 3)
    LABELS = INPUTS[:, 0].astype(np.float32) / 3

    def test_labels_stay_with_their_rows(self):
        batches = batches_of(LabelledBatches(self.INPUTS, self.LABELS, 4, seed=3, epoch=1))
        assert len(batches) == 5
        for inputs, labels, weights in batches:
            assert weights.tolist() == [1.0] * 4
            assert inputs.shape == (4, 3)
            assert labels.dtype == np.float32
            np.testing.assert_array_equal(inputs[:, 0] / 3, labels)
        rows = np.concatenate([labels for _, labels, _ in batches])
        assert len(set(rows)) == len(rows) == 20

    def test_weights_stay_with_their_rows(self):
        batches = LabelledBatches(self.INPUTS, self.LABELS, 4, weights=-self.LABELS, seed=3)
        for _, labels, weights in batches_of(batches):
            np.testing.assert_array_equal(weights, -labels)

    def test_inputs_may_have_names(self):
        named = {"input_ids": self.INPUTS, "token_type_ids": -self.INPUTS}
        plain = batches_of(LabelledBatches(self.INPUTS, self.LABELS, 4, seed=3))
        expected = [({"input_ids": inputs, "token_type_ids": -inputs}, *others) for inputs, *others in plain]
        assert_equal_batches(batches_of(LabelledBatches(named, self.LABELS, 4, seed=3)), expected)

    def test_a_resumed_epoch_has_the_same_batches(self):
        full = batches_of(LabelledBatches(self.INPUTS, self.LABELS, 4, seed=3))
        part = LabelledBatches(self.INPUTS, self.LABELS, 4, seed=3, first_batch=2, last_batch=4)
        assert_equal_batches(batches_of(part), full[2:4])


LENGTHS = st.lists(st.integers(2, 64), min_size=1, max_size=60).map(np.array)


class TestPaddedLengths:
    @given(lengths=LENGTHS, epochs=st.integers(1, 10_000))
    def test_no_window_is_cut(self, lengths, epochs):
        padded = choose_padded_lengths(lengths, epochs)
        assert (padded >= lengths).all() and padded.max() == lengths.max()
        assert all(length % 16 == 0 or length == lengths.max() for length in np.unique(padded))

    @given(lengths=LENGTHS, epochs=st.integers(1, 10_000))
    def test_each_length_saves_something(self, lengths, epochs):
        used = np.unique(choose_padded_lengths(lengths, epochs))

        def positions(used):
            return used[np.searchsorted(used, lengths)].sum() * epochs

        for index in range(len(used) - 1):
            saved = positions(np.delete(used, index)) - positions(used)
            assert saved > 0

    def test_short_windows_of_a_long_training_get_a_length_of_their_own(self):
        lengths = np.repeat([10, 40, 60], [1000, 100, 100])
        assert set(choose_padded_lengths(lengths, epochs=1)) == {60}
        assert set(choose_padded_lengths(lengths, epochs=20)) == {16, 60}
        assert set(choose_padded_lengths(lengths, epochs=1000)) == {16, 48, 60}


class TestLengthGroupedBatches:
    def batches(self, lengths, batch_size, **options):
        """Return batches of windows that are filled with their number, which is their label too."""
        numbers = np.arange(1, len(lengths) + 1)
        inputs = {"input_ids": (numbers[:, None] * (np.arange(64) < lengths[:, None])).astype(np.int32)}
        padded = np.array([16, 48, 64])[np.searchsorted([16, 48, 64], lengths)]
        options = {"seed": 1, "epoch": 2} | options
        return batches_of(LengthGroupedBatches(inputs, numbers, batch_size, padded_lengths=padded, **options))

    @given(lengths=LENGTHS, batch_size=BATCH_SIZES, epoch=EPOCHS)
    def test_whole_windows_with_little_padding_and_no_window_twice(self, lengths, batch_size, epoch):
        batches = self.batches(lengths, batch_size, epoch=epoch)
        size = min(batch_size, len(lengths))
        assert [len(labels) for _, labels, _ in batches] == [size] * (len(lengths) // size)
        for inputs, labels, _ in batches:
            of_batch = lengths[labels - 1]
            length = next(length for length in (16, 48, 64) if length >= of_batch.max())
            expected = labels[:, None] * (np.arange(length) < of_batch[:, None])
            np.testing.assert_array_equal(inputs["input_ids"], expected)
        seen = np.concatenate([labels for _, labels, _ in batches])
        assert len(set(seen)) == len(seen)

    @given(lengths=LENGTHS, batch_size=st.integers(1, 8), first=st.integers(0, 5))
    def test_a_resumed_epoch_has_the_same_batches(self, lengths, batch_size, first):
        full = self.batches(lengths, batch_size)
        first = min(first, len(full))
        assert_equal_batches(self.batches(lengths, batch_size, first_batch=first), full[first:])

    def test_at_most_two_batches_mix_lengths(self):
        lengths = np.random.default_rng(0).integers(2, 65, 300)
        sizes = [np.digitize(lengths[labels - 1], [17, 49]) for _, labels, _ in self.batches(lengths, 7)]
        assert sum(len(set(size)) > 1 for size in sizes) <= 2

    def test_the_lengths_come_in_random_order(self):
        lengths = np.repeat([10, 40, 60], 70)
        of_batches = [inputs["input_ids"].shape[1] for inputs, _, _ in self.batches(lengths, 7)]
        assert sorted(of_batches) == [16] * 10 + [48] * 10 + [64] * 10
        assert of_batches != sorted(of_batches)
        others = [inputs["input_ids"].shape[1] for inputs, _, _ in self.batches(lengths, 7, epoch=3)]
        assert of_batches != others
