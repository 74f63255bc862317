"""The loss and the accuracy of a classifier in training, both computed from logits."""

import keras
from keras import KerasTensor, ops

from text.labels import LabelSet


def classification_loss(labels: LabelSet) -> keras.losses.Loss:
    """Return the loss of a label set: the cross-entropy in nats, from logits, (batch, outputs)."""
    if labels.activation != "sigmoid":
        raise ValueError(f"the activation {labels.activation} has no loss")
    return keras.losses.BinaryCrossentropy(from_logits=True)


def binary_accuracy(targets: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return 1 where target and logit, both (batch, 1), mean the same label, and 0 elsewhere: float32, (batch,).

    The metric of Keras would count every prediction as wrong if the target is a teacher's probability.
    """
    targets, logits = ops.reshape(targets, (-1,)), ops.reshape(logits, (-1,))
    return ops.cast(ops.equal(targets >= 0.5, logits >= 0.0), "float32")
