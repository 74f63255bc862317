"""Logistic regression for few texts: the same as scikit-learn's, held to given weights, with a penalty it chooses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from text.labels import SENTIMENT, LabelSet
from training.logistic_regression import (
    PENALTIES,
    Head,
    LabelledFeatures,
    fit,
    fit_cross_validated,
    losses_of,
    out_of_fold_logits,
    prior,
)

TOPICS = LabelSet(("经济", "体育", "科技"))
ASPECTS = LabelSet(("价格", "外观", "空间"), multi_label=True)
KINDS = pytest.mark.parametrize("labels", [SENTIMENT, TOPICS, ASPECTS], ids=["sentiment", "topics", "aspects"])
FEATURES = 4


def head_of(labels, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    return Head(
        scale * generator.normal(size=(FEATURES, labels.num_outputs)), generator.normal(size=labels.num_outputs)
    )


def texts_of(labels, count=40, seed=1, truth=None):
    """Return texts whose labels are drawn with the probabilities that a head gives them."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, FEATURES))
    probabilities = labels.probabilities((truth or head_of(labels)).logits(features))
    if labels.multi_label:
        drawn = (generator.random(probabilities.shape) < probabilities).astype(np.int64)
    else:
        drawn = np.array([generator.choice(len(labels.names), p=each) for each in probabilities])
    return LabelledFeatures(features, labels.targets(drawn).astype(np.float64), labels)


def nothing(labels):
    return Head(np.zeros((FEATURES, labels.num_outputs)), np.zeros(labels.num_outputs))


def assert_same(head, expected, tolerance=1e-3):
    np.testing.assert_allclose(head.kernel, expected.kernel, atol=tolerance)
    np.testing.assert_allclose(head.bias, expected.bias, atol=tolerance)


class TestLosses:
    @KINDS
    @given(seed=st.integers(0, 1000), scale=st.sampled_from([0.1, 1.0, 30.0]))
    @settings(max_examples=40, deadline=None)
    def test_the_gradient_is_that_of_the_loss(self, labels, seed, scale):
        texts, head = texts_of(labels, count=3, seed=seed), head_of(labels, seed, scale)
        gradient = losses_of(texts, head)[1]
        for output in range(labels.num_outputs):
            step = np.zeros(labels.num_outputs)
            step[output] = 1e-5
            above, below = (losses_of(texts, Head(head.kernel, head.bias + sign * step))[0] for sign in (1, -1))
            np.testing.assert_allclose((above - below) / 2e-5, gradient[:, output], atol=1e-4)

    @KINDS
    def test_logits_of_any_size_have_a_finite_loss(self, labels):
        losses, gradient = losses_of(texts_of(labels), head_of(labels, scale=1e4))
        assert np.isfinite(losses).all()
        assert np.isfinite(gradient).all()


class TestFit:
    @pytest.mark.parametrize("labels", [SENTIMENT, TOPICS], ids=["sentiment", "topics"])
    @pytest.mark.parametrize("penalty", [0.1, 10.0])
    def test_is_the_logistic_regression_of_scikit_learn(self, labels, penalty):
        texts = texts_of(labels)
        # That of scikit-learn has no penalty on the bias, but on the weight of a feature that is always 1.
        with_bias = np.concatenate([texts.features, np.ones((len(texts.features), 1))], axis=1)
        model = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-8, max_iter=1000)
        weights = model.fit(with_bias, labels.of_targets(texts.targets)).coef_.T
        assert_same(fit(texts, nothing(labels), penalty), Head(weights[:-1], weights[-1]))

    @KINDS
    def test_a_large_penalty_leaves_the_head_as_it_was(self, labels):
        held_to = head_of(labels, seed=5)
        assert_same(fit(texts_of(labels), held_to, 1e9), held_to)

    @KINDS
    def test_a_smaller_penalty_fits_the_texts_better(self, labels):
        texts, held_to = texts_of(labels), head_of(labels, seed=5)
        losses = [losses_of(texts, fit(texts, held_to, penalty))[0].sum() for penalty in PENALTIES]
        assert losses == sorted(losses, reverse=True)

    @KINDS
    def test_where_the_search_begins_does_not_matter(self, labels):
        texts, held_to = texts_of(labels), head_of(labels, seed=5)
        assert_same(fit(texts, held_to, 1.0, begin=head_of(labels, seed=9)), fit(texts, held_to, 1.0))

    @KINDS
    def test_a_text_of_weight_two_counts_as_two_texts(self, labels):
        texts = texts_of(labels)
        weights = np.where(np.arange(len(texts.targets)) < 10, 2.0, 1.0)
        weighted = LabelledFeatures(texts.features, texts.targets, labels, weights=weights)
        drawn_twice = LabelledFeatures(texts.features, texts.targets, labels, frequencies=weights)
        repeated = texts.part(np.concatenate([np.arange(10), np.arange(len(texts.targets))]))
        expected = fit(repeated, prior(repeated), 1.0)
        assert_same(fit(weighted, prior(weighted), 1.0), expected)
        assert_same(fit(drawn_twice, prior(drawn_twice), 1.0), expected)


class TestPrior:
    @KINDS
    def test_predicts_how_frequent_each_label_is(self, labels):
        texts = texts_of(labels, count=2000)
        probabilities = labels.probabilities(prior(texts).logits(texts.features[:1]))[0]
        numbers = labels.of_targets(texts.targets)
        frequencies = numbers.mean(axis=0) if labels.multi_label else np.bincount(numbers) / len(numbers)
        np.testing.assert_allclose(probabilities, frequencies, atol=1e-3)

    @KINDS
    def test_a_label_without_a_text_is_not_impossible(self, labels):
        texts = texts_of(labels, count=8)
        none = np.zeros_like(texts.targets)
        none[:, 0] = 0 if labels.activation == "sigmoid" else 1
        assert np.isfinite(prior(LabelledFeatures(texts.features, none, labels)).bias).all()


class TestCrossValidation:
    def chosen(self, texts, *heads):
        return fit_cross_validated(texts, [prior, *(lambda _, head=head: head for head in heads)], seed=0)

    @KINDS
    def test_few_texts_are_held_to_a_head_that_is_right(self, labels):
        truth = head_of(labels, scale=3.0)
        texts = texts_of(labels, count=12, truth=truth)
        head, start, penalty = self.chosen(texts, truth)
        assert start == 1
        others = texts_of(labels, count=500, seed=2, truth=truth)
        alone = fit_cross_validated(texts, [prior], seed=0)[0]
        assert losses_of(others, head)[0].mean() < losses_of(others, alone)[0].mean()

    @KINDS
    def test_many_texts_do_not_follow_a_head_that_is_wrong(self, labels):
        truth = head_of(labels, scale=3.0)
        wrong = Head(-truth.kernel, truth.bias)
        texts = texts_of(labels, count=300, truth=truth)
        head, *_ = self.chosen(texts, wrong)
        others = texts_of(labels, count=500, seed=2, truth=truth)
        assert losses_of(others, head)[0].mean() < 1.2 * losses_of(others, truth)[0].mean()

    def test_features_that_know_little_get_a_larger_penalty(self):
        def median_penalty(truth):
            return np.median([self.chosen(texts_of(SENTIMENT, 60, seed, truth))[2] for seed in range(5)])

        assert median_penalty(nothing(SENTIMENT)) > 5 * median_penalty(head_of(SENTIMENT, scale=3.0))

    @pytest.mark.parametrize("count", [2, 3, 7])
    @KINDS
    def test_very_few_texts(self, labels, count):
        head, *_ = self.chosen(texts_of(labels, count=count), head_of(labels))
        assert np.isfinite(head.kernel).all()

    def test_the_same_seed_chooses_the_same_head(self):
        texts = texts_of(SENTIMENT)
        assert_same(self.chosen(texts)[0], self.chosen(texts)[0], tolerance=0)

    @KINDS
    def test_metrics_are_those_of_the_probabilities(self, labels):
        texts, head = texts_of(labels), head_of(labels)
        probabilities = labels.probabilities(head.logits(texts.features))
        truth = labels.of_targets(texts.targets)
        if labels.multi_label:
            right = (labels.decide(probabilities) == truth).all(axis=1)
            loss = -np.log(np.where(truth == 1, probabilities, 1 - probabilities)).mean()
        else:
            right = probabilities.argmax(axis=1) == truth
            loss = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
        name = "binary_accuracy" if labels.is_binary else "accuracy"
        assert texts.metrics(head) == pytest.approx({"loss": loss, name: right.mean()})


class TestOutOfFold:
    @KINDS
    def test_each_text_is_predicted_from_the_other_folds(self, labels):
        texts, folds = texts_of(labels), np.arange(40) % 4
        logits, penalty = out_of_fold_logits(texts, folds)
        assert penalty in PENALTIES
        for fold in range(4):
            others = texts.part(folds != fold)
            expected = fit(others, prior(others), penalty).logits(texts.features[folds == fold])
            np.testing.assert_allclose(logits[folds == fold], expected, atol=0.01)

    def test_the_penalty_has_the_lowest_loss_of_these_logits(self):
        texts = texts_of(SENTIMENT, 60)
        folds = np.arange(60) % 3

        def loss(penalty):
            parts = [(texts.part(folds != fold), texts.part(folds == fold)) for fold in range(3)]
            return sum(losses_of(held_out, fit(known, prior(known), penalty))[0].sum() for known, held_out in parts)

        _, chosen = out_of_fold_logits(texts, folds)
        assert loss(chosen) == pytest.approx(min(map(loss, PENALTIES)), rel=1e-4)
