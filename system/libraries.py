"""How other libraries are loaded: quietly, and without reports to their makers."""

import contextlib
import os
import sys
from collections.abc import Iterator

# What each library reads when it is loaded, and the value that keeps it from reporting.
TELEMETRY_SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime: else an id of the device and a store of events in the home folder
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, and with it transformers and datasets
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets: else each data set is reported to a server of its own
}


def disable_telemetry() -> None:
    """Keep libraries from reporting what they are used for; to be called before they are loaded.

    An environment variable that the user has set stays as it is.
    """
    for name, value in TELEMETRY_SWITCHES.items():
        os.environ.setdefault(name, value)
    # It has no switch but a file in the home folder; OpenVINO, for Keras' backend, does without it where it is missing.
    sys.modules.setdefault("openvino_telemetry", None)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Silence what compiled code writes to standard error, and disable telemetry.

    TensorFlow writes a dozen lines about its start before its own log level takes effect. Python's own errors are
    raised as ever.
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


def _flush_standard_error() -> None:
    if sys.stderr is not None:  # it is None where the process was started without one
        sys.stderr.flush()
