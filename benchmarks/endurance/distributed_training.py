"""Compare pre-training in several processes with pre-training in one: time of a step, gradients, losses.

    python -m benchmarks.endurance.distributed_training --processes 1 2 4

The processes run on this machine and share its processors. So the times show what communication costs, not what more
machines gain. The time of communication is that of one sum of all gradients over the processes, measured alone.
Gradients and losses must not depend on the number of processes, up to rounding.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SEED, WARM_UP_STEPS, MASK_RATE = 1, 3, 0.2
GRADIENT_NAME = "gradient.npy"


class Measured(NamedTuple):
    """The results of one number of processes.

    Attributes:
        step: median seconds of a training step.
        all_reduce: median seconds in which the processes sum up one gradient.
        gradient: that of the first batch, all weights in one array.
        loss: held-out loss after training.
    """

    step: float
    all_reduce: float
    gradient: np.ndarray
    loss: float


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=positive_int, nargs="+", default=[1, 2, 4], help="numbers of processes")
    parser.add_argument("--batch-size", type=positive_int, default=128, help="rows of a batch, in all processes")
    parser.add_argument("--steps", type=positive_int, default=30, help="measured steps")
    parser.add_argument("--loss-steps", type=positive_int, default=200, help="steps before the losses are compared")
    parser.add_argument("--worker", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if args.worker:
        measure_steps(args.batch_size, args.steps, Path(args.worker))
        return
    print(f"processes      step   compute  all-reduce   gradient  loss after {args.loss_steps} steps")
    first = None
    for count in args.processes:
        measured = _measure(count, args)
        first = first or measured
        print(_line(count, measured, first), flush=True)
    print(
        f"The processes share {os.cpu_count()} processors. Medians of {args.steps} steps of {args.batch_size} rows; "
        "differences are relative to the first line, that of the gradient in the Euclidean norm."
    )


def _line(count: int, measured: Measured, first: Measured) -> str:
    """Return the line of the table for a number of processes."""
    difference = np.linalg.norm(measured.gradient - first.gradient) / np.linalg.norm(first.gradient)
    return (
        f"{count:9} {measured.step:7.3f} s {measured.step - measured.all_reduce:7.3f} s {measured.all_reduce:9.4f} s "
        f"{difference:10.1e}  {measured.loss:.6f} ({measured.loss / first.loss - 1:+.1e})"
    )


def _measure(count: int, args: argparse.Namespace) -> Measured:
    sizes = ["--batch-size", str(args.batch_size)]
    with tempfile.TemporaryDirectory() as folder:
        worker = [*sizes, "--steps", str(args.steps), "--worker", folder]
        times = run_in_processes(["-m", "benchmarks.endurance.distributed_training", *worker], count)
        results = ["--run-folder", folder, "--output", str(Path(folder, "model.keras"))]
        steps = ["--max-steps", str(args.loss_steps), "--epochs", "1000"]
        texts = ["--corpus", "sample", "--cache-folder", str(Path(folder, "cache"))]
        run_in_processes([str(ROOT / "pretrain.py"), "--distributed", *texts, *sizes, *steps, *results], count)
        held_out = json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))["held_out"]
        gradient = np.load(Path(folder, GRADIENT_NAME))
    return Measured(**json.loads(times.splitlines()[-1]), gradient=gradient, loss=held_out["loss"])


def run_in_processes(command: list[str], count: int) -> str:
    """Run Python in `count` processes, which find each other; return what the first one printed.

    Raises:
        InputError: one of them failed.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    variables = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count)}
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ
            | {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
            | variables
            | {"KERAS_DISTRIBUTION_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for number in range(count)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise InputError(f"{count} processes could not be measured; their errors are above")
    return outputs[0]


def measure_steps(batch_size: int, steps: int, folder: Path) -> None:
    """Train the mini network in this process together with the others; the main process writes what it measured.

    It prints the seconds of a step and of an all-reduce as JSON, and writes the gradient of the first batch.

    Args:
        batch_size: rows of a batch, in all processes.
        steps: measured steps.
        folder: where to write the gradient.
    """
    import keras

    from training.engine.distribution.processes import is_main, joined
    from training.engine.distribution.replicas import local_rows, replica
    from training.masked_lm import objectives, sampled_masked_lm

    with joined(enabled=True):
        keras.utils.set_random_seed(SEED)
        model, batches = _model_and_batches(batch_size, steps)
        before = model.get_weights()
        with replica(model, enabled=True) as copy:
            trained = sampled_masked_lm(copy)
            # With a learning rate of 1 the first step changes the weights by the gradient.
            trained.compile(keras.optimizers.SGD(1.0), **objectives(trained))
            trained.fit(local_rows(batches), steps_per_epoch=1, verbose=0, shuffle=False)
            gradient = np.concatenate([(a - b).ravel() for a, b in zip(before, copy.get_weights(), strict=True)])
            ends = []
            # Reading the loss waits for the step.
            callback = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: ends.append((float(logs["loss"]), time.monotonic())[1])
            )
            trained.optimizer.learning_rate = 0.1
            trained.fit(local_rows(batches), verbose=0, callbacks=[callback], shuffle=False)
            step = statistics.median(np.diff(ends)[WARM_UP_STEPS - 1 :])
            all_reduce = _seconds_of_all_reduce(gradient.size, steps)
        if is_main():
            np.save(folder / GRADIENT_NAME, gradient)
            print(json.dumps({"step": float(step), "all_reduce": all_reduce}))


def _model_and_batches(batch_size: int, steps: int) -> tuple:
    """Return the mini network and batches of random rows, masked."""
    from network.backbone import BertConfig
    from network.bert import BertMaskedLM
    from recipes.runs.run_data import masker_of
    from text.packing.packed_rows import PackedRows
    from text.tokens.tokenizer import load_tokenizer
    from training.engine.batches.epoch_batches import MaskedBatches

    tokenizer = load_tokenizer()
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), dropout_rate=0.0)
    model = BertMaskedLM(config, tokenizer.to_str())
    count = batch_size * (steps + WARM_UP_STEPS)
    ids = np.random.default_rng(SEED).integers(5, config.vocab_size, (count, config.max_seq_len), np.uint16)
    rows = PackedRows(ids, None, count, count, ids.size)
    masker = masker_of(model, MASK_RATE)
    return model, MaskedBatches(rows, masker, batch_size, mask_seed=SEED, seed=SEED, targets_as_input=True)


def _seconds_of_all_reduce(size: int, repetitions: int) -> float:
    """Return the median seconds in which the devices sum up `size` numbers of 32 bits each."""
    import jax
    import keras

    mesh = keras.distribution.distribution().device_mesh.backend_mesh
    by_device = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*mesh.axis_names))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    values = jax.make_array_from_process_local_data(by_device, np.ones((jax.local_device_count(), size), np.float32))
    add = jax.jit(lambda parts: parts.sum(axis=0), out_shardings=everywhere)
    add(values).block_until_ready()
    seconds = []
    for _ in range(repetitions):
        started = time.monotonic()
        add(values).block_until_ready()
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
