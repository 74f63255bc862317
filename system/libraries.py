"""Settings for loading other libraries: no output, no telemetry."""

import contextlib
import os
import sys
from collections.abc import Iterator

# The variable that each library reads when it is loaded, and the value that disables its telemetry.
TELEMETRY_SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime, which otherwise writes an id and events to the home folder
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, transformers and datasets
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets, which otherwise reports every data set that is loaded
}


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


def _flush_standard_error() -> None:
    if sys.stderr is not None:  # it is None where the process was started without one
        sys.stderr.flush()
