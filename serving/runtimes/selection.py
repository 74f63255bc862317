"""Choose the runtime of a model file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from network.metadata import weights_sha256
from system.errors import InputError
from system.files import refuse_folder
from system.output.display import say

if TYPE_CHECKING:
    from serving.runtimes.keras_runtime import KerasRuntime
    from serving.runtimes.onnx_runtime import OnnxRuntime

RUNTIMES = ("auto", "onnx", "keras")


def open_runtime(model_path: str | os.PathLike, runtime: str = "auto") -> OnnxRuntime | KerasRuntime:
    """Load a model for prediction.

    Args:
        model_path: a `.keras` file, whose `.onnx` file lies beside it, or an `.onnx` file alone.
        runtime: "onnx", "keras" or "auto". "auto" chooses ONNX Runtime if it is installed and the `.onnx` file was
            made from the current `.keras` file; otherwise it chooses Keras and says why on standard error.

    Raises:
        InputError: the model cannot be loaded, or cannot be loaded by this runtime.
        ModuleNotFoundError: `runtime` is "keras", and Keras or its backend is not installed.
    """
    path = Path(model_path)
    refuse_folder(path)
    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}; choose from {', '.join(RUNTIMES)}")
    if path.suffix == ".onnx":
        if runtime == "keras":
            raise InputError(f"{path}: Keras cannot run an .onnx file; name a .keras file, or choose another runtime")
        return _open_onnx(path)
    if not path.is_file():  # Keras' loader would say so too, but seconds later
        beside = path.with_suffix(".onnx")
        remedy = f"use {beside} instead" if beside.is_file() else "train one with `python fine_tuning.py`"
        raise InputError(f"{path}: no such model file; {remedy}")
    if runtime == "keras":
        return _open_keras(path)
    try:
        return _open_onnx(path.with_suffix(".onnx"), made_from=path)
    except InputError as error:
        if runtime == "onnx":
            raise
        return _open_keras_instead(path, error)


def keras_file_of(model_path: str | os.PathLike) -> Path:
    """Return the `.keras` file of a model: `model_path` itself, or the one beside an `.onnx` file with its weights.

    Raises:
        InputError: there is no such file, or it has other weights.
    """
    path = Path(model_path)
    if path.suffix != ".onnx":
        return path
    beside = path.with_suffix(".keras")
    if not beside.is_file():
        raise InputError(
            f"{path}: an .onnx file computes logits only, and there is no {beside}, which could compute attention; "
            "put the .keras file that it was made from there, or name that file with --model"
        )
    _open_onnx(path, made_from=beside)  # raises
    return beside


def _open_onnx(path: Path, made_from: Path | None = None) -> OnnxRuntime:
    from serving.runtimes.onnx_runtime import OnnxRuntime

    if not path.is_file():
        remedy = f"create it with `python -m recipes.export {made_from or 'FILE.keras'}`"
        raise InputError(f"{path}: no such model file; {remedy}")
    try:
        runtime = OnnxRuntime(path)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; run `pip install {error.name}`") from None
    if made_from:
        _require_weights_of(runtime, path, made_from)
    return runtime


def _require_weights_of(runtime: OnnxRuntime, path: Path, made_from: Path) -> None:
    sha256 = weights_sha256(made_from)
    if sha256 is None:
        problem = f"{made_from} does not record the hash of its weights"
    elif runtime.weights_sha256.startswith(f"{sha256} "):  # see `serving.export.quantization.quantized`
        problem = f"{path} has the weights of {made_from} in a quantized form"
    elif sha256 != runtime.weights_sha256:
        problem = f"{path} and {made_from} have different weights"
    else:
        return
    raise InputError(f"{problem}; recreate {path.name} with `python -m recipes.export {made_from}`")


def _open_keras(path: Path) -> KerasRuntime:
    from serving.runtimes.keras_runtime import KerasRuntime

    return KerasRuntime(path)


def _open_keras_instead(path: Path, reason: InputError) -> KerasRuntime:
    """Load a model with Keras because ONNX Runtime cannot; say why on standard error."""
    try:
        runtime = _open_keras(path)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{reason}; Keras cannot run {path} either, because {error.name} is not installed: run "
            "`pip install -r requirements.txt`, or set KERAS_BACKEND to an installed backend"
        ) from None
    say(f"note: using Keras, which takes seconds to start: {reason}")
    return runtime
