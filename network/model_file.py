"""Models saved to `.keras` files, completely or not at all, and checked when they are loaded."""

import hashlib
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from network.bert import BertClassifier, BertModel
from network.checks.archive import check_model_file
from network.metadata import stamp_weights
from system.errors import InputError, first_line
from system.files import refuse_folder, replace_atomically

UNUSABLE = "not a model file of this project, or a damaged one"


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
        path: the file. It may be hostile: it is checked before Keras reads it, see `network.checks`.
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
        check_model_file(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or first_line(error)}") from error
    except (ValueError, zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise InputError(f"{path}: {UNUSABLE}: {first_line(error)}; {_how_to_make(expected)}") from error
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or first_line(error)}") from error
    except Exception as error:  # each kind of damage has its own
        raise InputError(f"{path}: {UNUSABLE}; {_how_to_make(expected)}") from error
    if not isinstance(model, expected):
        raise InputError(
            f"{path}: contains a {type(model).__name__}, not a {expected.__name__}; {_how_to_make(expected)}"
        )
    return model


def _how_to_make(expected: type[BertModel]) -> str:
    script = "fine_tuning.py" if expected is BertClassifier else "pretrain.py"
    return f"`python {script}` makes one"
