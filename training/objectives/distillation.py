"""The loss of texts with the predictions of teachers, beside their labels or instead of them.

A row of its targets is the targets of the labels, those of the teachers, and the weight of the labels.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import KerasTensor

from text.dataset.splits import Split
from text.labels import LabelSet
from training.objectives.losses import accuracy_function
from training.plans.fine_tuning import FineTuningPlan


class DistillationLoss(keras.losses.Loss):
    """A weighted mean of the loss of the labels and of that of the teachers.

    The teachers' probabilities are those of their logits divided by a temperature. Their loss divides the logits of the
    student by the same number, and is multiplied by its square, because the gradients fall with it. Hinton et al.,
    "Distilling the Knowledge in a Neural Network" (2015), section 2.

    Args:
        loss: the loss of targets, (batch, outputs), from logits, (batch, outputs).
        temperature: the temperature of the teachers' probabilities.

    Call arguments:
        y_true: (batch, 2 × outputs + 1), see `joined`.
        y_pred: logits, (batch, outputs).

    Returns:
        (batch,)
    """

    def __init__(self, loss: keras.losses.Loss, temperature: float):
        super().__init__(name="distillation_loss")
        self.loss = loss
        self.temperature = temperature

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        targets, soft_targets, label_weights = parts_of(y_true)
        of_labels = self.loss.call(targets, y_pred)
        of_teachers = self.temperature**2 * self.loss.call(soft_targets, y_pred / self.temperature)
        return label_weights * of_labels + (1 - label_weights) * of_teachers


def distillation_accuracy(labels: LabelSet) -> keras.metrics.Metric:
    """Return the metric of `training.objectives.losses.classification_accuracy`, for the targets of `joined`.

    It compares with the label where a text has one, else with the teachers.
    """
    function = accuracy_function(labels)

    def of_labels(targets: KerasTensor, logits: KerasTensor) -> KerasTensor:
        return function(parts_of(targets)[0], logits)

    return keras.metrics.MeanMetricWrapper(of_labels, name="binary_accuracy" if labels.is_binary else "accuracy")


def targets_of(splits: Sequence[Split], plan: FineTuningPlan) -> np.ndarray:
    """Return the targets of the texts of several splits, float32, as the loss of the plan expects them.

    They are (texts, outputs), or (texts, 2 × outputs + 1) for `DistillationLoss`, see `joined`.
    """
    targets = np.concatenate([split.targets for split in splits])
    return joined(targets, *soft_targets_of(splits)) if plan.has_soft_loss else targets


def soft_targets_of(splits: Sequence[Split]) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of the teachers, float32, (texts, outputs), and the weights of the labels, float32, (texts,).

    Texts without teachers have their own targets, with a weight of 1.
    """
    soft_targets = [split.targets if split.soft_targets is None else split.soft_targets for split in splits]
    label_weights = [np.full(len(split.texts), split.label_weight, np.float32) for split in splits]
    return np.concatenate(soft_targets), np.concatenate(label_weights)


def joined(targets: np.ndarray, soft_targets: np.ndarray, label_weights: np.ndarray) -> np.ndarray:
    """Return both kinds of targets, (texts, outputs), and the weights, (texts,), as (texts, 2 × outputs + 1)."""
    return np.concatenate([targets, soft_targets, label_weights[:, None]], axis=1)


def parts_of(targets: KerasTensor) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """Return what `joined` has joined."""
    outputs = targets.shape[-1] // 2
    return targets[:, :outputs], targets[:, outputs:-1], targets[:, -1]
