"""Processes of one training: who they are, what they share, and how they begin and end together.

Every process runs the same code on the same settings. Only the main process, number 0, writes files and prints.
"""

import atexit
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import keras
import numpy as np

from system.errors import EXIT_INTERRUPTED, EXIT_UNUSABLE_INPUT, InputError, first_line

VARIABLES = ("KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES", "KERAS_DISTRIBUTION_PROCESS_ID")
HEARTBEAT_SECONDS = 60  # without a sign of life, after which a process is taken for dead
POLL_MILLISECONDS = 1000  # after which a waiting process handles its signals
# What the libraries that exchange gradients say if another process is gone.
SIGNS_OF_LOSS = ("Gloo", "NCCL", "coordination service", "UNAVAILABLE")

Result = TypeVar("Result")


@contextlib.contextmanager
def joined(enabled: bool) -> Iterator[None]:
    """Join the other processes of the run while the block runs, or until `goes_on_alone`.

    The processes find each other by Keras' environment variables, see `VARIABLES`, or by what JAX knows of Slurm, Open
    MPI and Kubernetes. Without any of these the process is alone, and trains on all of its devices. Standard output of
    all but the main process is discarded.

    Args:
        enabled: whether to do so; else the block just runs.

    Raises:
        InputError: the backend is not JAX, the environment is contradictory, or another process was lost.
    """
    _refuse_multi_worker_strategy()
    if not enabled:
        yield
        return
    if keras.backend.backend() != "jax":
        raise InputError(
            f"--distributed works on JAX alone, and Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=jax, "
            "after `pip install jax` (jax[cuda13] for GPUs)"
        )
    _connect()
    with contextlib.ExitStack() as stack:
        if not is_main():
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        try:
            yield
        except BaseException as error:
            _leave_without_waiting(error)
            if isinstance(error, Exception) and _is_loss(error):
                raise InputError(
                    f"another process of this run has ended, see its own error ({first_line(error)}). The last "
                    "checkpoint remains: start all processes again, with --resume"
                ) from error
            raise
        leave_together()


def goes_on_alone() -> bool:
    """End the work of several processes; return whether this one goes on alone, as the main process does."""
    leave_together()
    return is_main()


def num_processes() -> int:
    """Return the number of processes of the run."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def is_main() -> bool:
    """Return whether this is the process that writes and prints, as one without others does."""
    if keras.backend.backend() != "jax":
        return True
    import jax

    return jax.process_index() == 0


def shared(value: Any) -> Any:
    """Return the value of the main process in all processes; the others wait for it, for days if need be.

    Args:
        value: anything that JSON can contain; that of another process is ignored.
    """
    if num_processes() == 1:
        return value
    global _num_shared
    # All processes share the same values in the same order, so that the number names the value.
    _num_shared += 1
    key = f"mini_bert/{_num_shared}"
    # Not by a collective operation, which blocks a device and has a time limit on some of them. JAX has no public name
    # for this client; Orbax, its library of checkpoints, uses it in the same way.
    import jax
    from jax._src.distributed import global_state

    if is_main():
        text = json.dumps(value, default=float)
        global_state.client.key_value_set(key, text)
        return json.loads(text)
    while True:
        try:
            return json.loads(global_state.client.blocking_key_value_get(key, POLL_MILLISECONDS))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


_num_shared = 0


def shared_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of the main process, by name, in all processes; those of another process are ignored."""
    if num_processes() == 1:
        return arrays
    from jax.experimental import multihost_utils

    forms = shared({name: (array.shape, array.dtype.str) for name, array in arrays.items()})
    if not is_main():
        arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in forms.items()}
    return multihost_utils.broadcast_one_to_all(arrays)


def main_first(function: Callable[[], Result]) -> Result:
    """Return the result of `function` in each process, in the main one first.

    So the others find what it has written, if they share its disk.
    """
    if is_main():
        result = function()
        shared(None)
        return result
    shared(None)
    return function()


def _refuse_multi_worker_strategy() -> None:
    """Refuse the environment of TensorFlow's `MultiWorkerMirroredStrategy`, which Keras 3 does not support.

    Each process would train a model of its own, and all would write the same files.
    """
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
        tasks = sum(len(addresses) for addresses in cluster.values())
    except (ValueError, AttributeError, TypeError):
        return  # no configuration of a cluster
    if tasks > 1:
        raise InputError(
            f"TF_CONFIG describes {tasks} processes for MultiWorkerMirroredStrategy, which Keras 3 does not support: "
            f"unset TF_CONFIG, and start each process with --distributed, KERAS_BACKEND=jax, {', '.join(VARIABLES)}"
        )


def _connect() -> None:
    """Connect to the other processes, if the environment names any.

    Raises:
        InputError: the environment names them incompletely, or they cannot be reached.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    # Its handler of SIGTERM would replace the usual one for good; see `SharedInterruption`.
    jax.config.update("jax_enable_preemption_service", False)
    addresses, processes, process_id = (os.environ.get(name) for name in VARIABLES)
    try:
        jax.distributed.initialize(
            addresses and addresses.split(",")[0],
            processes and int(processes),
            process_id and int(process_id),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        is_alone = not any((addresses, processes, process_id)) and "coordinator_address" in str(error)
        if not is_alone:
            raise InputError(
                f"--distributed: {first_line(error)}; set {', '.join(VARIABLES)} for each process, such as "
                "10.0.0.1:9876, 4 and 0"
            ) from error


def leave_together() -> None:
    """Wait for the other processes, and end the connection to them."""
    if keras.backend.backend() == "jax":
        import jax

        jax.distributed.shutdown()


def _leave_without_waiting(error: BaseException) -> None:
    """Let this process end at once, when its error is printed.

    JAX would wait at its end for the other processes, which may wait for this one. They notice when it is gone.
    """
    import jax

    if not jax.distributed.is_initialized():
        return
    status = EXIT_UNUSABLE_INPUT
    if isinstance(error, KeyboardInterrupt):
        status = getattr(error, "status", EXIT_INTERRUPTED)  # `Terminated` has one

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)

    atexit.register(leave)  # runs before what JAX has registered


def _is_loss(error: Exception) -> bool:
    return not isinstance(error, InputError) and any(sign in str(error) for sign in SIGNS_OF_LOSS)
