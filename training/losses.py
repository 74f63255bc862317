"""The loss and the accuracy of a classifier in training, both from logits."""

import keras
from keras import ops

from text.labels import LabelSet


def classification_loss(labels: LabelSet) -> keras.losses.Loss:
    """Return the cross-entropy of the logits, (batch, outputs), with the targets of a label set, in nats."""
    if labels.activation != "sigmoid":
        raise ValueError(f"there is no loss for the activation {labels.activation}")
    return keras.losses.BinaryCrossentropy(from_logits=True)


def binary_accuracy(targets, logits):
    """Return, (batch,), 1 where target and logit, both (batch, 1), stand for the same label.

    Keras' own metric counts no prediction as right whose target is a teacher's probability.
    """
    targets, logits = ops.reshape(targets, (-1,)), ops.reshape(logits, (-1,))
    return ops.cast(ops.equal(targets >= 0.5, logits >= 0.0), "float32")
