"""Batches of whole documents: all windows of each, little padding, and the same ones when an epoch is resumed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.errors import InputError
from training.engine.batches.document_batches import GROWTH, MAX_WINDOWS, DocumentBatches, deal_out

NUM_WINDOWS = st.lists(st.integers(1, 9), min_size=1, max_size=40).map(np.array)
BATCH_SIZES, SEEDS, EPOCHS = st.integers(1, 50), st.none() | st.integers(0, 9), st.integers(0, 3)


def documents(num_windows, batch_size, **options) -> DocumentBatches:
    """Return batches whose windows are numbered from 1, and whose labels are the numbers of the documents."""
    numbers = np.arange(1, num_windows.sum() + 1)
    return DocumentBatches(
        {"number": numbers}, num_windows, 1 / numbers, np.arange(len(num_windows)), batch_size, **options
    )


def batches_of(dataset):
    return [dataset[index] for index in range(len(dataset))]


@given(num_windows=NUM_WINDOWS, batch_size=BATCH_SIZES, seed=SEEDS, epoch=EPOCHS)
def test_a_batch_holds_all_windows_of_its_documents(num_windows, batch_size, seed, epoch):
    last = np.cumsum(num_windows)
    size, seen = min(batch_size, len(num_windows)), []
    batches = batches_of(documents(num_windows, batch_size, seed=seed, epoch=epoch))
    assert len(batches) == len(num_windows) // size
    for inputs, labels, weights in batches:
        assert list(inputs) == sorted(inputs) == ["first_windows", "number", "window_weights"]
        assert labels.shape == weights.shape == inputs["first_windows"].shape == (size,)
        assert inputs["first_windows"].dtype == np.int32 and weights.tolist() == [1] * size
        is_window = inputs["window_weights"] > 0
        expected = [np.arange(last[label] - num_windows[label], last[label]) + 1 for label in labels]
        assert inputs["number"][is_window].tolist() == np.concatenate(expected).tolist()
        assert inputs["number"][inputs["first_windows"]].tolist() == [numbers[0] for numbers in expected]
        np.testing.assert_allclose(inputs["window_weights"][is_window], 1 / inputs["number"][is_window])
        assert not is_window[is_window.sum() :].any()
        seen += labels.tolist()
    assert len(set(seen)) == len(seen)


def test_without_a_seed_documents_keep_their_order():
    labels = [labels.tolist() for _, labels, _ in batches_of(documents(np.array([1, 9, 1, 9, 1]), 2))]
    assert labels == [[0, 1], [2, 3]]


@given(data=st.data(), num_windows=NUM_WINDOWS, batch_size=BATCH_SIZES, seed=SEEDS, epoch=EPOCHS)
def test_a_resumed_epoch_has_the_same_batches(data, num_windows, batch_size, seed, epoch):
    options = {"seed": seed, "epoch": epoch}
    full = batches_of(documents(num_windows, batch_size, **options))
    first = data.draw(st.integers(0, len(full)))
    resumed = batches_of(documents(num_windows, batch_size, first_batch=first, **options))
    assert len(resumed) == len(full) - first
    for batch, expected in zip(resumed, full[first:], strict=True):
        np.testing.assert_equal(batch, expected)


def test_another_epoch_has_other_batches():
    num_windows = np.random.default_rng(0).integers(1, 9, 60)
    first, second = (batches_of(documents(num_windows, 10, seed=1, epoch=epoch)) for epoch in (0, 1))
    assert [batch[1].tolist() for batch in first] != [batch[1].tolist() for batch in second]


def test_weights_stay_with_their_documents():
    num_windows = np.random.default_rng(0).integers(1, 9, 23)
    weights = np.arange(23, dtype=np.float32) / 10
    for _, labels, drawn in batches_of(documents(num_windows, 4, weights=weights, seed=3)):
        np.testing.assert_array_equal(drawn, weights[labels])


class TestSizes:
    def sizes(self, num_windows, batch_size, epochs=3):
        """Return the number of windows of each batch, without and with padding."""
        inputs = [
            batch[0]["window_weights"]
            for epoch in range(epochs)
            for batch in batches_of(documents(num_windows, batch_size, seed=0, epoch=epoch))
        ]
        return np.array([(weights > 0).sum() for weights in inputs]), np.array([len(weights) for weights in inputs])

    def test_documents_of_equal_length_need_no_padding(self):
        windows, padded = self.sizes(np.full(100, 3), 8)
        assert set(padded) == {24} and (windows == padded).all()

    def test_few_sizes_and_little_padding(self):
        num_windows = np.ceil(np.random.default_rng(0).lognormal(2, 0.8, 2000)).astype(int)
        windows, padded = self.sizes(num_windows, 32)
        assert len(set(windows)) > 10
        assert len(set(padded)) <= 3
        assert (padded >= windows).all() and (padded <= np.ceil(GROWTH * windows)).all()
        assert padded.sum() < 1.12 * windows.sum()

    def test_no_padding_beyond_the_limit(self):
        windows, padded = self.sizes(np.array([MAX_WINDOWS, MAX_WINDOWS - 1, 10]), 1)
        assert sorted(set(windows)) == [10, MAX_WINDOWS - 1, MAX_WINDOWS]
        assert padded.max() == MAX_WINDOWS

    def test_the_largest_batch(self):
        num_windows = np.random.default_rng(0).integers(1, 30, 100)
        for epoch in range(3):
            batches = documents(num_windows, 8, seed=0, epoch=epoch)
            assert batches.most_windows == max(
                (inputs["window_weights"] > 0).sum() for inputs, _, _ in batches_of(batches)
            )


class TestLimit:
    def test_too_many_windows_in_a_batch_are_refused(self):
        num_windows = np.full(8, MAX_WINDOWS // 4)
        assert documents(num_windows, 4, seed=0).most_windows == MAX_WINDOWS
        with pytest.raises(
            InputError, match=r"a batch of 5 texts has 5,120 windows.* at most 4,096 .*--batch-size, or"
        ):
            documents(num_windows, 5, seed=0)

    def test_too_many_windows_in_a_text_are_refused(self):
        with pytest.raises(InputError, match=r"a text has 4,097 windows.*: read less of .* --spread-windows"):
            documents(np.array([1, MAX_WINDOWS + 1]), 1, seed=0)


class TestDealing:
    @given(num_windows=NUM_WINDOWS, batch_size=BATCH_SIZES, seed=st.integers(0, 9))
    def test_no_document_is_lost(self, num_windows, batch_size, seed):
        size = min(batch_size, len(num_windows))
        order = np.random.default_rng(seed).permutation(len(num_windows))
        dealt = deal_out(order, num_windows, size)
        assert sorted(dealt) == sorted(order[: len(dealt)])
        assert len(dealt) == len(order) // size * size

    def test_a_document_may_be_drawn_twice(self):
        assert sorted(deal_out(np.array([1, 1, 0, 2]), np.array([5, 1, 1]), 2)) == [0, 1, 1, 2]

    def test_batches_become_equally_long(self):
        num_windows = np.ceil(np.random.default_rng(0).lognormal(2, 0.8, 960)).astype(int)
        order = np.random.default_rng(1).permutation(960)
        before, after = (
            num_windows[each].reshape(-1, 32).sum(axis=1) for each in (order, deal_out(order, num_windows, 32))
        )
        assert after.std() < before.std() / 3
