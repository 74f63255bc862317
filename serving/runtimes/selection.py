"""Chooses what a model file is run with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from network.metadata import weights_sha256
from system.errors import InputError
from system.files import refuse_folder

if TYPE_CHECKING:
    from serving.runtimes.keras_runtime import KerasRuntime
    from serving.runtimes.onnx_runtime import OnnxRuntime

RUNTIMES = ("auto", "onnx", "keras")


def open_runtime(model_path: str | os.PathLike, runtime: str = "auto") -> OnnxRuntime | KerasRuntime:
    """Returns an `OnnxRuntime` or a `KerasRuntime` with the model loaded.

    Args:
        model_path: a `.keras` file, beside which its `.onnx` file is looked for, or an `.onnx` file alone.
        runtime: "onnx", "keras", or "auto": ONNX Runtime if it is installed and the `.onnx` file was made from the
            `.keras` file as it is now; otherwise Keras, and standard error says why.

    Raises:
        InputError: the model cannot be loaded, or not by the runtime that is asked for.
    """
    path = Path(model_path)
    refuse_folder(path)
    if runtime not in RUNTIMES:
        raise InputError(f"there is no runtime {runtime!r}: choose one of {', '.join(RUNTIMES)}")
    if path.suffix == ".onnx":
        if runtime == "keras":
            raise InputError(f"{path}: Keras runs a .keras file, not this one")
        return _open_onnx(path)
    if not path.is_file():  # Keras' loader would say so too, seconds later
        beside = path.with_suffix(".onnx")
        remedy = f"give {beside}, which is there" if beside.is_file() else "`python fine_tuning.py` makes one"
        raise InputError(f"{path}: no such model file; {remedy}")
    if runtime == "keras":
        return _open_keras(path)
    try:
        return _open_onnx(path.with_suffix(".onnx"), made_from=path)
    except InputError as error:
        if runtime == "onnx":
            raise
        loaded = _open_keras(path)
        print(f"note: Keras answers, which takes seconds to start: {error}", file=sys.stderr)
        return loaded


def _open_onnx(path: Path, made_from: Path | None = None) -> OnnxRuntime:
    from serving.runtimes.onnx_runtime import OnnxRuntime

    if not path.is_file():
        how = f"; `python -m recipes.export {made_from}` makes it" if made_from else ""
        raise InputError(f"there is no file {path}{how}")
    try:
        runtime = OnnxRuntime(path)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: `pip install {error.name}`") from None
    if made_from:
        _require_weights_of(runtime, path, made_from)
    return runtime


def _require_weights_of(runtime: OnnxRuntime, path: Path, made_from: Path) -> None:
    sha256 = weights_sha256(made_from)
    if sha256 is None:
        problem = f"{made_from} does not say which weights it holds"
    elif sha256 != runtime.weights_sha256:
        problem = f"{path} holds other weights than {made_from}"
    else:
        return
    raise InputError(f"{problem}; `python -m recipes.export {made_from}` makes {path.name} anew")


def _open_keras(path: Path) -> KerasRuntime:
    from serving.runtimes.keras_runtime import KerasRuntime

    return KerasRuntime(path)
