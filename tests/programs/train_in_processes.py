"""Pre-trains a small model with --distributed or without; the main process prints JSON.

Arguments: options of pretrain.py as JSON, by the names of their fields; a step, a process and a signal that this
process sends to itself after this step, 0 for none. In the run folder, `gradient.npz` contains the gradient of the
first batch, if the run is neither resumed nor killed, and `trained.npz` the weights in the end.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.libraries import without_extras_of_keras

with without_extras_of_keras():
    import keras
    import numpy as np
    from tiny_models import masked_lm

    from pretrain import PLAN
    from recipes.runs.run_data import masker_of
    from system.command_line import exits_with_status
    from text.packing.packed_rows import PackedCorpus, PackedRows
    from training.engine.batches.epoch_batches import MaskedBatches
    from training.engine.checkpoint import Checkpoint
    from training.engine.distribution.processes import goes_on_alone, is_main, joined
    from training.engine.distribution.replicas import local_rows, replica
    from training.masked_lm import objectives, pretrain, sampled_masked_lm

LENGTH, VOCABULARY = 16, 200


class SignallingCheckpoint(Checkpoint):
    """A checkpoint that sends a signal to one process after a step of the first epoch."""

    def __init__(self, path, step, process, number):
        super().__init__(path, interval=1e9)
        self.step = step
        self.number = number
        self.is_its_turn = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0") == process

    def on_train_batch_end(self, batch, logs=None):
        if self.is_its_turn and batch + 1 == self.step:
            os.kill(os.getpid(), self.number)
        super().on_train_batch_end(batch, logs)


def rows(count, seed):
    ids = np.random.default_rng(seed).integers(5, VOCABULARY, (count, LENGTH))
    ids[:, 0], ids[:, -1] = 2, 3
    return PackedRows(ids.astype(np.uint16), None, count, count, count * LENGTH)


def gradient_of(model, batches, plan):
    """Return how the gradient of the first batch changes each weight."""
    before = model.get_weights()
    with replica(model, enabled=plan.distributed) as copy:
        trained = sampled_masked_lm(copy)
        trained.compile(keras.optimizers.SGD(1.0), **objectives(trained))
        trained.fit(local_rows(batches), verbose=0)
        after = copy.get_weights()
    model.set_weights(before)
    return [old - new for old, new in zip(before, after, strict=True)]


@exits_with_status
def main(argv):
    options, step, process, number = argv
    plan = dataclasses.replace(PLAN, corpus=["sample"], **json.loads(options))
    folder = Path(plan.run_folder)
    with joined(plan.distributed):
        model = masked_lm(vocab_size=VOCABULARY, max_seq_len=LENGTH, num_layers=1)
        masker = masker_of(model, plan.mask_rate)
        corpus = PackedCorpus(rows(plan.max_steps * plan.batch_size, seed=1), rows(10, seed=2), "the hash")
        first = MaskedBatches(
            corpus.train, masker, plan.batch_size, mask_seed=0, seed=0, targets_as_input=True, last_batch=1
        )
        if not plan.resume and int(number) != signal.SIGKILL:
            gradient = gradient_of(model, first, plan)
            if is_main():
                np.savez(folder / "gradient.npz", *gradient)
        checkpoint = SignallingCheckpoint(folder / "checkpoint.npz", int(step), process, int(number))
        history = pretrain(model, corpus, masker, plan, checkpoint, resume=plan.resume, after_epoch=lambda: print())
        print(json.dumps(history))
        if goes_on_alone():
            np.savez(folder / "trained.npz", *model.get_weights())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
