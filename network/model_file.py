"""Models saved to `.keras` files, completely or not at all, and checked when they are loaded."""

import hashlib
import os
from pathlib import Path

import keras
import numpy as np

from network.bert import BertClassifier, BertModel
from network.metadata import Metadata, stamp_weights
from system.errors import InputError, first_line
from system.files import refuse_folder, replace_atomically


def save_model(model: BertModel, path: str | os.PathLike) -> None:
    """Write a model to one `.keras` file, completely or not at all, without the state of its optimizer.

    An earlier file is kept as `NAME.previous.keras`.

    Raises:
        OutputError: the file cannot be written; the earlier file is unchanged.
    """
    bare = type(model).from_config(model.get_config())
    bare.tokenizer_asset.json = model.tokenizer_json
    bare.set_weights(model.get_weights())
    with replace_atomically(path, keep_previous=True) as temporary:
        bare.save(temporary)
        stamp_weights(temporary, sha256_of_weights(model))


def sha256_of_weights(model: keras.Model) -> str:
    """Return the SHA-256 of the shapes and values of a model's weights, in hexadecimal.

    It is not the hash of the file, because Keras changes some names in the file on every save.
    """
    digest = hashlib.sha256()
    for values in model.get_weights():
        digest.update(f"{values.shape} {values.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def load_model(path: str | os.PathLike, expected: type[BertModel] = BertModel) -> BertModel:
    """Load a model from a `.keras` file that `save_model` wrote.

    Args:
        path: the file.
        expected: the class that the model must have.

    Raises:
        InputError: there is no such file, it is damaged, it contains another kind of model, or its metadata cannot be
            used.
    """
    path = Path(path)
    refuse_folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such model file; {_how_to_make(expected)}")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or first_line(error)}") from error
    except Exception as error:  # each kind of damage has its own, NotImplementedError and EOFError among them
        if input_error := _input_error_behind(error):
            raise InputError(f"{path}: the metadata of the model cannot be used: {input_error}") from None
        raise InputError(
            f"{path}: not a model file of this project, or a damaged one; {_how_to_make(expected)}"
        ) from error
    if not isinstance(model, expected):
        raise InputError(
            f"{path}: contains a {type(model).__name__}, not a {expected.__name__}; {_how_to_make(expected)}"
        )
    if isinstance(model, BertClassifier):
        Metadata.from_json(model.metadata, str(path))  # raises
    return model


def _input_error_behind(error: BaseException | None) -> InputError | None:
    """Return the error of this project that made Keras fail, or None if there is none."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _how_to_make(expected: type[BertModel]) -> str:
    script = "fine_tuning.py" if expected is BertClassifier else "pretrain.py"
    return f"`python {script}` makes one"
