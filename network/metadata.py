"""The metadata of a classifier in its model file, and the hash of its weights."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from system.errors import InputError
from system.files import as_input_error
from text.labels import EVEN_THRESHOLD, POSITIVE_THRESHOLD, SENTIMENT, LabelSet
from text.tokens.window_settings import WindowSettings

VERSION = 1
COMMENT_START = b"weights-sha256="
SHA256_DIGITS = 64
# Calibration finds 0.2 to 5. Far outside of these limits all probabilities would be the same, or no numbers.
LEAST_TEMPERATURE, MOST_TEMPERATURE = 1e-3, 1e3
MOST_LABELS = 10_000
Part = TypeVar("Part", LabelSet, WindowSettings)
MOST_SHOWN = 200  # characters of a value in an error message


@dataclass(frozen=True)
class Metadata:
    """The metadata of a classifier. A model file keeps them as JSON values, any of which may be missing.

    Attributes:
        labels: the labels.
        temperature: the number, above 0, by which to divide the logits of a text.
        threshold: the best threshold on the validation split, 0 to 1; with several labels a text that of each label;
            None for one of more than two labels.
        windows: how to split a text into windows.
        data: the data set of the training: name, number of rows, SHA-256, and the names of the official files of the
            validation and the test split, if there are any; "also" is a list of the same for further sets, each with
            the weight of its texts in the loss; "corrections" is a file of corrected labels: its name, its SHA-256, and
            the number of rows that it has changed.
        test: the metrics on the test split.
        version: version of this format; the earliest files have none.
    """

    labels: LabelSet = SENTIMENT
    temperature: float = 1.0
    threshold: float | tuple[float, ...] | None = POSITIVE_THRESHOLD
    windows: WindowSettings = WindowSettings()
    data: Mapping = field(default_factory=dict)
    test: Mapping = field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> dict:
        """Return the metadata as JSON values, by name."""
        values = dataclasses.asdict(self) | self.labels.to_json()
        return values | ({"threshold": list(self.threshold)} if self.labels.multi_label else {})

    @classmethod
    def from_json(cls, values: object, where: str) -> Metadata:
        """Return the metadata of a file.

        Args:
            values: the JSON values in the file, as `to_json` or an earlier version of this project returned them.
            where: the file, for the error message.

        Raises:
            InputError: a value has the wrong type or is out of range.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{where}: the metadata of the model is not a JSON object")
        version = values.get("version", VERSION)
        is_known = type(version) is int and version == VERSION
        _require(is_known, where, "version", version, f"{VERSION}; update this project to read the file")
        temperature = values.get("temperature", cls.temperature)
        is_possible = _is_number(temperature) and LEAST_TEMPERATURE <= temperature <= MOST_TEMPERATURE
        expected = f"a number from {LEAST_TEMPERATURE:g} to {MOST_TEMPERATURE:g}"
        _require(is_possible, where, "temperature", temperature, expected)
        known = {name: values.get(name, {}) for name in ("windows", "data", "test")}
        for name, value in known.items():
            _require(isinstance(value, Mapping), where, name, value, "a JSON object")
        names = values.get("labels", list(cls.labels.names))
        are_names = isinstance(names, list | tuple) and len(names) <= MOST_LABELS
        _require(are_names, where, "labels", names, "a list of names")
        multi_label = values.get("multi_label", False)
        _require(isinstance(multi_label, bool), where, "multi_label", multi_label, "true or false")
        fields = {each.name for each in dataclasses.fields(WindowSettings)}
        expected = f"an object with no other names than {', '.join(sorted(fields))}"
        _require(known["windows"].keys() <= fields, where, "windows", known["windows"], expected)
        labels = _made(LabelSet, "labels", where, names=tuple(names), multi_label=multi_label)
        windows = _made(WindowSettings, "windows", where, **known["windows"])
        threshold = _threshold(values, labels, where)
        return cls(labels, float(temperature), threshold, windows, known["data"], known["test"])


def _made(kind: type[Part], name: str, where: str, **fields: object) -> Part:
    """Return a part of the metadata, whose class checks its fields."""
    try:
        return kind(**fields)
    except InputError as error:
        raise InputError(f"{where}: the metadata of the model cannot be used: {name}: {error}") from None


def _threshold(values: Mapping, labels: LabelSet, where: str) -> float | tuple[float, ...] | None:
    """Return the threshold of a file, after checking that it fits the labels."""
    if labels.multi_label:
        even = [EVEN_THRESHOLD] * len(labels.names)
        threshold = values.get("threshold", even)
        are_fractions = isinstance(threshold, list | tuple) and all(map(_is_fraction, threshold))
        expected = f"{len(even)} numbers from 0 to 1"
        _require(are_fractions and len(threshold) == len(even), where, "threshold", threshold, expected)
        return tuple(map(float, threshold))
    threshold = values.get("threshold", labels.default_threshold)
    if labels.is_binary:
        _require(_is_fraction(threshold), where, "threshold", threshold, "a number from 0 to 1")
        return float(threshold)
    _require(threshold is None, where, "threshold", threshold, "null for more than two labels")
    return None


def _is_fraction(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(holds: bool, where: str, name: str, value: object, expected: str) -> None:
    if not holds:
        shown = f"{str(value)[:MOST_SHOWN]!r}" if isinstance(value, str) else repr(value)[:MOST_SHOWN]
        raise InputError(f"{where}: the metadata of the model has {name} {shown}, but it must be {expected}")


def weights_sha256(path: str | os.PathLike) -> str | None:
    """Return the SHA-256 of the weights in a `.keras` file, in hexadecimal; None if the file does not contain it.

    It is at the end of the file, in the comment of the archive, so that the application reads eighty bytes instead of
    all weights.

    Raises:
        InputError: the file cannot be read.
    """
    length = len(COMMENT_START) + SHA256_DIGITS
    with as_input_error(path), open(path, "rb") as file:
        file.seek(-min(length, os.path.getsize(path)), os.SEEK_END)
        end = file.read()
    return end.removeprefix(COMMENT_START).decode("ascii", "replace") if end.startswith(COMMENT_START) else None


def stamp_weights(path: str | os.PathLike, sha256: str) -> None:
    """Write the SHA-256 of the weights, in hexadecimal, to the end of a `.keras` file; see `weights_sha256`."""
    import zipfile  # only here: the application does not need it

    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = COMMENT_START + sha256.encode("ascii")
