"""Classifiers as teachers: files of this project, and BERTs of Hugging Face, in folders or on the hub."""

import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from network.bert import BertClassifier
from network.checkpoints.conversion import import_bert
from network.pretrained import checkpoint_folder, pretrained_sha256
from recipes.runs.distillation.answers import kept_answers
from serving.export.onnx_file import onnx_model
from serving.predictor import Predictor
from system.errors import InputError
from system.output.display import progress
from text.labels import LabelSet

OPTION = "--teachers"
TEXTS_AT_ONCE = 1024


class Teacher:
    """A classifier that labels texts, whatever its tokenizer and its size.

    It is loaded when it is first asked about texts of which the cache has no answers.

    Args:
        source: a `.keras` or `.onnx` file, a folder with a BERT classifier, or the hub id of one.
        labels: the labels of the student.

    Raises:
        InputError: the file or the folder cannot be read, or the hub does not provide the model.
    """

    def __init__(self, source: str, labels: LabelSet):
        self.source = source
        self.labels = labels
        self._folder = checkpoint_folder(source, OPTION)
        self._sha256 = teacher_sha256(str(self._folder or source))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Return the logits of each text, float64, (texts, outputs), in the order of the student's labels.

        Raises:
            InputError: the classifier cannot be loaded, or has other labels.
        """
        return kept_answers({"files": self._sha256}, self.labels, texts, functools.partial(self._ask, texts))

    def _ask(self, texts: Sequence[str]) -> np.ndarray:
        answers = self._answers(self._predictor, texts)
        logits = np.stack(list(progress(answers, f"{self.source} labels", " texts", len(texts))))
        return self.labels.in_own_order(logits, self._predictor.labels)

    def _answers(self, predictor: Predictor, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield the logits of one text after another, (outputs,)."""
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            yield from predictor.logits(texts[start : start + TEXTS_AT_ONCE])

    @functools.cached_property
    def _predictor(self) -> Predictor:
        predictor = _predictor_of_folder(self._folder, self.source) if self._folder else Predictor(self.source)
        if not self.labels.has_same_labels(predictor.labels):
            found, expected = map(_described, (predictor.labels, self.labels))
            raise InputError(
                f"{self.source} has the labels {found}, but the data set has {expected}{self._how_to_rename()}"
            )
        return predictor

    def _how_to_rename(self) -> str:
        if self._folder is None:
            return ""
        is_download = self._folder != Path(self.source)
        return f"; rename them under id2label in {f'a copy of {self._folder}' if is_download else 'its config.json'}"


def teacher_sha256(source: str) -> list[str]:
    """Return the SHA-256 of the file of a teacher, or of each file of its folder that is read, in hexadecimal.

    Raises:
        InputError: a file is missing or cannot be read, or the hub does not provide the model.
    """
    return pretrained_sha256(source, OPTION)


def _predictor_of_folder(folder: Path, source: str) -> Predictor:
    """Return what predicts with the BERT classifier in a folder, whose long texts it reads in windows.

    Args:
        folder: the folder.
        source: the name that the user gives it.

    Raises:
        InputError: the folder contains no BERT, or one without a classifier.
    """
    model = import_bert(folder).model
    if not isinstance(model, BertClassifier):
        raise InputError(
            f"{source}: a BERT without a classifier knows no labels; make a teacher of it first, with "
            f"`python fine_tuning.py --pretrained {source}`"
        )
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "teacher.onnx")
        onnx.save(onnx_model(model, source), path)
        return Predictor(path)


def _described(labels: LabelSet) -> str:
    return ", ".join(labels.names) + (" (several per text)" if labels.multi_label else "")
