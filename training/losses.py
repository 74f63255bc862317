"""The loss and the accuracy of a classifier in training, both computed from logits."""

from collections.abc import Callable

import keras
from keras import KerasTensor, ops

from text.labels import LabelSet


def classification_loss(labels: LabelSet) -> keras.losses.Loss:
    """Return the loss of a label set: the cross-entropy in nats, from logits, (batch, outputs)."""
    if labels.activation == "sigmoid":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def classification_accuracy(
    labels: LabelSet,
) -> Callable[[KerasTensor, KerasTensor], KerasTensor] | keras.metrics.Metric:
    """Return the metric of a label set that says which predictions are right."""
    if labels.multi_label:
        return keras.metrics.MeanMetricWrapper(exact_match, name="accuracy")
    return binary_accuracy if labels.activation == "sigmoid" else accuracy


def binary_accuracy(targets: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return 1 where target and logit, both (batch, 1), mean the same label, and 0 elsewhere: float32, (batch,).

    The metric of Keras would count every prediction as wrong if the target is a teacher's probability.
    """
    targets, logits = ops.reshape(targets, (-1,)), ops.reshape(logits, (-1,))
    return ops.cast(ops.equal(targets >= 0.5, logits >= 0.0), "float32")


def accuracy(targets: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return 1 where the highest target and the highest logit, both (batch, labels), are of one label: (batch,)."""
    return ops.cast(ops.equal(ops.argmax(targets, axis=-1), ops.argmax(logits, axis=-1)), "float32")


def exact_match(targets: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return 1 where targets and logits, both (batch, labels), mean the same labels, and 0 elsewhere: (batch,)."""
    return ops.cast(ops.all(ops.equal(targets >= 0.5, logits >= 0.0), axis=-1), "float32")
