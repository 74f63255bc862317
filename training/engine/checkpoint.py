"""Keeps the whole state of a training run on disk, so that a killed run goes on as if nothing had happened."""

import json
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from system.errors import InputError
from system.files import write_atomically


class Checkpoint(keras.callbacks.Callback):
    """Writes weights, optimizer, random generators, running metrics and the place in the run every few seconds.

    A resumed run has the same weights, bit for bit, as one that was never interrupted.

    Args:
        path: the `.npz` file.
        interval: seconds between two writes.
        data_sha256: stands for the data; a run is resumed on the same data alone.
    """

    def __init__(self, path: Path, interval: float = 60.0, data_sha256: str = ""):
        super().__init__()
        self.path = Path(path)
        self.interval = interval
        self.data_sha256 = data_sha256
        self.progress = {"data_sha256": data_sha256}
        self._first_batch = 0
        self._saved = {}
        self._metrics_to_restore = None
        self._last_write = time.monotonic()

    def start_epoch(self, epoch: int, history: dict[str, list[float]]) -> int:
        """Notes what is about to run; returns the number of the first batch that is still to be done."""
        self._first_batch = self.progress["batch"] if self.progress.get("epoch") == epoch else 0
        self.progress |= {"epoch": epoch, "batch": self._first_batch, "history": history}
        return self._first_batch

    def finish_epoch(self, model: keras.Model) -> None:
        """Notes that the epoch is done, its validation too, and writes the state."""
        self.progress |= {"epoch": self.progress["epoch"] + 1, "batch": 0}
        self.save(model)

    def on_epoch_begin(self, epoch, logs=None):
        # `fit` has just set the metrics back to zero; an epoch taken up in its middle goes on with its sums.
        if self._metrics_to_restore is not None:
            _assign(self.model.metrics_variables, self._metrics_to_restore)
            self._metrics_to_restore = None

    def on_train_batch_end(self, batch, logs=None):
        self.progress["batch"] = self._first_batch + batch + 1
        # After the last batch the figures of the validation are still to come: `finish_epoch` writes then.
        if batch + 1 < self.params["steps"] and time.monotonic() - self._last_write >= self.interval:
            self.save(self.model)

    def save(self, model: keras.Model) -> None:
        """Writes the state of `model` now."""
        arrays = {
            f"{kind}_{index:04d}": keras.ops.convert_to_numpy(variable.value)
            for kind, variables in _state_of(model).items()
            for index, variable in enumerate(variables)
        }
        with write_atomically(self.path, "wb") as file:
            np.savez(file, progress=np.array(json.dumps(self.progress)), **arrays)
        self._last_write = time.monotonic()

    def load(self) -> None:
        """Reads the file; `progress` is then that of the interrupted run.

        Raises:
            InputError: there is no such file, it is damaged, or it is of a run on other data.
        """
        if not self.path.is_file():
            raise InputError(f"{self.path}: there is no interrupted run to resume")
        try:
            with np.load(self.path) as arrays:
                self._saved = {name: arrays[name] for name in arrays.files}
            self.progress = json.loads(str(self._saved.pop("progress")))
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: the checkpoint is damaged ({error}); start anew") from None
        if self.progress.get("data_sha256") != self.data_sha256:
            raise InputError(f"{self.path}: the data has changed since the run was interrupted; start anew")

    def restore(self, model: keras.Model) -> None:
        """Puts the state that was loaded into `model`, which must be compiled and its optimizer built.

        Raises:
            InputError: the state is that of another network.
        """
        states = {
            kind: [self._saved[name] for name in sorted(self._saved) if name.startswith(f"{kind}_")]
            for kind in _state_of(model)
        }
        self._saved = {}
        metrics = states.pop("metrics")
        self._metrics_to_restore = metrics if self.progress.get("batch") else None
        try:
            for kind, values in states.items():
                _assign(_state_of(model)[kind], values)
        except ValueError as error:
            raise InputError(f"{self.path}: the checkpoint is of another network ({error}); start anew") from None


def _state_of(model: keras.Model) -> dict[str, list[keras.Variable]]:
    return {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
