"""The loop over epochs that every training uses."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import keras
from tqdm import tqdm

from system.errors import InputError
from system.libraries import keep_freed_memory
from training.engine.batches.epoch_batches import EpochBatches
from training.engine.best_epoch import VALIDATION, BestEpoch
from training.engine.checkpoint import Checkpoint
from training.engine.distribution.agreement import Agreement, SharedInterruption
from training.engine.distribution.processes import is_main, num_processes
from training.engine.distribution.replicas import local_rows
from training.engine.interruption import deferred_signals
from training.engine.optimizer import averaged_weights, use_averaged_weights

History = dict[str, list[float]]


def fit_epochs(
    model: keras.Model,
    batches_of: Callable[..., EpochBatches],
    validate: Callable[[], dict[str, float]],
    epochs: int,
    *,
    checkpoint: Checkpoint | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    after_epoch: Callable[[], None] | None = None,
    best: BestEpoch | None = None,
) -> History:
    """Train a compiled model. If the optimizer averages its weights, the averages are validated and kept.

    With a checkpoint, Ctrl-C and the signals that end a process take effect after the current step, when the state is
    saved.

    Args:
        model: the model.
        batches_of: returns the batches of the epoch `epoch`, from batch `first_batch` on.
        validate: returns the metrics of the validation split.
        epochs: number of epochs.
        checkpoint: where to save the state; after `restore`, the run continues where the checkpoint ended.
        callbacks: further Keras callbacks; one that sets `model.stop_training` ends the run after its epoch.
        after_epoch: called after the metrics of each epoch are printed.
        best: chooses the epoch whose weights the model has in the end; None for the last one.

    Returns:
        The metrics of each epoch; the names of validation metrics begin with "val_".

    Raises:
        InputError: the loss or the weights are no longer finite numbers.
    """
    keep_freed_memory()
    with _saved_before_the_end(checkpoint):
        history = _fit_epochs(model, batches_of, validate, epochs, checkpoint, callbacks, after_epoch, best)
    _keep(model, history, best)
    return history


@contextlib.contextmanager
def _saved_before_the_end(checkpoint: Checkpoint | None) -> Iterator[None]:
    """Let signals end the block when the state is saved, and say how to continue."""
    if checkpoint is None:
        yield
        return
    with deferred_signals() as interruption:
        checkpoint.interruption = SharedInterruption(interruption) if num_processes() > 1 else interruption
        with checkpoint.explained_if_interrupted():
            yield


def _fit_epochs(
    model: keras.Model,
    batches_of: Callable[..., EpochBatches],
    validate: Callable[[], dict[str, float]],
    epochs: int,
    checkpoint: Checkpoint | None,
    callbacks: Iterable[keras.callbacks.Callback],
    after_epoch: Callable[[], None] | None,
    best: BestEpoch | None,
) -> History:
    """Train epoch by epoch; for the arguments see `fit_epochs`."""
    progress = checkpoint.progress if checkpoint else {}
    history = progress.get("history", {})
    if best and checkpoint:
        best.weights = checkpoint.kept_weights
    if progress.get("batch"):
        # Keras creates the variables of its metrics at their first use, and the checkpoint restores their values.
        model.test_on_batch(*local_rows(batches_of(epoch=progress["epoch"], first_batch=progress["batch"]))[0])
    for epoch in range(progress.get("epoch", 0), epochs):
        if best and best.is_over(history):
            break
        started = time.monotonic()
        first_batch = checkpoint.start_epoch(epoch, history) if checkpoint else 0
        batches = batches_of(epoch=epoch, first_batch=first_batch)
        if len(batches) <= 0:
            break
        logs = _fit_epoch(model, batches, epoch, callbacks, checkpoint)
        with averaged_weights(model):
            logs |= {f"{VALIDATION}{name}": value for name, value in _loss_first(validate()).items()}
            _require_finite_losses(logs, epoch, checkpoint)
            _record(logs, history, model, best)
        print_epoch(epoch, epochs, time.monotonic() - started, logs)
        if after_epoch:
            after_epoch()
        if checkpoint:
            checkpoint.finish_epoch(model, best.weights if best else [])
        if model.stop_training:
            break
    return history


def _record(logs: dict[str, float], history: History, model: keras.Model, best: BestEpoch | None) -> None:
    for name, value in logs.items():
        history.setdefault(name, []).append(value)
    if best:
        best.record(model, history)


def _keep(model: keras.Model, history: History, best: BestEpoch | None) -> None:
    """Set the weights that the training ends with."""
    if best:
        best.restore(model)
        print(best.describe(history), flush=True)
    else:
        use_averaged_weights(model)


def _fit_epoch(
    model: keras.Model,
    batches: EpochBatches,
    epoch: int,
    callbacks: Iterable[keras.callbacks.Callback],
    checkpoint: Checkpoint | None,
) -> dict[str, float]:
    """Train on the batches of one epoch; return its metrics, the loss first."""
    # No shuffling by Keras: its random generator is not in the checkpoint.
    history = model.fit(
        local_rows(batches.for_fit()),
        initial_epoch=epoch,
        epochs=epoch + 1,
        verbose=0,
        callbacks=[*callbacks, *([checkpoint] if checkpoint else [])],
        shuffle=False,
    ).history
    return _loss_first({name: values[-1] for name, values in history.items()})


def _require_finite_losses(logs: dict[str, float], epoch: int, checkpoint: Checkpoint | None) -> None:
    for name in ("loss", "val_loss"):
        if not math.isfinite(logs[name]):
            advice = checkpoint.advice_against_divergence() if checkpoint else "reduce the learning rate"
            raise InputError(f"the {name} became {logs[name]} in epoch {epoch + 1}; {advice}")


def _loss_first(metrics: dict[str, float]) -> dict[str, float]:
    return {name: float(metrics[name]) for name in sorted(metrics, key=lambda name: name != "loss")}


def print_epoch(epoch: int, epochs: int, seconds: float, logs: dict[str, float]) -> None:
    """Print the metrics of an epoch on one line."""
    print(f"Epoch {epoch + 1}/{epochs} - {seconds:.0f}s - {format_metrics(logs)}", flush=True)


def format_metrics(metrics: dict[str, float]) -> str:
    """Return metrics as they stand at the end of a line of a training."""
    return " - ".join(f"{name}: {value:.4f}" for name, value in metrics.items())


class ProgressBar(keras.callbacks.Callback):
    """A callback that shows the progress of an epoch, its loss and its speed, on standard error.

    Args:
        unit: the unit of progress, such as " tokens".
        units_per_batch: number of units per batch.
    """

    def __init__(self, unit: str, units_per_batch: float):
        super().__init__()
        self.unit = unit
        self.units_per_batch = units_per_batch
        self._bar = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._bar = tqdm(
            desc=f"epoch {epoch + 1}",
            total=self.params["steps"] * self.units_per_batch,
            unit=self.unit,
            unit_scale=True,
            leave=False,
            disable=not is_main(),
            # A log file should not get several lines a second.
            mininterval=0.2 if sys.stderr.isatty() else 15,
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if logs:
            self._bar.set_postfix_str(f"loss {logs['loss']:.3f}", refresh=False)
        self._bar.update(self.units_per_batch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._bar.close()


class TimeLimit(keras.callbacks.Callback):
    """A callback that ends the training when `time.monotonic()` reaches `end`, in all processes at the same step."""

    def __init__(self, end: float):
        super().__init__()
        self.end = end
        self._agreement = Agreement()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self._agreement(time.monotonic() >= self.end):
            self.model.stop_training = True
