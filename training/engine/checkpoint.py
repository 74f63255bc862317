"""Checkpoints: the complete state of a training run on disk, from which a killed run can be resumed."""

import json
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from system.errors import InputError, first_line
from system.files import as_input_error, write_atomically

START_AGAIN = "delete it and start again without --resume"
KEPT = "kept"  # the beginning of the names of `kept_weights` in the file


class Checkpoint(keras.callbacks.Callback):
    """A callback that writes the state of a run every few seconds.

    The state is weights, optimizer, random generators, running metrics and the position in the run. A resumed run ends
    with the same weights, bit for bit, as one that was never interrupted. If the model has `fixed_variables`, which the
    run reads and never changes, they are left out.

    Args:
        path: the `.npz` file.
        interval: seconds between two checkpoints.
        data_sha256: a hash of the data; a run can only be resumed on the same data.

    Attributes:
        progress: JSON values about the position in the run: `epoch`, `batch`, `history` and `data_sha256`.
        kept_weights: weights that the run keeps for its end, see `training.engine.best_epoch`.
    """

    def __init__(self, path: Path, interval: float = 60.0, data_sha256: str = ""):
        super().__init__()
        self.path = Path(path)
        self.interval = interval
        self.data_sha256 = data_sha256
        self.progress = {"data_sha256": data_sha256}
        self.kept_weights: list[np.ndarray] = []
        self._first_batch = 0
        self._saved = {}
        self._metrics_to_restore = None
        self._last_write = time.monotonic()

    def start_epoch(self, epoch: int, history: dict[str, list[float]]) -> int:
        """Record the start of an epoch; return the number of its first batch that is not yet done."""
        self._first_batch = self.progress["batch"] if self.progress.get("epoch") == epoch else 0
        self.progress |= {"epoch": epoch, "batch": self._first_batch, "history": history}
        return self._first_batch

    def finish_epoch(self, model: keras.Model, kept_weights: list[np.ndarray]) -> None:
        """Record the end of an epoch, including its validation, and write the state."""
        self.kept_weights = kept_weights
        self.progress |= {"epoch": self.progress["epoch"] + 1, "batch": 0}
        self.save(model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        # `fit` has just reset the metrics; an epoch that is resumed in its middle continues with its sums.
        if self._metrics_to_restore is not None:
            _assign(self.model.metrics_variables, self._metrics_to_restore)
            self._metrics_to_restore = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.progress["batch"] = self._first_batch + batch + 1
        # After the last batch, `finish_epoch` writes the state together with the metrics of the validation.
        if batch + 1 < self.params["steps"] and time.monotonic() - self._last_write >= self.interval:
            self.save(self.model)

    def save(self, model: keras.Model) -> None:
        """Write the state of `model` now."""
        arrays = {
            f"{kind}_{index:04d}": keras.ops.convert_to_numpy(variable.value)
            for kind, variables in _state_of(model).items()
            for index, variable in enumerate(variables)
        }
        arrays |= {f"{KEPT}_{index:04d}": array for index, array in enumerate(self.kept_weights)}
        with write_atomically(self.path, "wb") as file:
            np.savez(file, progress=np.array(json.dumps(self.progress)), **arrays)
        self._last_write = time.monotonic()

    def load(self) -> None:
        """Read the file, and set `progress` to that of the interrupted run.

        Raises:
            InputError: there is no such file, it is damaged, or it belongs to a run on other data.
        """
        if not self.path.is_file():
            raise InputError(f"{self.path}: no interrupted run to resume; start again without --resume")
        try:
            with as_input_error(self.path), np.load(self.path) as arrays:
                self._saved = {name: arrays[name] for name in arrays.files}
            self.progress = json.loads(str(self._saved.pop("progress")))
        except (EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: the checkpoint is damaged; {START_AGAIN}") from error
        if self.progress.get("data_sha256") != self.data_sha256:
            raise InputError(
                f"{self.path}: the data has changed since the run was interrupted; restore the data, or {START_AGAIN}"
            )

    def restore(self, model: keras.Model) -> None:
        """Set the state of `model` to the one that was loaded.

        Args:
            model: a compiled model whose optimizer is built.

        Raises:
            InputError: the state belongs to another network.
        """
        states = {
            kind: [self._saved[name] for name in sorted(self._saved) if name.startswith(f"{kind}_")]
            for kind in (*_state_of(model), KEPT)
        }
        self._saved = {}
        self.kept_weights = states.pop(KEPT)
        metrics = states.pop("metrics")
        self._metrics_to_restore = metrics if self.progress.get("batch") else None
        try:
            for kind, values in states.items():
                _assign(_state_of(model)[kind], values)
        except ValueError as error:
            raise InputError(
                f"{self.path}: the checkpoint belongs to another network ({first_line(error)}); {START_AGAIN}"
            ) from error


def _state_of(model: keras.Model) -> dict[str, list[keras.Variable]]:
    fixed = {id(variable) for variable in getattr(model, "fixed_variables", ())}
    return {
        "model": [variable for variable in model.variables if id(variable) not in fixed],
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
