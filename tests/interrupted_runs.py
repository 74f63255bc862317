"""Training runs that end at a set place: by Ctrl-C or an error in this process, or by SIGKILL in one of their own."""

import json
import signal
from collections.abc import Callable

import numpy as np
import pytest
from scripts import run
from small_runs import Killed

import training.engine.loop
from recipes.fine_tuning import fine_tune
from training.engine.checkpoint import Checkpoint


class InterruptAfter:
    """Takes the place of `print_epoch` and raises KeyboardInterrupt after so many epochs."""

    def __init__(self, epochs: int):
        self.epochs_left = epochs
        self.print_epoch = training.engine.loop.print_epoch

    def __call__(self, *arguments):
        self.print_epoch(*arguments)
        self.epochs_left -= 1
        if not self.epochs_left:
            raise KeyboardInterrupt


class InterruptedFineTuning:
    """Takes the place of `fine_tune` in a study and raises KeyboardInterrupt after so many whole runs."""

    def __init__(self, runs: int):
        self.runs_left = runs

    def __call__(self, *arguments, **options):
        fine_tune(*arguments, **options)
        self.runs_left -= 1
        if not self.runs_left:
            raise KeyboardInterrupt


def run_until_killed(script: str, epoch: int, batch: int, arguments: list[str], folder) -> None:
    """Run a script in a folder; check that it is killed after a batch of an epoch, both counted from 0."""
    process = run("tests/programs/train_until_killed.py", [script, str(epoch), str(batch), *arguments], folder)
    assert process.returncode == -signal.SIGKILL, process.stderr


def call_until_killed(main: Callable, epoch: int, batch: int, arguments: list[str], monkeypatch) -> None:
    """Call a script in this process; no code of it handles what ends it after a batch of an epoch, counted from 0."""
    on_train_batch_end = Checkpoint.on_train_batch_end

    def killed_after_batch(checkpoint, number, logs=None):
        on_train_batch_end(checkpoint, number, logs)
        if (checkpoint.progress["epoch"], checkpoint.progress["batch"]) == (epoch, batch):
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoint, "on_train_batch_end", killed_after_batch)
        main(arguments)


def progress_of(checkpoint) -> tuple[int, int]:
    """Return the epoch and the number of its finished batches in a checkpoint."""
    with np.load(checkpoint) as arrays:
        progress = json.loads(str(arrays["progress"]))
    return progress["epoch"], progress["batch"]


def epochs_printed(printed: str) -> list[str]:
    """Return the beginnings of the lines with the metrics of an epoch, such as "Epoch 2/5"."""
    return [line.split(" - ")[0] for line in printed.splitlines() if line.startswith("Epoch ")]
