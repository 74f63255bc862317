"""The loss and the accuracy of a classifier in training, both computed from logits."""

from collections.abc import Callable

import keras
from keras import KerasTensor, ops

from text.labels import LabelSet


def classification_loss(
    labels: LabelSet, *, focal_gamma: float | None = None, label_smoothing: float = 0.0
) -> keras.losses.Loss:
    """Return the loss of a label set in nats, from logits, (batch, outputs): the cross-entropy, or the focal loss.

    Targets may be probabilities, such as a teacher's. The loss of several sigmoid outputs is their mean.

    Args:
        labels: the labels.
        focal_gamma: the exponent of the focal loss, which multiplies the cross-entropy by a power of 1 minus the
            probability of the target. Lin et al., "Focal Loss for Dense Object Detection" (2017). None for the
            cross-entropy.
        label_smoothing: the fraction of each target that is distributed evenly: over all labels, or over yes and no
            for a sigmoid output. Szegedy et al., "Rethinking the Inception Architecture" (2016), section 7.
    """
    options = {"from_logits": True, "label_smoothing": label_smoothing}
    if labels.activation == "sigmoid":
        if focal_gamma is None:
            return keras.losses.BinaryCrossentropy(**options)
        return keras.losses.BinaryFocalCrossentropy(gamma=focal_gamma, **options)
    if focal_gamma is None:
        return keras.losses.CategoricalCrossentropy(**options)
    # Without the weight of Keras, which by default divides the loss by 4.
    return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=focal_gamma, **options)


def classification_accuracy(
    labels: LabelSet,
) -> Callable[[KerasTensor, KerasTensor], KerasTensor] | keras.metrics.Metric:
    """Return the metric of a label set that says which predictions are right."""
    function = accuracy_function(labels)
    return keras.metrics.MeanMetricWrapper(function, name="accuracy") if labels.multi_label else function


def accuracy_function(labels: LabelSet) -> Callable[[KerasTensor, KerasTensor], KerasTensor]:
    """Return the function of targets and logits, (batch, outputs), that returns 1 for a right prediction: (batch,)."""
    if labels.multi_label:
        return exact_match
    return binary_accuracy if labels.is_binary else accuracy


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
