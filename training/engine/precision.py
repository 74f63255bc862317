"""Training in another precision than that of the saved model."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
from keras import KerasTensor

from layers import PACKAGE
from network.bert import BertClassifier


@contextlib.contextmanager
def global_precision(precision: str) -> Iterator[None]:
    """Set the global precision of Keras, in which new layers compute, while a block runs.

    Args:
        precision: the name of a dtype policy of Keras, such as "mixed_bfloat16".
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


@contextlib.contextmanager
def in_precision(classifier: BertClassifier, precision: str) -> Iterator[BertClassifier]:
    """Yield the classifier to train: a copy that computes in `precision`, or itself if it does so already.

    At the end the classifier gets the weights of the copy. It is tested and saved as it is used, in its own precision.

    Args:
        classifier: the classifier.
        precision: see `global_precision`, which is set while the block runs.
    """
    if classifier.dtype_policy.name == precision:
        yield classifier
        return
    with global_precision(precision):
        trained = BertClassifier.from_config(classifier.get_config())
        trained.set_weights(classifier.get_weights())
        yield trained
    classifier.set_weights(trained.get_weights())


def with_loss_scaling(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> keras.optimizers.Optimizer:
    """Return the optimizer to compile a model with: for "mixed_float16" one that scales the loss, else `optimizer`."""
    if model.dtype_policy.name != "mixed_float16":
        return optimizer
    return LossScaling(optimizer, name="loss_scale_optimizer")


@keras.saving.register_keras_serializable(package=PACKAGE)
class LossScaling(keras.optimizers.LossScaleOptimizer):
    """The loss scaling of Keras, except that no overflow in the gradient of an embedding is overlooked.

    On TensorFlow that gradient is a list of rows, with several for a token that occurs several times, and Keras checks
    only the last one of each token. An overflow in another one would turn the weights into NaN instead of reducing the
    scale.
    """

    def check_finite(self, grads: Sequence[KerasTensor | None]) -> KerasTensor:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            grads = [grad.values if isinstance(grad, tf.IndexedSlices) else grad for grad in grads]
        return super().check_finite(grads)
