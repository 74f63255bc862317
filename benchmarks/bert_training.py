"""Compare a training step of a BERT classifier with the usual tools: same sizes, same rows, one run.

    python -m benchmarks.bert_training
    python -m benchmarks.bert_training --memory 128 512

The contenders, see `benchmarks.contenders.bert_training`, take turns on the CPU, so that a noisy machine disturbs all
alike. Each turn is a process of its own, which compiles its step. The median of the steps of all turns is reported.

With `--memory`, the peak resident memory of this project's process is measured instead, with and without gradient
checkpointing. Runs on Linux and macOS.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring.processes import Run, measure
from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError


class Contender(NamedTuple):
    """A contender: its name in the table, the backend of Keras, and the function that measures it."""

    title: str
    backend: str
    measure: str


OURS = "ours"
CONTENDERS = {
    **{backend: Contender(f"this project, {backend}", backend, OURS) for backend in ("tensorflow", "jax", "torch")},
    "transformers": Contender("transformers", "torch", "transformers"),
    "torch.compile": Contender("transformers, torch.compile", "torch", "compiled_transformers"),
    "keras_hub": Contender("keras_hub, tensorflow", "tensorflow", "keras_hub"),
}
NEEDED = ("torch", "jax", "transformers", "keras_hub")
PACKAGES = ("keras", "tensorflow", "jax", "torch", "transformers", "keras-hub")


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=positive_int, default=12, help="number of encoders")
    parser.add_argument("--width", type=positive_int, default=768, help="size of the vector of each token")
    parser.add_argument("--heads", type=positive_int, default=12, help="attention heads per encoder")
    parser.add_argument("--vocab-size", type=positive_int, default=21_128, help="number of tokens")
    parser.add_argument("--length", type=positive_int, default=128, help="tokens per row")
    parser.add_argument("--batch-size", type=positive_int, default=8, help="rows per step")
    parser.add_argument("--steps", type=positive_int, default=5, help="measured steps per turn")
    parser.add_argument("--turns", type=positive_int, default=3, help="turns per contender")
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=tuple(CONTENDERS),
        default=list(CONTENDERS),
        help="what to measure; the first three are this project on the backends of Keras",
    )
    parser.add_argument(
        "--memory",
        type=positive_int,
        nargs="+",
        metavar="LENGTH",
        help="measure the memory of a step on rows of these numbers of tokens instead of the time",
    )
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if args.width % args.heads:
        raise InputError(f"--heads {args.heads} does not divide --width {args.width}")
    if not _ours(args):
        raise InputError("--contenders must name at least one of tensorflow, jax and torch, to compare with")
    if missing := [package for package in NEEDED if not importlib.util.find_spec(package)]:
        raise InputError(f"{', '.join(missing)}: not installed; run `pip install -r requirements-dev.txt`")
    with tempfile.TemporaryDirectory() as folder:
        (_print_memory if args.memory else _print_times)(args, Path(folder))
    print(
        f"{args.layers} encoders of width {args.width}, {args.vocab_size:,} tokens, {args.batch_size} rows per step; "
        f"{_machine()}"
    )


def _print_times(args: argparse.Namespace, folder: Path) -> None:
    """Measure the seconds of a step of each contender, and print them beside our fastest one."""
    steps, first_steps = ({name: [] for name in args.contenders} for _ in range(2))
    for turn in range(1, args.turns + 1):
        for name in args.contenders:
            _say(f"turn {turn} of {args.turns}: {CONTENDERS[name].title}…")
            measured = json.loads(_run(CONTENDERS[name], args, folder, args.length).output)
            _say(f"    {statistics.median(measured['seconds']):.3f} s a step, the first one {measured['first']:.1f} s")
            steps[name] += measured["seconds"]
            first_steps[name].append(measured["first"])
    medians = {name: statistics.median(seconds) for name, seconds in steps.items()}
    fastest = min(_ours(args), key=medians.get)
    print(f"{'':28} {'a step':>10} {'first step':>11} {'rows/s':>8}  beside {CONTENDERS[fastest].title}")
    for name, seconds in medians.items():
        title, first, ratio = CONTENDERS[name].title, statistics.median(first_steps[name]), seconds / medians[fastest]
        print(f"{title:28} {seconds:8.3f} s {first:9.1f} s {args.batch_size / seconds:8.2f}  {ratio:.2f}x the time")
    print(f"{args.length} tokens per row, median of {args.turns} x {args.steps} steps")


def _print_memory(args: argparse.Namespace, folder: Path) -> None:
    """Measure the memory of our step at each length, with and without gradient checkpointing, and print it."""
    print(f"{'':28} {'tokens':>7} {'memory':>12} {'with gradient checkpointing':>28}")
    for length in args.memory:
        for name in _ours(args):
            title, mebibytes = CONTENDERS[name].title, []
            for checkpointing in (False, True):
                _say(f"{title}, {length} tokens{', gradient checkpointing' * checkpointing}…")
                run = _run(CONTENDERS[name], args, folder, length, checkpointing=checkpointing)
                mebibytes.append(run.mebibytes)
            change = f"{mebibytes[1]:,.0f} MiB ({mebibytes[1] / mebibytes[0] - 1:+.0%})"
            print(f"{title:28} {length:7} {mebibytes[0]:8,.0f} MiB {change:>28}", flush=True)


def _ours(args: argparse.Namespace) -> list[str]:
    return [name for name in args.contenders if CONTENDERS[name].measure == OURS]


def _run(
    contender: Contender, args: argparse.Namespace, folder: Path, length: int, *, checkpointing: bool = False
) -> Run:
    settings = json.dumps(vars(args) | {"length": length, "gradient_checkpointing": checkpointing})
    arguments = ["-m", "benchmarks.contenders.bert_training", contender.measure, settings]
    return measure(arguments, folder, contender.backend)


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _machine() -> str:
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    return f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    sys.exit(main())
