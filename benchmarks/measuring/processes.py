"""Python processes that are measured from the outside."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from system.errors import InputError

LAUNCHER = Path(__file__).with_name("launcher.py")
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONIOENCODING": "utf-8"}


class Run(NamedTuple):
    """The time and the peak resident memory of a process, and the last line of its standard output.

    `cpu_seconds` is the time of all processors, that of the processes which it started included. Its memory is that of
    the largest of these processes.
    """

    seconds: float
    mebibytes: float
    output: str
    cpu_seconds: float = 0.0


def measure(arguments: list[str], folder: Path, backend: str = "tensorflow", status: int = 0) -> Run:
    """Measure Python with these arguments in a process of its own, whose errors go to standard error.

    Args:
        arguments: the command line after the name of the interpreter.
        folder: for a temporary file.
        backend: the backend of Keras.
        status: the exit status that the process must have.

    Raises:
        InputError: the process ended with another status.
    """
    report = folder / "run.json"
    result = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCHER, report, sys.executable, *arguments],
        env=os.environ | ENVIRONMENT | {"KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if result.returncode != status:
        raise InputError(f"{' '.join(arguments[:3])} could not be measured; its error is above")
    measured = json.loads(report.read_text(encoding="utf-8"))
    output = next(iter(result.stdout.splitlines()[-1:]), "")
    return Run(measured["seconds"], measured["mebibytes"], output, measured["cpu_seconds"])
