"""Kill trainings at random moments, resume them, and compare their weights with those of undisturbed ones.

    python -m benchmarks.endurance.kills

Each run is killed with SIGKILL once, at a moment drawn from the whole time of an undisturbed run, its start and the
writing of its files included, and then continued with `--resume`. Nothing of a run may be lost or changed by that: its
weights must be those of the undisturbed run, bit for bit. Runs on Linux and macOS.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from recipes.runs.run_folder import UNFINISHED_NAMES
from system.command_line import Parser, exits_with_status, positive_int, seed
from system.errors import InputError
from system.libraries import quiet_imports
from system.output.display import progress

ROOT = Path(__file__).resolve().parents[2]
OFTEN = ["--checkpoint-seconds", "0.2"]  # so that a kill can meet the writing of a checkpoint
SIZES = ["--d-model", "16", "--num-layers", "1", "--num-heads", "2", "--dff", "32", "--dropout-rate", "0.1"]
SCRIPTS = {
    "pretrain.py": ["--corpus", "sample", *SIZES, "--batch-size", "16", "--epochs", "8", *OFTEN],
    "fine_tuning.py": ["--dataset", "sample", "--unfreeze", "1", "--batch-size", "8", "--epochs", "8", *OFTEN],
}
OUTPUT, LOG = "model.keras", "log.txt"


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=positive_int, default=20, help="runs of each script, each killed once")
    parser.add_argument("--scripts", nargs="+", choices=tuple(SCRIPTS), default=list(SCRIPTS), help="what to kill")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the moments")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    alike = {script: _runs_alike(script, args) for script in args.scripts}
    for script, runs in alike.items():
        print(f"{script}: killed {args.runs} times, the same weights {sum(runs)} of {args.runs} times")
    return 0 if all(map(all, alike.values())) else 1


def _runs_alike(script: str, args: argparse.Namespace) -> list[bool]:
    """Return for each killed run of a script whether it ended with the weights of the undisturbed one."""
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        _finish(script, Path(folder, "undisturbed"))
        duration = time.monotonic() - started
        expected = _weights(Path(folder, "undisturbed"))
        alike = []
        for number in progress(range(args.runs), script, " runs"):
            killed = Path(folder, f"run_{number}")
            _kill_after(moments.uniform(0, duration), _start(script, killed))
            resumes = any(Path(killed, "run", name).is_file() for name in UNFINISHED_NAMES)
            finished = Path(killed, OUTPUT).is_file() and not resumes
            if not finished:
                _finish(script, killed, *(["--resume"] if resumes else []))
            weights = _weights(killed)
            alike.append(all(map(np.array_equal, weights, expected)))
    return alike


def _start(script: str, folder: Path, *options: str) -> subprocess.Popen:
    """Start a script that writes to a folder."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, ROOT / script, *SCRIPTS[script], "--output", OUTPUT, "--run-folder", "run", *options]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with open(folder / LOG, "wb") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def _finish(script: str, folder: Path, *options: str) -> None:
    """Run a script to its end.

    Raises:
        InputError: it failed.
    """
    if _start(script, folder, *options).wait():
        last_line = (folder / LOG).read_text(encoding="utf-8").splitlines()[-1:]
        raise InputError(f"{script} {' '.join(options)} failed after {folder.name}: {''.join(last_line)}")


def _kill_after(seconds: float, process: subprocess.Popen) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _weights(folder: Path) -> list[np.ndarray]:
    """Return the weights of the model that a run has saved."""
    with quiet_imports():
        from network.model_file import load_model
    return load_model(str(folder / OUTPUT)).get_weights()


if __name__ == "__main__":
    sys.exit(main())
