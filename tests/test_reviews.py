"""The original's test split, and stratified validation rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text.commands import InputError
from text.reviews import train_test_split, validation_split


def test_the_original_split():
    train, test = train_test_split(7766, test_size=1 / 6, seed=42)
    assert (len(train), len(test)) == (6471, 1295)
    assert sorted([*train, *test]) == list(range(7766))
    # The order and the rows of datasets 5.2; another library version must not change them unnoticed.
    assert test[:3].tolist() == [4675, 3942, 1648]
    assert train[:3].tolist() == [4212, 5123, 4766]


def test_the_split_depends_on_the_seed_only():
    first, again, other = (train_test_split(60, 0.25, seed)[1] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize(("count", "test_size"), [(1, 0.5), (10, 1.5), (10, 0.0)])
def test_a_split_with_an_empty_part_is_an_input_error(count, test_size):
    with pytest.raises(InputError, match=f"{count} rows cannot be split"):
        train_test_split(count, test_size, seed=42)


@given(
    labels=st.lists(st.integers(0, 1), min_size=4, max_size=200).map(np.array),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 1000),
)
def test_validation_rows_come_from_the_training_rows_in_equal_shares(labels, share, seed):
    given_rows = np.arange(len(labels))[::-1][:-1]
    train, validation = validation_split(labels, given_rows, share, seed)
    assert sorted([*train, *validation]) == sorted(given_rows)
    assert np.all(np.diff(train) < 0), "the order of the given rows is kept"
    assert np.all(np.diff(validation) < 0)
    for label in (0, 1):
        rows = np.sum(labels[given_rows] == label)
        chosen = np.sum(labels[validation] == label)
        assert abs(chosen - share * rows) <= 1
        assert chosen < rows or rows == 0


def test_validation_split_depends_on_the_seed():
    labels = np.arange(100) % 2
    rows = np.arange(100)
    first, again, other = (validation_split(labels, rows, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 10


def test_too_few_rows_for_validation():
    with pytest.raises(InputError, match="2 training rows are too few"):
        validation_split(np.array([0, 1]), np.array([0, 1]))
