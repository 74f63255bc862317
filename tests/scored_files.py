"""Score files with a predictor that needs no model, and read and write them without the project's own code."""

import collections
import csv
import io
import itertools
import json
import sys

import pyarrow
import pyarrow.parquet

from serving.prediction import Prediction
from serving.scoring.local_engine import ScoringPlan, score_file
from text.labels import SENTIMENT
from text.tables.problems import EMPTY


class FakePredictor:
    """A predictor by the length of a text.

    Attributes:
        labels: the two labels of sentiment.
        asked: how often each text was predicted.
    """

    labels = SENTIMENT

    def __init__(self, fails_after=None):
        self.asked = collections.Counter()
        self._calls = 0
        self._fails_after = fails_after

    def predict(self, texts):
        if self._calls == self._fails_after:
            raise KeyboardInterrupt
        self._calls += 1
        self.asked.update(texts)
        return [prediction_of(text) for text in texts]


def prediction_of(text) -> Prediction:
    """Return what `FakePredictor` predicts for a text."""
    if not text.strip():
        return Prediction(text, problem=EMPTY)
    probability = 1 / (1 + len(text))
    label, confidence = "正面" if probability > 0.2 else "负面", max(probability, 1 - probability)
    return Prediction(text, label, probability, confidence, probabilities=(1 - probability, probability))


def score(source, output, predictor=None, **options) -> None:
    """Score a file, with a new `FakePredictor` by default."""
    score_file(predictor or FakePredictor(), ScoringPlan(str(source), str(output), **options))


def write_rows(path, columns, rows) -> None:
    """Write a table of strings, in the format of the suffix."""
    _WRITERS[path.suffix](path, columns, rows)


def _write_delimited(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t").writerows([columns, *rows])


def _write_jsonl(path, columns, rows):
    lines = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_parquet(path, columns, rows):
    arrays = [pyarrow.array(list(values), pyarrow.string()) for values in zip(*rows, strict=True)]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, columns), path)


def _write_lines(path, columns, rows):
    path.write_bytes("".join(f"{row[columns.index('text')]}\n" for row in rows).encode("utf-8"))


_WRITERS = {
    ".csv": _write_delimited,
    ".tsv": _write_delimited,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
    ".txt": _write_lines,
}


def read_rows(path) -> list[list[str]]:
    """Return the rows of a scored file as strings; the column names come first, except for plain text."""
    return _READERS[path.suffix](path)


def read_dicts(path) -> list[dict[str, str]]:
    """Return the rows of a scored table, each as a dict of strings by column."""
    columns, *rows = read_rows(path)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def count_rows(path) -> int:
    """Return the number of rows of a scored file, without the column names."""
    return len(read_rows(path)) - (path.suffix != ".txt")


def _read_delimited(path):
    text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    delimiter = "," if path.suffix == ".csv" else "\t"
    csv.field_size_limit(sys.maxsize)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def _read_jsonl(path):
    found = [json.loads(line) for line in path.read_bytes().decode("utf-8").split("\n")[:-1]]
    columns = list(dict.fromkeys(itertools.chain.from_iterable(found)))
    return [columns, *([_as_cell(row.get(column)) for column in columns] for row in found)]


def _read_parquet(path):
    table = pyarrow.parquet.ParquetFile(path).read()
    columns = [column.to_pylist() for column in table.columns]
    return [table.column_names, *([_as_cell(value) for value in row] for row in zip(*columns, strict=True))]


def _read_lines(path):
    return [line.split("\t") for line in path.read_bytes().decode("utf-8").split("\n")[:-1]]


def _as_cell(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(value)


_READERS = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_lines,
}
