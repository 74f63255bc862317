"""Open model files in a process that may use only a little more memory than it does before: `program.py FILE …`.

Prints a JSON object: the name of the error that each file raises.
"""

import json
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from network.model_file import load_model  # noqa: E402 (loads Keras, before memory is limited)
from serving.predictor import Predictor  # noqa: E402
from serving.runtimes.onnx_runtime import OnnxRuntime  # noqa: E402, F401

MOST_MEMORY = 500 * 2**20


def limit_memory():
    """Limit the address space to what it has now and `MOST_MEMORY`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(paths):
    import onnxruntime  # noqa: F401

    limit_memory()
    errors = {}
    for path in paths:
        try:
            # Of a .keras file with a good network, its tokenizer is hostile: only a predictor looks at it.
            (Predictor if path.endswith(".onnx") or "tokenizer-" in path else load_model)(path)
            errors[path] = "none"
        except BaseException as error:
            errors[path] = type(error).__name__
    print(json.dumps(errors))


if __name__ == "__main__":
    main(sys.argv[1:])
