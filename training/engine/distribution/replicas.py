"""Data parallelism: a model with its weights on every device, and the rows that each process reads.

It is that of `keras.distribution` on JAX: each device computes the gradients of its rows, and XLA averages them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import keras
import numpy as np

from system.errors import InputError
from training.engine.distribution.processes import is_main, shared, shared_arrays

AnyModel = TypeVar("AnyModel", bound=keras.Model)
Result = TypeVar("Result")


@contextlib.contextmanager
def replica(model: AnyModel, *, enabled: bool) -> Iterator[AnyModel]:
    """Yield the model to train on all devices: a copy with a set of weights on each, or `model` itself if not enabled.

    In the block new variables are on all devices too. `model` remains on one device of this process, for what only one
    process does; at the end it gets the weights of the copy.

    Args:
        model: the model; the weights of the main process count, and the state of its random generators.
        enabled: whether several devices train.
    """
    if not enabled:
        yield model
        return
    values = shared_arrays({f"{index:04d}": value for index, value in enumerate(_values_of(model))})
    # Each process reads its own rows, see `LocalRows`.
    with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
        copy = type(model).from_config(model.get_config())
        _assign(copy, [values[name] for name in sorted(values)])
        yield copy
        trained = _values_of(copy)
    _assign(model, trained)


def in_main(model: AnyModel, copy: AnyModel, function: Callable[[], Result]) -> Callable[[], Result]:
    """Return a function that calls `function` in the main process when `model` has the weights of its `replica`.

    It returns the result in all processes, which must be something that JSON can contain.
    """
    if copy is model:
        return function

    def call() -> Result:
        if not is_main():
            return shared(None)
        values = _values_of(copy)
        distribution = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            _assign(model, values)
            return shared(function())
        finally:
            keras.distribution.set_distribution(distribution)

    return call


def require_divisible(batch_size: int) -> None:
    """Require that the devices divide a batch into equal parts; without `replica` every size will do.

    Raises:
        InputError: they do not.
    """
    devices = _num_devices()
    if batch_size % devices:
        nearest = max(1, round(batch_size / devices)) * devices
        raise InputError(
            f"--batch-size {batch_size} cannot be divided evenly among {devices} devices: choose a multiple of "
            f"{devices}, such as {nearest}"
        )


def local_rows(batches: keras.utils.PyDataset) -> keras.utils.PyDataset:
    """Return what to train or evaluate on in this process: its `LocalRows`, or all rows without `replica`."""
    return batches if keras.distribution.distribution() is None else LocalRows(batches)


class LocalRows(keras.utils.PyDataset):
    """The rows of each batch that the devices of this process compute.

    The batches are made whole in every process, so that they do not depend on the number of processes. A batch that the
    devices do not divide is filled up with copies of its last row, of weight 0.

    Args:
        batches: returns inputs, targets and weights, each an array or a dict of arrays of (rows, …).
    """

    def __init__(self, batches: keras.utils.PyDataset):
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple:
        inputs, targets, weights = self.batches[index]
        return (
            keras.tree.map_structure(_rows_of_process, inputs),
            keras.tree.map_structure(_rows_of_process, targets),
            keras.tree.map_structure(lambda values: _rows_of_process(values, weight=0), weights),
        )


def _rows_of_process(values: np.ndarray, weight: float | None = None) -> np.ndarray:
    """Return the rows of this process.

    Args:
        values: (rows, …).
        weight: the value of the rows that fill the batch up; None repeats the last row.
    """
    import jax

    missing = -len(values) % _num_devices()
    if missing:
        filling = np.repeat(values[-1:], missing, axis=0)
        values = np.concatenate([values, filling if weight is None else np.full_like(filling, weight)])
    return np.split(values, jax.process_count())[jax.process_index()]


def _values_of(model: keras.Model) -> list[np.ndarray]:
    """Return the values of the weights and of the random generators."""
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]


def _assign(model: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _num_devices() -> int:
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_model_replicas
