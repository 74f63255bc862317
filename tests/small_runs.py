"""Training runs of a few steps, on a network of two layers."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from layer_checks import as_array

from training.engine.batches.epoch_batches import LabelledBatches
from training.engine.checkpoint import Checkpoint
from training.engine.loop import History, fit_epochs

ROWS, BATCH_SIZE, EPOCHS = 12, 4, 3
STEPS = ROWS // BATCH_SIZE
FEATURES = np.random.default_rng(0).normal(size=(ROWS, 5)).astype("float32")
LABELS = (FEATURES[:, 0] > 0).astype("float32")


def small_network(seed: int = 0, units: int = 6) -> keras.Model:
    """Return a compiled network with dropout, so that a resumed run needs the state of the random generators."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dropout(0.3)(keras.layers.Dense(units, "relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile(keras.optimizers.AdamW(0.05), "binary_crossentropy", metrics=["binary_accuracy"], run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return model


def batches_of(epoch: int = 0, first_batch: int = 0, labels: np.ndarray = LABELS) -> LabelledBatches:
    return LabelledBatches(FEATURES, labels, BATCH_SIZE, seed=1, epoch=epoch, first_batch=first_batch)


def evaluate(model: keras.Model) -> dict[str, float]:
    return model.evaluate(FEATURES, LABELS, batch_size=ROWS, verbose=0, return_dict=True)


def fit(
    model: keras.Model, checkpoint: Checkpoint | None = None, batches=batches_of, validate=None, **options
) -> History:
    """Train for `EPOCHS` epochs; validate on the training data unless `validate` is given."""
    return fit_epochs(model, batches, validate or (lambda: evaluate(model)), EPOCHS, checkpoint=checkpoint, **options)


def all_variables(model: keras.Model) -> list[np.ndarray]:
    return [as_array(variable.value) for variable in (*model.variables, *model.optimizer.variables)]


class Killed(Exception):
    """A stand-in for SIGKILL: no code of the run handles it."""


class KillAfter(keras.callbacks.Callback):
    """A callback that ends the run at the start of a batch, after so many complete batches."""

    def __init__(self, batches: int, error: type[BaseException] = Killed):
        super().__init__()
        self.batches_left = batches
        self.error = error

    def on_train_batch_begin(self, batch, logs=None):
        if not self.batches_left:
            raise self.error
        self.batches_left -= 1


class KillingCheckpoint(Checkpoint):
    """A checkpoint that is written after every batch, whatever its interval, and ends the run after so many batches."""

    def __init__(self, path: Path, interval: float = 0.0, *options: str | int | None, batches: int):
        super().__init__(path, 0.0, *options)
        self.batches_left = batches

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.batches_left -= 1
        if not self.batches_left:
            raise Killed


@contextlib.contextmanager
def step_by_step() -> Iterator[None]:
    """Run training steps of this process without tracing or compiling them, which takes most of a short training."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
