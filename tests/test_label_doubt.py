"""Doubtful labels: the folds that copies share, the scores of each kind of labels, and contradicting copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.analysis.label_doubt import contradicting_copies, doubts_of, most_doubtful, stratified_folds
from text.labels import SENTIMENT, LabelSet

TOPICS = LabelSet(("经济", "体育", "科技"))
ASPECTS = LabelSet(("价格", "外观", "空间"), multi_label=True)


class TestFolds:
    @given(
        ids=st.lists(st.integers(0, 30), min_size=1, max_size=60),
        num_folds=st.integers(2, 6),
        seed=st.integers(0, 5),
    )
    def test_copies_share_a_fold_and_strata_are_spread(self, ids, num_folds, seed):
        ids = np.array(ids)
        strata = ids % 3  # copies agree
        folds = stratified_folds(strata, ids, num_folds, seed)
        _, first = np.unique(ids, return_index=True)
        assert len({*zip(ids.tolist(), folds.tolist(), strict=True)}) == len(first)
        for texts in (first, *(first[strata[first] == stratum] for stratum in range(3))):
            counts = np.bincount(folds[texts], minlength=num_folds)
            assert counts.max() - counts.min() <= 1

    def test_the_seed_decides(self):
        strata, ids = np.zeros(50, int), np.arange(50)
        folds = [stratified_folds(strata, ids, 5, seed).tolist() for seed in (0, 0, 1)]
        assert folds[0] == folds[1] != folds[2]


class TestDoubts:
    def test_of_two_labels(self):
        probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
        doubts = doubts_of(SENTIMENT, np.array([1, 0, 1]), probabilities)
        assert doubts.scores.argmax() == 0
        assert doubts.probabilities.tolist() == [0.1, 0.9, 0.6]
        assert doubts.suggested.tolist() == [0, 0, 1]

    def test_of_more_labels_the_strongest_other_one_counts(self):
        probabilities = np.array([[0.30, 0.36, 0.34], [0.3, 0.7, 0.0], [0.5, 0.25, 0.25]])
        doubts = doubts_of(TOPICS, np.array([0, 0, 0]), probabilities)
        assert np.argsort(-doubts.scores).tolist() == [1, 0, 2]
        assert doubts.suggested.tolist() == [1, 1, 0]

    def test_a_label_that_is_always_improbable_is_less_in_doubt(self):
        """Twenty texts of a frequent label with 0.9, and five of a rare one with 0.3: none of those is exceptional."""
        labels = np.array([0] * 20 + [1] * 5 + [0])
        of_second = np.array([0.1] * 20 + [0.3] * 5 + [0.65])
        doubts = doubts_of(SENTIMENT, labels, np.stack([1 - of_second, of_second], axis=1))
        assert doubts.scores.argmax() == 25
        assert doubts.probabilities.argmin() < 25

    def test_of_several_labels_the_most_doubtful_one_counts(self):
        probabilities = np.array([[0.9, 0.2, 0.1], [0.9, 0.8, 0.1], [0.05, 0.1, 0.1]])
        labels = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0]])
        doubts = doubts_of(ASPECTS, labels, probabilities)
        assert doubts.suggested.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
        assert doubts.probabilities[1:] == pytest.approx([0.2, 0.05])
        assert doubts.scores.argmin() == 0

    @given(st.integers(0, 100))
    def test_doubt_of_several_labels_is_that_of_a_label_that_differs(self, seed):
        generator = np.random.default_rng(seed)
        probabilities, labels = generator.random((20, 3)), generator.integers(0, 2, (20, 3))
        doubts = doubts_of(ASPECTS, labels, probabilities)
        differs = (doubts.suggested != labels).any(axis=1)
        assert np.isfinite(doubts.scores).all()
        np.testing.assert_array_equal(doubts.probabilities < 0.5, differs)


class TestMostDoubtful:
    def test_texts_of_all_kinds_are_in_one_order(self):
        scores = np.array([0.1, 0.7, 0.3, 0.9, 0.5])
        first, second = np.array([0, 0, 1, 0, 1], bool), np.array([1, 1, 1, 0, 0], bool)
        assert most_doubtful(scores, [first, second], 1) == [1, 4]
        assert most_doubtful(scores, [first, second], 2) == [1, 4, 2]
        assert most_doubtful(scores, [first, second], 9) == [1, 4, 2, 0]


class TestContradictingCopies:
    def test_the_first_copy_with_another_label_is_named(self):
        ids, labels = np.array([5, 7, 5, 5, 7, 8]), np.array([0, 1, 0, 1, 1, 0])
        assert contradicting_copies(ids, labels).tolist() == [3, -1, 3, 0, -1, -1]

    def test_of_several_labels(self):
        labels = np.array([[1, 0, 0], [1, 0, 1], [1, 0, 0]])
        assert contradicting_copies(np.array([1, 1, 2]), labels).tolist() == [1, 0, -1]

    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=30))
    def test_a_copy_is_the_same_text_with_another_label(self, texts):
        ids, labels = np.array([text for text, _ in texts]), np.array([label for _, label in texts])
        for index, copy in enumerate(contradicting_copies(ids, labels).tolist()):
            others = np.flatnonzero((ids == ids[index]) & (labels != labels[index]))
            assert copy == (others[0] if len(others) else -1)
