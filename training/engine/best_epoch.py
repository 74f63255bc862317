"""The choice of the epoch whose weights are kept."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from system.errors import InputError

VALIDATION = "val_"
LOWER_IS_BETTER = ("loss",)


class BestEpoch:
    """The epoch with the best value of a validation metric, the first one of several, and its weights.

    Args:
        metric: the metric, such as "loss" or "macro_f1"; "accuracy" is also the "binary_accuracy" of two labels.
        patience: number of epochs without a better value after which the training ends; None trains all epochs.

    Attributes:
        weights: the trainable weights of the best epoch so far; a checkpoint keeps them.
    """

    def __init__(self, metric: str, patience: int | None = None):
        self.metric = metric
        self.patience = patience
        self.weights: list[np.ndarray] = []

    def record(self, model: keras.Model, history: Mapping[str, Sequence[float]]) -> None:
        """Keep the weights of `model` if the last epoch of the history is the best one.

        Raises:
            InputError: the validation does not compute the metric.
        """
        if self._index(history) == len(self._values(history)) - 1:
            # Copies, because on torch the arrays would change with the weights.
            self.weights = [
                np.array(variable) for variable in map(keras.ops.convert_to_numpy, model.trainable_variables)
            ]

    def is_over(self, history: Mapping[str, Sequence[float]]) -> bool:
        """Return whether the patience is exhausted."""
        if self.patience is None or not history:
            return False
        return len(self._values(history)) - 1 - self._index(history) >= self.patience

    def restore(self, model: keras.Model) -> None:
        """Set the trainable weights of `model` to those of the best epoch."""
        for variable, value in zip(model.trainable_variables, self.weights, strict=True):
            variable.assign(value)

    def describe(self, history: Mapping[str, Sequence[float]]) -> str:
        """Return which epoch was kept, as in "kept epoch 2 of 5: val_loss 0.2589"."""
        values, index = self._values(history), self._index(history)
        return f"kept epoch {index + 1} of {len(values)}: {self._name(history)} {values[index]:.4f}"

    def _name(self, history: Mapping[str, Sequence[float]]) -> str:
        for name in (VALIDATION + self.metric, f"{VALIDATION}binary_{self.metric}"):
            if name in history:
                return name
        names = ", ".join(name.removeprefix(VALIDATION) for name in history if name.startswith(VALIDATION))
        raise InputError(f"--monitor {self.metric}: these labels have no such metric; choose one of {names}")

    def _values(self, history: Mapping[str, Sequence[float]]) -> Sequence[float]:
        return history[self._name(history)]

    def _index(self, history: Mapping[str, Sequence[float]]) -> int:
        best = np.argmin if self.metric in LOWER_IS_BETTER else np.argmax
        return int(best(self._values(history)))
