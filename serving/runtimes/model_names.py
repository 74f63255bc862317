"""Find an included model by its name; loads no library, because `--help` lists the names."""

import os
from pathlib import Path

from system.errors import InputError

INCLUDED_MODELS = str(Path(__file__).resolve().parents[2] / "models")
SUFFIXES = (".keras", ".onnx")  # a .keras file comes first, because `open_runtime` checks its .onnx file against it


def model_names(folder: str | os.PathLike) -> list[str]:
    """Return the names of the models in a folder, sorted; an empty list if the folder cannot be read."""
    try:
        files = os.listdir(folder)
    except OSError:
        return []
    return sorted({name for name, suffix in map(os.path.splitext, files) if suffix in SUFFIXES and _is_name(name)})


def find_model(model: str, folder: str | os.PathLike) -> str:
    """Return the path of a model that is given by its path or by its name.

    Args:
        model: a path, or the name of a model in `folder`, such as "emotions" for its file `emotions.onnx`. The path of
            a file that exists is never read as a name, but that of a folder is.
        folder: the folder of the models with a name.

    Returns:
        The file of the name; `model` itself if it is a path, or if the folder has no models.

    Raises:
        InputError: the folder has models, but none of this name.
    """
    is_file = os.path.exists(model) and not os.path.isdir(model)
    if is_file or not _is_name(model):
        return model
    for suffix in SUFFIXES:
        path = os.path.join(folder, model + suffix)
        if os.path.isfile(path):
            return path
    if names := model_names(folder):
        raise InputError(f"{model}: no such file, and no included model has this name; choose from {', '.join(names)}")
    return model


def _is_name(model: str) -> bool:
    """Return whether a model may be a name: it has neither a folder nor a suffix, and is no hidden file."""
    return model != "" and "." not in model and os.path.basename(model) == model
