"""The accuracy of a classifier on perturbed texts, of classifiers made for it."""

import math

import numpy as np
import pytest

from evaluation.analysis.robustness.measurement import ORIGINAL, measure_robustness
from evaluation.analysis.robustness.perturbations import PERTURBATIONS
from serving.predictor import Predictor
from text.labels import SENTIMENT, LabelSet

CLAUSES = "clauses in another order"
WITHOUT_MARKS = "without punctuation, emoji, links, @names"
THREE = LabelSet(("甲", "乙", "丙"))
SEVERAL = LabelSet(("甲", "乙", "丙"), multi_label=True)


def by_name(results):
    return {result.name: result for result in results}


def positive_if_good_comes_first(texts):
    """Return probabilities of two labels; NaN for texts without 好 and 糟."""
    first = [next((character for character in text if character in "好糟"), "") for text in texts]
    positive = np.array([{"好": 0.9, "糟": 0.2, "": np.nan}[character] for character in first])
    return np.stack([1 - positive, positive], axis=1)


class TestMeasureRobustness:
    def test_a_classifier_that_looks_at_the_order(self):
        texts = ["好，糟。", "糟，好。", "好。", "糟，糟"]
        results = measure_robustness(positive_if_good_comes_first, texts, np.array([1, 0, 1, 0]), SENTIMENT, seed=0)
        assert [result.name for result in results] == [ORIGINAL, *PERTURBATIONS]
        assert results[0] == (ORIGINAL, 1.0, 0.0, [])
        name, accuracy, changed, worst = by_name(results)[CLAUSES]
        assert (accuracy, changed) == (0.5, 0.5)
        # The surest first: 0.9 for the first text, 0.8 for the second.
        assert [each[:3] for each in worst] == [("好，糟。", "糟，好。", "正面"), ("糟，好。", "好，糟。", "负面")]
        assert [each.before for each in worst] == pytest.approx([0.9, 0.8])
        assert [each.after for each in worst] == pytest.approx([0.2, 0.1])
        assert by_name(results)["in Traditional characters"][1:] == (1.0, 0.0, [])

    def test_a_text_of_which_nothing_is_left_has_no_verdict(self):
        def known(texts):
            return np.array([[0.3, 0.7] if text.strip() else [np.nan, np.nan] for text in texts])

        result = by_name(measure_robustness(known, ["！！", "好"], np.array([1, 1]), SENTIMENT, seed=0))[WITHOUT_MARKS]
        assert (result.accuracy, result.changed) == (0.5, 0.5)
        assert result.worst[0][:4] == ("！！", "", "正面", 0.7) and math.isnan(result.worst[0].after)

    def test_a_text_without_a_verdict_before_and_after_is_wrong_but_unchanged(self):
        unknown = measure_robustness(lambda texts: np.full((len(texts), 2), np.nan), ["好"], [0], SENTIMENT, seed=0)
        assert all(result[1:] == (0.0, 0.0, []) for result in unknown)

    def test_a_wrong_verdict_that_becomes_right_is_changed(self):
        labels = np.array([0, 1])
        results = measure_robustness(positive_if_good_comes_first, ["好，糟", "糟，好"], labels, SENTIMENT, seed=0)
        assert results[0].accuracy == 0
        assert by_name(results)[CLAUSES][1:] == (1.0, 1.0, [])

    def test_the_threshold_decides(self):
        def always(texts):
            return np.tile([0.4, 0.6], (len(texts), 1))

        accuracies = [
            measure_robustness(always, ["好"], np.array([1]), SENTIMENT, 0, threshold)[0].accuracy
            for threshold in (None, 0.7)
        ]
        assert accuracies == [1.0, 0.0]

    def test_no_more_than_five_are_shown(self):
        texts = 9 * ["好，糟。"]
        results = measure_robustness(positive_if_good_comes_first, texts, np.ones(9, int), SENTIMENT, seed=0)
        assert len(by_name(results)[CLAUSES].worst) == 5

    def test_more_labels(self):
        def by_first_character(texts):
            return np.array([np.roll([0.8, 0.1, 0.1], "甲乙丙".index(text[0])) for text in texts])

        results = measure_robustness(by_first_character, ["乙，丙", "甲。"], np.array([1, 0]), THREE, seed=0)
        result = by_name(results)[CLAUSES]
        assert (result.accuracy, result.changed) == (0.5, 0.5)
        assert result.worst == [("乙，丙", "丙，乙", "乙", 0.8, 0.1)]

    def test_of_several_labels_all_must_be_right(self):
        def by_first_character(texts):
            return np.array([[0.9, 0.8 if text.startswith("甲") else 0.3, 0.1] for text in texts])

        labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
        results = measure_robustness(by_first_character, ["甲，丙", "丙。", "丙。"], labels, SEVERAL, seed=0)
        assert results[0].accuracy == pytest.approx(2 / 3)
        result = by_name(results)[CLAUSES]
        assert (result.accuracy, result.changed) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
        assert result.worst[0][:3] == ("甲，丙", "丙，甲", "甲|乙")
        assert result.worst[0][3:] == pytest.approx((0.8, 0.3))

    @pytest.mark.parametrize(("texts", "labels"), [([], []), (["好"], [1, 0])])
    def test_labels_that_do_not_match_are_refused(self, texts, labels):
        with pytest.raises(ValueError, match="do not match"):
            measure_robustness(positive_if_good_comes_first, texts, np.array(labels), SENTIMENT, seed=0)

    def test_a_real_model(self, tiny_model):
        predictor = Predictor(tiny_model)
        texts = ["房间很干净，早餐很好！", "服务不热情，下次不来了。", "？！"]
        results = measure_robustness(predictor.predict_proba, texts, np.array([1, 0, 1]), predictor.labels, seed=0)
        assert len(results) == 1 + len(PERTURBATIONS)
        assert all(0 <= result.accuracy <= 1 and 0 <= result.changed <= 1 for result in results)
        again = measure_robustness(predictor.predict_proba, texts, [1, 0, 1], predictor.labels, seed=0)
        assert [each[:3] for each in again] == [each[:3] for each in results]
