"""Checkpoints: the complete state of a training run on disk, from which a killed run can be resumed."""

import contextlib
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from system.errors import InputError, first_line
from system.files import as_input_error, previous_path, write_atomically
from training.engine.distribution.processes import is_main, shared, shared_arrays
from training.engine.interruption import Interruption

NOTHING_SAVED = "Nothing of this run is saved yet."
NEVER_SAVED = (  # of a head that is fitted until it converges, in no epochs
    "This run cannot be resumed, because its training took seconds: run the same command again. Each file that it has "
    "written is complete."
)
START_AGAIN = "delete it and start again without --resume"
# What reading a damaged file raises; an array may claim a shape for which there is no memory.
DAMAGE = (EOFError, ValueError, TypeError, LookupError, RecursionError, MemoryError, OverflowError, zipfile.BadZipFile)
KEPT = "kept"  # the beginning of the names of `kept_weights` in the file


class Checkpoint(keras.callbacks.Callback):
    """A callback that writes the state of a run every few seconds, or every few steps.

    The state is weights, optimizer, random generators, running metrics and the position in the run. A resumed run ends
    with the same weights, bit for bit, as one that was never interrupted. If the model has `fixed_variables`, which the
    run reads and never changes, they are left out. The state before the last one is kept too, as `NAME.previous.npz`.
    Of several processes the main one writes and reads the file; the state does not depend on their number.

    Args:
        path: the `.npz` file.
        interval: seconds between two checkpoints.
        steps: number of training steps after which a checkpoint is written in any case; None for no such number.
        data_sha256: a hash of the data; a run can only be resumed on the same data.

    Attributes:
        progress: JSON values about the position in the run: `epoch`, `batch`, `history` and `data_sha256`.
        kept_weights: weights that the run keeps for its end, see `training.engine.best_epoch`.
        interruption: whether the run was asked to stop, which it does after it has written its state.
    """

    def __init__(self, path: Path, interval: float = 60.0, data_sha256: str = "", steps: int | None = None):
        super().__init__()
        self.path = Path(path)
        self.interval = interval
        self.steps = steps
        self.data_sha256 = data_sha256
        self.progress = {"data_sha256": data_sha256}
        self.kept_weights: list[np.ndarray] = []
        self.interruption = Interruption()
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
        self.interruption.leave()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        # `fit` has just reset the metrics; an epoch that is resumed in its middle continues with its sums.
        if self._metrics_to_restore is not None:
            _assign(self.model.metrics_variables, self._metrics_to_restore)
            self._metrics_to_restore = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.progress["batch"] = self._first_batch + batch + 1
        self.interruption.agree()
        # After the last batch, `finish_epoch` writes the state together with the metrics of the validation.
        if batch + 1 < self.params["steps"] and self._is_due():
            self.save(self.model)
            self.interruption.leave()

    def _is_due(self) -> bool:
        return (
            self.interruption.signal is not None
            or time.monotonic() - self._last_write >= self.interval
            or (self.steps is not None and self.progress["batch"] % self.steps == 0)
        )

    def save(self, model: keras.Model) -> None:
        """Write the state of `model` now.

        Raises:
            InputError: the weights are no longer numbers; the state that was written before remains.
            OutputError: the file cannot be written; likewise.
        """
        if not is_main():
            return
        arrays = {
            f"{kind}_{index:04d}": keras.ops.convert_to_numpy(variable.value)
            for kind, variables in _state_of(model).items()
            for index, variable in enumerate(variables)
        }
        if not all(np.isfinite(values).all() for name, values in arrays.items() if name.startswith("model_")):
            raise InputError(
                f"in epoch {self.progress['epoch'] + 1}, after step {self.progress['batch']}, the weights are no "
                f"longer finite numbers; {self.advice_against_divergence()}"
            )
        arrays |= {f"{KEPT}_{index:04d}": array for index, array in enumerate(self.kept_weights)}
        with write_atomically(self.path, "wb", keep_previous=True) as file:
            np.savez(file, progress=np.array(json.dumps(self.progress)), **arrays)
        self._last_write = time.monotonic()

    def advice_against_divergence(self) -> str:
        """Return what to do if the loss or the weights are no longer finite numbers."""
        if not self.path.is_file():
            return "reduce the learning rate"
        return (
            f"reduce the learning rate: the last good state is in {self.path}, so add --resume and a lower "
            "--learning-rate to continue from it, or delete it to start again"
        )

    def load(self) -> None:
        """Read the file, or the previous one if it is damaged, and set `progress` to that of the interrupted run.

        Raises:
            InputError: there is no such file, both are damaged, or they belong to a run on other data.
        """
        if is_main():
            self._load()
        self.progress, self._saved = shared(self.progress), shared_arrays(self._saved)

    def _load(self) -> None:
        previous = previous_path(self.path)
        if not self.path.is_file() and not previous.is_file():
            raise InputError(f"{self.path}: no interrupted run to resume; start again without --resume")
        try:
            self._read(self.path)
        except InputError as error:
            if not previous.is_file():
                raise
            self._read(previous)
            print(f"{first_line(error).partition(';')[0]}; continuing from {previous.name}", file=sys.stderr)
        if self.progress.get("data_sha256") != self.data_sha256:
            raise InputError(
                f"{self.path}: the data has changed since the run was interrupted; restore the data, or {START_AGAIN}"
            )

    def remove(self) -> None:
        """Remove the file and the previous one, for a run that would fail in the same way if it were resumed."""
        for path in (self.path, previous_path(self.path)):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def explained_if_interrupted(self) -> Iterator[None]:
        """Say how to continue the run if a signal ends the block."""
        try:
            yield
        except KeyboardInterrupt:  # `Terminated` is one
            saved = f"The run is saved in {self.path.parent}; continue it with --resume."
            if is_main():
                unsaved = NOTHING_SAVED if "epoch" in self.progress else NEVER_SAVED
                print(f"\n{saved if self.path.is_file() else unsaved}", file=sys.stderr)
            raise

    def _read(self, path: Path) -> None:
        try:
            with as_input_error(path), np.load(path) as arrays:
                if any(member.compress_type != zipfile.ZIP_STORED for member in arrays.zip.infolist()):
                    raise ValueError("it is compressed, which no checkpoint is")
                self._saved = {name: arrays[name] for name in arrays.files}
            self.progress = _checked_progress(json.loads(str(self._saved.pop("progress"))))
        except DAMAGE as error:
            raise InputError(f"{path}: the checkpoint is damaged; {START_AGAIN}") from error

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


def _checked_progress(progress: object) -> dict:
    """Return the position in a run, after checking the types of its values."""
    if not isinstance(progress, dict):
        raise ValueError("the progress is no JSON object")
    counts = [progress.get(name, 0) for name in ("epoch", "batch", "total_steps")]
    are_counts = all(type(count) is int and count >= 0 for count in counts)
    history = progress.get("history", {})
    are_numbers = isinstance(history, dict) and all(
        isinstance(values, list) and all(isinstance(value, int | float) for value in values)
        for values in history.values()
    )
    if not are_counts or not are_numbers:
        raise ValueError("the progress is no position in a run")
    return progress


def _state_of(model: keras.Model) -> dict[str, list[keras.Variable]]:
    fixed = {id(variable) for variable in getattr(model, "fixed_variables", ())}
    # The learning rate is a setting, which a resumed run may change; with a schedule it is no variable.
    settings = {id(getattr(model.optimizer, "inner_optimizer", model.optimizer).learning_rate)}
    return {
        "model": [variable for variable in model.variables if id(variable) not in fixed],
        "optimizer": [variable for variable in model.optimizer.variables if id(variable) not in settings],
        "metrics": model.metrics_variables,
    }


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
