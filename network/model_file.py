"""One `.keras` file a model: saved whole or not at all, checked when it is loaded."""

import dataclasses
import os
import textwrap
from pathlib import Path

import keras

from network.bert import BertClassifier, BertModel
from system.errors import InputError, first_line
from system.files import replace_atomically
from text.sources import LabelledTexts, source_name
from text.tokens.window_settings import WindowSettings


def save_model(model: BertModel, path: str | os.PathLike) -> None:
    """Write the model to one `.keras` file, whole or not at all, without the state of its optimizer.

    An earlier file is kept as `NAME.previous.keras`.

    Raises:
        OutputError: the file cannot be written; the earlier one still stands.
    """
    bare = type(model).from_config(model.get_config())
    bare.tokenizer_asset.json = model.tokenizer_json
    bare.set_weights(model.get_weights())
    with replace_atomically(path, keep_previous=True) as temporary:
        bare.save(temporary)


def save_classifier(
    classifier: BertClassifier,
    path: str | os.PathLike,
    labelled: LabelledTexts,
    assessment: dict,
    windows: WindowSettings,
) -> None:
    """Write the classifier, with how to read its answers; an earlier file is kept as `NAME.previous.keras`.

    Args:
        labelled: what it was trained and tested on.
        assessment: its test and its calibration, as `evaluation.assessment.assess` returns them.
        windows: how it reads a text.
    """
    classifier.metadata = {
        "labels": ["负面", "正面"],
        **assessment["calibration"],
        "windows": dataclasses.asdict(windows),
        "data": {"name": source_name(labelled.name), "rows": len(labelled.texts), "sha256": labelled.sha256},
        "test": assessment["test"],
    }
    save_model(classifier, path)


def load_model(path: str | os.PathLike, expected: type[BertModel] = BertModel) -> BertModel:
    """Returns the model of a `.keras` file that `save_model` wrote.

    Raises:
        InputError: there is no such file, it is damaged, or it holds something other than `expected`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such model file; {_how_to_make(expected)}")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # A damaged file fails in as many ways as it has parts: with NotImplementedError and EOFError, for instance.
        reason = textwrap.shorten(first_line(error), 160, placeholder="…")
        raise InputError(
            f"{path}: not a model file of this project, or a damaged one ({reason}); {_how_to_make(expected)}"
        ) from None
    if not isinstance(model, expected):
        raise InputError(f"{path}: holds a {type(model).__name__}, not a {expected.__name__}; {_how_to_make(expected)}")
    return model


def _how_to_make(expected: type[BertModel]) -> str:
    script = "fine_tuning.py" if expected is BertClassifier else "pretrain.py"
    return f"`python {script}` makes one"
