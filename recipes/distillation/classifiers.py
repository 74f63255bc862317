"""Classifiers as teachers: files of this project, and folders with a BERT of Hugging Face."""

import functools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from network.bert import BertClassifier
from network.conversion import import_bert
from network.pretrained import pretrained_sha256
from recipes.distillation.answers import kept_answers
from serving.export.onnx_file import onnx_model
from serving.predictor import Predictor
from system.errors import InputError
from system.files import sha256_of_file
from system.output.display import progress
from text.labels import LabelSet

TEXTS_AT_ONCE = 1024


class Teacher:
    """A classifier that labels texts, whatever its tokenizer and its size.

    It is loaded when it is first asked about texts of which the cache has no answers.

    Args:
        source: a `.keras` or `.onnx` file, or a folder with a BERT classifier.
        labels: the labels of the student.

    Raises:
        InputError: the file or the folder cannot be read.
    """

    def __init__(self, source: str, labels: LabelSet):
        self.source = source
        self.labels = labels
        self._is_folder = Path(source).is_dir()
        self._sha256 = teacher_sha256(source)

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
        predictor = _predictor_of_folder(Path(self.source)) if self._is_folder else Predictor(self.source)
        if not self.labels.has_same_labels(predictor.labels):
            found, expected = map(_described, (predictor.labels, self.labels))
            remedy = "; rename them under id2label in its config.json" if self._is_folder else ""
            raise InputError(f"{self.source} has the labels {found}, but the data set has {expected}{remedy}")
        return predictor


def teacher_sha256(source: str) -> list[str]:
    """Return the SHA-256 of the file of a teacher, or of each file of its folder that is read, in hexadecimal.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    return pretrained_sha256(source) if Path(source).is_dir() else [sha256_of_file(source)]


def _predictor_of_folder(folder: Path) -> Predictor:
    """Return what predicts with the BERT classifier in a folder, whose long texts it reads in windows.

    Raises:
        InputError: the folder contains no BERT, or one without a classifier.
    """
    model = import_bert(folder).model
    if not isinstance(model, BertClassifier):
        raise InputError(
            f"{folder}: a BERT without a classifier knows no labels; make a teacher of it first, with "
            f"`python fine_tuning.py --pretrained {folder}`"
        )
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "teacher.onnx")
        onnx.save(onnx_model(model, str(folder)), path)
        return Predictor(path)


def _described(labels: LabelSet) -> str:
    return ", ".join(labels.names) + (" (several per text)" if labels.multi_label else "")
