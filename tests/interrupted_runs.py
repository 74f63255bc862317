"""Training runs that end at a set place: by Ctrl-C in this process, or by SIGKILL in one of their own."""

import json
import signal

import numpy as np
from scripts import run

import training.engine.loop
from recipes.fine_tuning import fine_tune


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


def progress_of(checkpoint) -> tuple[int, int]:
    """Return the epoch and the number of its finished batches in a checkpoint."""
    with np.load(checkpoint) as arrays:
        progress = json.loads(str(arrays["progress"]))
    return progress["epoch"], progress["batch"]


def epochs_printed(printed: str) -> list[str]:
    """Return the beginnings of the lines with the metrics of an epoch, such as "Epoch 2/5"."""
    return [line.split(" - ")[0] for line in printed.splitlines() if line.startswith("Epoch ")]
