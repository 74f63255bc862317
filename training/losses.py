"""Losses and metrics of the masked language model."""

import keras
from keras import ops


def masked_lm_loss() -> keras.losses.Loss:
    """Returns the cross-entropy of the hidden tokens, divided by the number of real targets, in nats."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def masked_accuracy(targets, logits):
    """Returns, (batch, predictions), 1 where the hidden token has the highest score.

    Compares the score of the target with the highest one, which the loss computes anyway; searching for the best token
    in each row would cost another pass over the vocabulary.
    """
    targets = ops.expand_dims(ops.cast(targets, "int32"), -1)
    target_scores = ops.squeeze(ops.take_along_axis(logits, targets, axis=-1), -1)
    return ops.cast(target_scores >= ops.max(logits, axis=-1), "float32")
