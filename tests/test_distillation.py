"""The loss of labels and teachers, and what it is computed from."""

import dataclasses

import numpy as np
import pytest
from layer_checks import as_array

import fine_tuning
from text.dataset.splits import Split
from text.labels import SENTIMENT, LabelSet
from text.tokens.windows import Windows
from training.logistic_regression import Head, LabelledFeatures, SoftTargets, losses_of
from training.objectives.distillation import DistillationLoss, distillation_accuracy, joined, parts_of, targets_of
from training.objectives.losses import classification_loss

THREE = LabelSet(("低", "中", "高"))
SEVERAL = LabelSet(("服务", "位置", "早餐"), multi_label=True)
TEXTS, TEMPERATURE = 6, 2.5
LABEL_SETS = pytest.mark.parametrize("labels", [SENTIMENT, THREE, SEVERAL], ids=["two", "three", "several"])


def random_texts(labels):
    """Return targets, the probabilities of teachers, weights of the labels and logits of a student."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2, TEXTS, labels.num_outputs))
    drawn = generator.integers(0, 2, (TEXTS, 3) if labels.multi_label else TEXTS)
    soft_targets = labels.soft_targets(labels.probabilities(logits[0] / TEMPERATURE))
    weights = np.array([0, 1, 0.3, 0.3, 0.5, 0], np.float32)
    return labels.targets(drawn), soft_targets, weights, logits[1].astype(np.float32)


def cross_entropy(labels, targets, logits):
    """Return the loss of each text as it is defined, from probabilities, (texts,)."""
    if labels.activation == "sigmoid":
        probabilities = 1 / (1 + np.exp(-logits))
        return -(targets * np.log(probabilities) + (1 - targets) * np.log(1 - probabilities)).mean(axis=1)
    exponentials = np.exp(logits)
    return -(targets * np.log(exponentials / exponentials.sum(axis=1, keepdims=True))).sum(axis=1)


def split_of(targets, **of_teachers):
    windows = Windows(np.zeros((len(targets), 4), np.int32), None, np.arange(len(targets)), None)
    return Split([""] * len(targets), targets, windows, **of_teachers)


class TestLoss:
    @LABEL_SETS
    def test_it_is_the_weighted_mean_of_both(self, labels):
        targets, soft_targets, weights, logits = random_texts(labels)
        of_labels = cross_entropy(labels, targets, logits)
        of_teachers = TEMPERATURE**2 * cross_entropy(labels, soft_targets, logits / TEMPERATURE)
        loss = DistillationLoss(classification_loss(labels), TEMPERATURE)
        found = as_array(loss.call(np.float32(joined(targets, soft_targets, weights)), logits))
        np.testing.assert_allclose(found, weights * of_labels + (1 - weights) * of_teachers, rtol=1e-5)

    @LABEL_SETS
    def test_at_temperature_1_it_is_that_of_mixed_targets(self, labels):
        targets, soft_targets, weights, logits = random_texts(labels)
        mixed = weights[:, None] * targets + (1 - weights[:, None]) * soft_targets
        found = DistillationLoss(classification_loss(labels), 1.0)(joined(targets, soft_targets, weights), logits)
        np.testing.assert_allclose(as_array(found), cross_entropy(labels, mixed, logits).mean(), rtol=1e-5)

    @LABEL_SETS
    def test_a_head_that_converges_has_the_same(self, labels):
        targets, soft_targets, weights, _ = random_texts(labels)
        features = np.random.default_rng(1).normal(size=(TEXTS, 4))
        kernel = np.random.default_rng(2).normal(size=(4, labels.num_outputs))
        texts = LabelledFeatures(features, targets, labels, soft=SoftTargets(soft_targets, weights, TEMPERATURE))
        head = Head(kernel, np.zeros(labels.num_outputs))
        losses, by_logits = losses_of(texts, head)
        loss = DistillationLoss(classification_loss(labels), TEMPERATURE)
        expected = as_array(
            loss.call(np.float32(joined(targets, soft_targets, weights)), np.float32(features @ kernel))
        )
        count = labels.num_outputs if labels.activation == "sigmoid" else 1  # the sum of outputs, not their mean
        np.testing.assert_allclose(losses, expected * count, rtol=1e-5)
        step = 1e-6
        raised = losses_of(texts, head._replace(bias=head.bias + step * (np.arange(labels.num_outputs) == 0)))[0]
        np.testing.assert_allclose((raised - losses) / step, by_logits[:, 0], atol=1e-4)

    def test_some_of_the_texts_keep_their_teachers(self):
        targets, soft_targets, weights, _ = random_texts(THREE)
        texts = LabelledFeatures(np.eye(TEXTS), targets, THREE, soft=SoftTargets(soft_targets, weights, TEMPERATURE))
        head = Head(np.random.default_rng(0).normal(size=(TEXTS, 3)), np.zeros(3))
        rows = np.array([4, 2])
        np.testing.assert_array_equal(losses_of(texts.part(rows), head)[0], losses_of(texts, head)[0][rows])


class TestTargets:
    def test_the_default_is_the_targets_alone(self):
        splits = [split_of(np.eye(3, dtype=np.float32)), split_of(np.full((2, 3), 1 / 3, np.float32))]
        assert targets_of(splits, fine_tuning.PLAN).shape == (5, 3)

    def test_a_text_without_teachers_has_its_label_alone(self):
        plan = dataclasses.replace(fine_tuning.PLAN, teacher_temperature=2.0)
        soft_targets = np.full((2, 3), 1 / 3, np.float32)
        labelled = split_of(np.eye(3, dtype=np.float32))
        further = split_of(np.eye(3, dtype=np.float32)[:2], soft_targets=soft_targets, label_weight=0.25)
        targets, soft, weights = parts_of(targets_of([labelled, further], plan))
        np.testing.assert_array_equal(targets, np.eye(3)[[0, 1, 2, 0, 1]])
        np.testing.assert_array_equal(soft[3:], soft_targets)
        np.testing.assert_array_equal(weights, [1, 1, 1, 0.25, 0.25])

    @LABEL_SETS
    def test_the_accuracy_is_that_of_the_labels(self, labels):
        targets, soft_targets, weights, logits = random_texts(labels)
        right = labels.of_targets(targets) == labels.decide(labels.probabilities(logits))
        right = right.all(axis=1) if labels.multi_label else right
        metric = distillation_accuracy(labels)
        metric.update_state(joined(targets, soft_targets, weights), logits)
        assert float(metric.result()) == pytest.approx(right.mean())
