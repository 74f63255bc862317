"""The answers of teachers, kept on disk, so that a teacher is asked once about the same texts."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from system.errors import OutputError
from system.files import as_input_error, write_atomically
from system.output.logs import printable_logger
from text.labels import LabelSet
from training.plans.shared import CACHE_FOLDER

FORMAT = 1  # increase it when the same teacher answers otherwise
DIGEST_BYTES = 32
NUMBERS = np.dtype("<f8")

logger = printable_logger(__name__)


def kept_answers(
    teacher: Mapping[str, Any], labels: LabelSet, texts: Sequence[str], ask: Callable[[], np.ndarray]
) -> np.ndarray:
    """Return the logits that a teacher has for texts, float64, (texts, outputs), from the cache if they are there.

    A file of the cache is the SHA-256 of the logits, and the logits. If it is damaged, it is written anew. If it cannot
    be written, a warning says so.

    Args:
        teacher: what the answers depend on besides labels and texts, as JSON values.
        labels: the labels, which decide the outputs.
        texts: the texts.
        ask: asks the teacher.

    Raises:
        InputError: a file of the cache cannot be read.
    """
    key = {"format": FORMAT, "teacher": teacher, **labels.to_json(), "texts": sha256_of(texts)}
    path = Path(CACHE_FOLDER, f"answers-{sha256_of(key)[:16]}.bin")
    shape = (len(texts), labels.num_outputs)
    kept = _read(path, shape) if path.is_file() else None
    if kept is not None:
        return kept
    logits = np.asarray(ask(), NUMBERS)
    content = logits.tobytes()
    try:
        with write_atomically(path, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
    except OutputError as error:  # the answers may have taken hours, and the training does not need the file
        logger.warning("the answers of the teacher are not kept: %s", error)
    return logits


def sha256_of(values: Any) -> str:
    """Return the SHA-256 of JSON values, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the logits in a file; None if it is damaged."""
    with as_input_error(path):
        whole = path.read_bytes()
    digest, content = whole[:DIGEST_BYTES], whole[DIGEST_BYTES:]
    if digest != hashlib.sha256(content).digest() or len(content) != shape[0] * shape[1] * NUMBERS.itemsize:
        logger.warning("%s is damaged: the teacher is asked again", path)
        return None
    return np.frombuffer(content, NUMBERS).reshape(shape)
