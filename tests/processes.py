"""Several processes of one run on this machine, as Keras' environment variables describe them."""

import os
import socket
import subprocess
import sys

from scripts import ROOT


def run_in_processes(
    command: list[str], folder, count: int, *, devices: int = 1, **environment: str
) -> list[subprocess.CompletedProcess]:
    """Run a Python program of the project in `count` processes on JAX; return their statuses and what they printed.

    Args:
        command: the path of the program in the project, and its arguments.
        folder: the folder to run it in.
        count: number of processes; one process gets no variables of Keras.
        devices: number of devices of each process.
        environment: further environment variables.
    """
    port = _free_port()
    started = [
        subprocess.Popen(
            [sys.executable, str(ROOT / command[0]), *command[1:]],
            cwd=folder,
            env=os.environ
            | {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
            | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"}
            | (_variables(port, count, number) if count > 1 else {})
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for number in range(count)
    ]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, output, error)
        for process in started
        for output, error in [process.communicate()]
    ]


def _variables(port: int, count: int, number: int) -> dict[str, str]:
    return {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{port}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]
