"""Training in another precision than that of the saved model."""

import contextlib
from collections.abc import Iterator

import keras

from network.bert import BertClassifier


@contextlib.contextmanager
def in_precision(classifier: BertClassifier, precision: str) -> Iterator[BertClassifier]:
    """Yield the classifier to train: a copy that computes in `precision`, or itself if it does so already.

    At the end the classifier gets the weights of the copy. It is tested and saved as it is used, in its own precision,
    and Keras' global precision is what it was.

    Args:
        classifier: the classifier.
        precision: the name of a dtype policy of Keras, such as "mixed_bfloat16".
    """
    if classifier.dtype_policy.name == precision:
        yield classifier
        return
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        trained = BertClassifier.from_config(classifier.get_config())
        trained.set_weights(classifier.get_weights())
        yield trained
    finally:
        keras.config.set_dtype_policy(policy)
    classifier.set_weights(trained.get_weights())
