"""Logistic regression that is held to given weights, for the head of a network and few texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from system.output.display import progress
from text.dataset.draws.drawing import deal_out
from text.labels import LabelSet

FOLDS = 5
# From hardly any freedom to hardly any penalty, for features with a mean standard deviation of 1.
PENALTIES = tuple(float(10**exponent) for exponent in np.arange(4.0, -1.5, -0.5))
MOST_STEPS = 200


class Head(NamedTuple):
    """The weights of a linear classifier: its logits are `features @ kernel + bias`.

    Attributes:
        kernel: (features, outputs).
        bias: (outputs,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits, (texts, outputs), of features, (texts, features)."""
        return features @ self.kernel + self.bias


class SoftTargets(NamedTuple):
    """The predictions of teachers for the texts to train a head on.

    Attributes:
        probabilities: those of the teachers' logits divided by the temperature, (texts, outputs).
        label_weights: the weight of the targets in the loss of each text, (texts,), 0 to 1; the probabilities have the
            rest.
        temperature: see `training.objectives.distillation.DistillationLoss`.
    """

    probabilities: np.ndarray
    label_weights: np.ndarray
    temperature: float


@dataclass(frozen=True)
class LabelledFeatures:
    """Texts to train a head on.

    Attributes:
        features: (texts, features).
        targets: the probability of each output, (texts, outputs).
        labels: the labels, which the outputs mean.
        weights: the weight of each text in the loss, (texts,); None if all are 1.
        frequencies: how often an epoch draws each text, (texts,); None if all are 1.
        soft: the predictions of teachers; None to learn the targets alone.
    """

    features: np.ndarray
    targets: np.ndarray
    labels: LabelSet
    weights: np.ndarray | None = None
    frequencies: np.ndarray | None = None
    soft: SoftTargets | None = None

    @property
    def importance(self) -> np.ndarray:
        """The weight of each text in the loss of a whole epoch, float64, (texts,)."""
        importance = np.ones(len(self.targets))
        for factor in (self.weights, self.frequencies):
            if factor is not None:
                importance *= factor
        return importance

    def part(self, rows: np.ndarray) -> LabelledFeatures:
        """Return some of the texts, by a mask or by indices."""
        importance = self.importance[rows]
        soft = self.soft
        if soft is not None:
            soft = SoftTargets(soft.probabilities[rows], soft.label_weights[rows], soft.temperature)
        return LabelledFeatures(self.features[rows], self.targets[rows], self.labels, importance, soft=soft)

    def metrics(self, head: Head) -> dict[str, float]:
        """Return loss and accuracy, with the names and the meaning that they have in training by epochs."""
        loss = np.average(losses_of(self, head)[0], weights=self.importance)
        if self.labels.activation == "sigmoid":
            loss /= self.targets.shape[1]
        right = self.labels.of_targets(self.targets) == self.labels.decide(
            self.labels.probabilities(head.logits(self.features))
        )
        name = "binary_accuracy" if self.labels.is_binary else "accuracy"
        right = right.all(axis=1) if self.labels.multi_label else right
        return {"loss": float(loss), name: float(np.average(right, weights=self.importance))}


def losses_of(texts: LabelledFeatures, head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of each text in nats, (texts,), and its gradient by the logits, (texts, outputs).

    It is the cross-entropy, with soft targets as `training.objectives.distillation.DistillationLoss` has it.
    """
    logits = head.logits(texts.features)
    losses, by_logits = _cross_entropy(texts.labels, texts.targets, logits)
    if texts.soft is None:
        return losses, by_logits
    probabilities, weights, temperature = texts.soft
    soft_losses, by_divided = _cross_entropy(texts.labels, probabilities, logits / temperature)
    losses = weights * losses + (1 - weights) * temperature**2 * soft_losses
    return losses, weights[:, None] * by_logits + (1 - weights[:, None]) * temperature * by_divided


def _cross_entropy(labels: LabelSet, targets: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cross-entropy of each text, (texts,), and its gradient by the logits, (texts, outputs)."""
    if labels.activation == "sigmoid":
        losses = (np.logaddexp(0, logits) - targets * logits).sum(axis=1)
        return losses, np.exp(-np.logaddexp(0, -logits)) - targets
    normalizer = np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return (targets * (normalizer - logits)).sum(axis=1), np.exp(logits - normalizer) - targets


# Returns the weights to hold a head to, from the texts that it is fitted to.
Start = Callable[[LabelledFeatures], Head]


def prior(texts: LabelledFeatures) -> Head:
    """Return the head that knows only how frequent each label is: its kernel is zero."""
    # Half a text more with each label and half a text more without it, so that no frequency is 0 or 1.
    numbers = texts.importance @ texts.targets + 0.5
    others = texts.importance.sum() + 1 - numbers
    is_sigmoid = texts.labels.activation == "sigmoid"
    bias = np.log(numbers / others) if is_sigmoid else np.log(numbers / numbers.sum())
    return Head(np.zeros((texts.features.shape[1], texts.targets.shape[1])), bias)


def fit(texts: LabelledFeatures, held_to: Head, penalty: float, begin: Head | None = None) -> Head:
    """Return the head with the lowest sum of the losses and of half the penalty on its squared distance to a head.

    Args:
        texts: the texts.
        held_to: the head that the penalty pulls to.
        penalty: above 0, so that there is exactly one such head.
        begin: where the search begins; it saves time, but does not change the result.
    """
    shape = held_to.kernel.shape
    centre = np.concatenate([held_to.kernel.ravel(), held_to.bias])
    importance = texts.importance

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        losses, by_logits = losses_of(texts, _head(parameters, shape))
        by_logits *= importance[:, None]
        by_parameters = np.concatenate([(texts.features.T @ by_logits).ravel(), by_logits.sum(axis=0)])
        distance = parameters - centre
        return importance @ losses + penalty / 2 * (distance @ distance), by_parameters + penalty * distance

    first = centre if begin is None else np.concatenate([begin.kernel.ravel(), begin.bias])
    found = minimize(loss_and_gradient, first, jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS})
    return _head(found.x, shape)


def _head(parameters: np.ndarray, shape: tuple[int, int]) -> Head:
    return Head(parameters[: shape[0] * shape[1]].reshape(shape), parameters[shape[0] * shape[1] :])


def fit_cross_validated(texts: LabelledFeatures, starts: Sequence[Start], seed: int) -> tuple[Head, int, float]:
    """Return the head whose start and penalty have the lowest loss in cross-validation, fitted to all texts.

    Args:
        texts: two or more texts.
        starts: what to hold the head to; each is tried.
        seed: seed of the folds.

    Returns:
        The head; the index of its start; its penalty.
    """
    folds = _folds(texts, seed)
    losses = np.zeros((len(starts), len(PENALTIES)))
    for fold in np.unique(folds):
        others, held_out = texts.part(folds != fold), texts.part(folds == fold)
        for index, start in enumerate(starts):
            for number, head in enumerate(_heads_by_penalty(others, start)):
                losses[index, number] += held_out.importance @ losses_of(held_out, head)[0]
    index, number = np.unravel_index(losses.argmin(), losses.shape)
    return fit(texts, starts[index](texts), PENALTIES[number]), int(index), PENALTIES[number]


def out_of_fold_logits(texts: LabelledFeatures, folds: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the logits of each text from a head that was fitted to the other folds, (texts, outputs); its penalty.

    The head is held to `prior`. The penalty is the same in all folds: the one with the lowest loss of these logits.

    Args:
        texts: the texts, with features of a mean standard deviation of about 1.
        folds: the fold of each text, (texts,); at least two different ones.
    """
    logits = np.zeros((len(PENALTIES), *texts.targets.shape))
    losses = np.zeros(len(PENALTIES))
    for fold in progress(np.unique(folds), "predicting each fold from the others", " folds"):
        others, held_out = texts.part(folds != fold), texts.part(folds == fold)
        for number, head in enumerate(_heads_by_penalty(others, prior)):
            logits[number, folds == fold] = head.logits(held_out.features)
            losses[number] += held_out.importance @ losses_of(held_out, head)[0]
    best = losses.argmin()
    return logits[best], PENALTIES[best]


def _heads_by_penalty(texts: LabelledFeatures, start: Start) -> Iterator[Head]:
    """Yield the head that is fitted to texts with each of `PENALTIES`."""
    held_to, head = start(texts), None
    for penalty in PENALTIES:
        head = fit(texts, held_to, penalty, begin=head)
        yield head


def _folds(texts: LabelledFeatures, seed: int) -> np.ndarray:
    """Return the fold of each text, (texts,), with about the same number of texts of each label in every fold."""
    count = len(texts.targets)
    strata = np.zeros(count) if texts.labels.multi_label else texts.labels.of_targets(texts.targets)
    return deal_out(strata, min(FOLDS, count), seed)
