"""Settings of other libraries: no output, no telemetry, threads, memory that is kept for the next training step."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

# The variable that each library reads when it is loaded, and the value that disables its telemetry.
TELEMETRY_SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime, which otherwise writes an id and events to the home folder
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, transformers and datasets
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets, which otherwise reports every data set that is loaded
    "RAY_USAGE_STATS_ENABLED": "0",  # ray
}

# What Keras loads for features that no script uses, which takes longer than Keras itself; it works without.
EXTRAS_OF_KERAS = ("sklearn", "pandas", "matplotlib")

# Parameters of `mallopt` in glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST_INT = 2**31 - 1


def disable_telemetry() -> None:
    """Disable the telemetry of libraries that are loaded after this call.

    Environment variables that the user has set stay unchanged.
    """
    for name, value in TELEMETRY_SWITCHES.items():
        os.environ.setdefault(name, value)
    # Only a file in the home folder disables this one. OpenVINO works without the module, so hide the module.
    sys.modules.setdefault("openvino_telemetry", None)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Discard what compiled code writes to standard error during the block, and disable telemetry.

    TensorFlow writes a dozen lines before its log level takes effect. Python exceptions are raised as usual.
    """
    disable_telemetry()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    _flush_standard_error()
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            _flush_standard_error()
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def without_extras_of_keras() -> Iterator[None]:
    """Let Keras be imported without `EXTRAS_OF_KERAS`, which are imported as usual after the block."""
    hidden = [name for name in EXTRAS_OF_KERAS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _flush_standard_error() -> None:
    if sys.stderr is not None:  # it is None where the process was started without one
        sys.stderr.flush()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> bool:
    """Let the C library keep the memory that is freed for what this process allocates next; return whether it does.

    A training step of a large network needs more than a gibibyte, which Linux would otherwise take back and clear again
    at each step. For a BERT of 12 layers that is a sixth of the time. Has no effect without glibc, or if the user has
    set an environment variable for its memory.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows has no library of that name
        return False
    return all([mallopt(M_TRIM_THRESHOLD, LARGEST_INT), mallopt(M_MMAP_MAX, 0)])
