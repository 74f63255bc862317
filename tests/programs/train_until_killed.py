"""Runs a script that trains, and kills it after a batch, when the checkpoint of that batch is written if it is due.

Arguments: the module of the script, the number of the epoch and of the batches that are done in it, both counted from
0, then the arguments of the script.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.libraries import without_extras_of_keras

with without_extras_of_keras():
    from training.engine.checkpoint import Checkpoint

script, epoch, batch, *arguments = sys.argv[1:]
on_train_batch_end = Checkpoint.on_train_batch_end


def kill_after_batch(checkpoint, number, logs=None):
    on_train_batch_end(checkpoint, number, logs)
    if (checkpoint.progress["epoch"], checkpoint.progress["batch"]) == (int(epoch), int(batch)):
        os.kill(os.getpid(), signal.SIGKILL)


Checkpoint.on_train_batch_end = kill_after_batch
sys.exit(importlib.import_module(script).main(arguments))
