"""Draws: folds, which test every usable row once, and parts of the training split, each inside the larger ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_splits import labelled_texts
from tiny import tokenizer_of

from system.errors import InputError
from text.dataset.draws.drawing import SPLIT_SEED, fold_rows, part_of_rows
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.options import DataOptions
from text.dataset.splits import load_splits, read_rows
from text.labels import SENTIMENT, UNUSABLE, LabelSet

TOKENIZER = tokenizer_of(("好", "差", *"0123456789"))


def num_of_each(values):
    return dict(zip(*np.unique(values, return_counts=True), strict=True))


def assert_balanced(values, tests):
    """Check that the numbers of each value differ by one row at most between the folds."""
    counts = [num_of_each(np.array(values)[rows]) for rows in tests]
    for value in set(values):
        of_folds = [count.get(value, 0) for count in counts]
        assert max(of_folds) - min(of_folds) <= 1


@given(
    rows=st.lists(st.tuples(st.sampled_from([UNUSABLE, 0, 1, 2]), st.sampled_from("ab")), min_size=1, max_size=150),
    folds=st.integers(2, 12),
    has_groups=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_usable_row_is_tested_once(rows, folds, has_groups, seed):
    labels, groups = [label for label, _ in rows], [group for _, group in rows]
    labelled = labelled_texts(labels, LabelSet(("甲", "乙", "丙")), groups if has_groups else None)
    usable = np.flatnonzero(labelled.usable).tolist()
    splits = [fold_rows(labelled, folds, fold, seed) for fold in range(folds)]
    assert sorted(row for _, test in splits for row in test.tolist()) == usable
    for train, test in splits:
        assert sorted([*train, *test]) == usable
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    tests = [test for _, test in splits]
    sizes = [len(test) for test in tests]
    assert max(sizes) - min(sizes) <= 1
    if has_groups:
        # The rows of a group and label that are too rare are spread as those of the label.
        frequent = {pair for pair in rows if rows.count(pair) >= 3}
        counts = [[[rows[row] for row in test].count(pair) for test in tests] for pair in frequent]
        assert all(max(of_folds) - min(of_folds) <= 1 for of_folds in counts)
    else:
        assert_balanced(labels, tests)


def test_the_folds_depend_on_the_seed_alone():
    labelled = labelled_texts([0, 1] * 50, SENTIMENT)
    first, again, other = (fold_rows(labelled, 5, 2, seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert fold_rows(labelled, 5, 2)[1].tolist() == fold_rows(labelled, 5, 2, SPLIT_SEED)[1].tolist()


def test_two_labels_are_balanced_without_stratify():
    labels = [0] * 15 + [1] * 85
    assert_balanced(labels, [fold_rows(labelled_texts(labels, SENTIMENT), 5, fold)[1] for fold in range(5)])


@pytest.fixture
def path(tmp_path):
    """A CSV file of 40 rows, every fourth of them positive, and a row without a label."""
    lines = [f"{'好' if number % 4 == 0 else '差'}{number},{int(number % 4 == 0)}" for number in range(40)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *lines, "好,"]), encoding="utf-8")
    return tmp_path / "reviews.csv"


def test_a_tenth_of_the_other_folds_is_for_validation(path):
    tested = []
    for fold in range(5):
        splits = load_splits(DataOptions(dataset=str(path), test_size=0.5, folds=5, fold=fold), TOKENIZER, 8)
        sizes = [len(split.texts) for split in (splits.train, splits.validation, splits.test)]
        assert sizes == [29, 3, 8]
        assert [split.labels.sum() for split in (splits.validation, splits.test)] == [1, 2]
        texts = [text for split in (splits.train, splits.validation, splits.test) for text in split.texts]
        assert len(set(texts)) == len(texts) == 40
        tested += splits.test.texts
    assert len(set(tested)) == len(tested) == 40


def test_the_rows_of_the_splits_are_those_that_are_loaded(path):
    options = DataOptions(dataset=str(path), test_size=0.5, folds=5, fold=3)
    labelled, splits = read_rows(options), load_splits(options, TOKENIZER, 8)
    for rows, split in zip(
        rows_of_splits(labelled, options)[:3], (splits.train, splits.validation, splits.test), strict=True
    ):
        assert [labelled.texts[row] for row in rows] == split.texts


def test_a_fold_without_one_of_the_labels_is_named(path):
    with pytest.raises(InputError, match=r"reviews\.csv: fold \d+ of 11: the test split \([34] rows\) lacks one of "):
        for fold in range(11):  # of the ten positive rows one of the folds gets none
            load_splits(DataOptions(dataset=str(path), test_size=0.5, folds=11, fold=fold), TOKENIZER, 8)


class TestPartsOfTheTrainingSplit:
    @given(
        labels=st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=150),
        fractions=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2).map(sorted),
        seed=st.integers(0, 1000),
    )
    def test_a_larger_part_contains_a_smaller_one(self, labels, fractions, seed):
        labelled = labelled_texts(labels, LabelSet(("甲", "乙", "丙")))
        rows = np.arange(len(labels))[::-1]
        small, large = (part_of_rows(labelled, rows, fraction, seed).tolist() for fraction in fractions)
        assert set(small) <= set(large) and large == sorted(large, reverse=True)
        assert {labels[row] for row in small} == set(labels)
        assert len(small) == max(round(fractions[0] * len(rows)), len(set(labels)))
        for label, count in num_of_each(labels).items():
            share = len(small) / len(rows) * count
            assert abs(sum(labels[row] == label for row in small) - share) <= 3

    def test_each_group_has_its_share(self):
        groups = ["a"] * 80 + ["b"] * 20
        labelled = labelled_texts([0, 1] * 50, SENTIMENT, groups)
        part = part_of_rows(labelled, np.arange(100), 0.2, 0)
        pairs = [(groups[row], int(labelled.labels[row])) for row in part]
        assert {pair: pairs.count(pair) for pair in set(pairs)} == {("a", 0): 8, ("a", 1): 8, ("b", 0): 2, ("b", 1): 2}

    def test_all_of_several_labels_occur(self):
        label_set = LabelSet(("甲", "乙", "丙"), multi_label=True)
        labels = [[1, 0, 0]] * 40 + [[1, 1, 0]] + [[0, 1, 1]]
        part = part_of_rows(labelled_texts(labels, label_set), np.arange(42), 0.05, 3)
        assert np.array(labels)[part].any(axis=0).all() and len(part) <= 3

    def test_the_other_splits_stay(self):
        labelled = labelled_texts([0, 1, 1] * 60, SENTIMENT)
        whole, half, other = (
            rows_of_splits(labelled, DataOptions(dataset="reviews.csv", test_size=0.2, **options))
            for options in ({}, {"train_fraction": 0.5}, {"train_fraction": 0.5, "train_draw": 1})
        )
        for rows in (half, other):
            assert rows.validation.tolist() == whole.validation.tolist() and rows.test.tolist() == whole.test.tolist()
            assert len(rows.train) == round(len(whole.train) / 2) and set(rows.train) < set(whole.train)
        assert half.train.tolist() != other.train.tolist()

    def test_of_no_rows_there_is_none(self):
        assert part_of_rows(labelled_texts([0, 1], SENTIMENT), np.array([], np.int64), 0.5, 0).tolist() == []
