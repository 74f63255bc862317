"""Compare the formats of a classifier in one run: size, speed, and how near the answers are to those of Keras.

    python -m benchmarks.formats --texts reviews.csv

Each format is written with `recipes.export`'s functions to a temporary folder. All get their token ids from the same
tokenizer, which is part of every measurement, and everybody but Keras, which reads full windows, batches of windows of
the same length. The formats take turns, so that a noisy machine disturbs all alike, and the median is reported.
"""

import argparse
import functools
import importlib.util
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from benchmarks.serving import TEXT, machine
from serving.export.onnx_file import onnx_model
from serving.export.quantization import FLOAT16_EMBEDDINGS, INT8, quantized
from serving.predictor import Predictor
from serving.runtimes.onnx_check import INPUT, OUTPUT
from serving.runtimes.onnx_runtime import BATCH_SIZE
from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError
from system.libraries import quiet_imports
from text.corpus import iter_texts

EXACT = "onnx"
WARM_UP = 5  # predictions of one text
NEEDED = {"openvino": "openvino", "saved-model": "tensorflow", "litert": "ai_edge_litert"}

Logits = Callable[[np.ndarray], np.ndarray]  # of windows of ids, int32, (windows, max_seq_len)


class Contender(NamedTuple):
    """A format that takes part.

    Attributes:
        name: its name in the table.
        path: its file or folder.
        probabilities: computes the probability of each label, (texts, labels).
    """

    name: str
    path: Path
    probabilities: Callable[[Sequence[str]], np.ndarray]

    @property
    def megabytes(self) -> float:
        """The size of its file, or of all files of its folder."""
        files = [self.path] if self.path.is_file() else [each for each in self.path.rglob("*") if each.is_file()]
        return sum(file.stat().st_size for file in files) / 1e6


class Measurement(NamedTuple):
    """The measurements of a format: seconds for one text, and rows per second, each the median over all turns."""

    seconds: float
    rows_per_second: float


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--texts", default="sample", metavar="SOURCE", help="texts without labels, as pretrain.py accepts them"
    )
    parser.add_argument("--text-column", metavar="NAME", help="text column (default: detected by common names)")
    parser.add_argument(
        "--model", default="mini_bert_sentiment_classifier.keras", metavar="FILE", help="classifier, a .keras file"
    )
    parser.add_argument("--rows", type=positive_int, default=3000, help="texts to predict; fewer are repeated")
    parser.add_argument("--repeats", type=positive_int, default=20, help="predictions of one text in each turn")
    parser.add_argument("--turns", type=positive_int, default=5, help="turns per format")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    texts = list(iter_texts([args.texts], args.text_column, or_usual=True))
    if not texts:
        raise InputError(f"{args.texts}: no texts; name another source with --texts")
    rows = list(itertools.islice(itertools.cycle(texts), args.rows))
    with tempfile.TemporaryDirectory() as folder:
        reader, contenders = prepare(args.model, Path(folder))
        _say("every format predicts all texts once…")
        probabilities = {each.name: each.probabilities(rows) for each in contenders}
        measured = measure(contenders, rows, args)
        table = table_lines(reader, contenders, probabilities, measured)
    about = f"{len(rows):,} texts of {statistics.median(map(len, rows)):,.0f} characters (median)"
    print(f"{machine()}\n{args.texts}, {about}; {args.model}\n", *table, sep="\n")


def prepare(model: str, folder: Path) -> tuple[Predictor, list[Contender]]:
    """Write all formats of a model whose packages are installed.

    Returns:
        A predictor, whose tokenizer makes the windows, and the formats; the first is Keras.

    Raises:
        InputError: the model cannot be loaded.
    """
    with quiet_imports():
        import keras

        from network.bert import BertClassifier
        from network.model_file import load_model
        from serving.export.keras_export import export_keras
        from serving.runtimes.keras_runtime import KerasRuntime

    full = onnx_model(load_model(model, BertClassifier))
    models = {EXACT: full, **{f"onnx {name}": quantized(full, name) for name in (INT8, FLOAT16_EMBEDDINGS)}}
    files = {name: folder / f"{name.replace(' ', '-')}.onnx" for name in models}
    for name, file in files.items():
        onnx.save(models[name], file)
    reader = Predictor(files[EXACT])
    found = [(f"keras on {keras.backend.backend()}", Path(model), KerasRuntime(model).logits)]
    for name, file in files.items():
        found.append((name, file, reader.window_logits if name == EXACT else Predictor(file).window_logits))
    for name, load in LOADERS.items():
        if importlib.util.find_spec(NEEDED[name]) is None:
            _say(f"{name}: left out, because {NEEDED[name]} is not installed")
            continue
        _say(f"writing {name}…")
        export_keras(model, folder / name, name)
        found.append((name, folder / name, functools.partial(in_batches, load(folder / name))))
    return reader, [Contender(name, path, functools.partial(predict, reader, logits)) for name, path, logits in found]


def predict(reader: Predictor, logits: Logits, texts: Sequence[str]) -> np.ndarray:
    """Return the probability of each label, (texts, labels), with the tokenizer and the windows of `reader`."""
    windows = reader.encode(texts)
    return reader.labels.probabilities(windows.document_logits(logits(windows.input_ids)) / reader.temperature)


def in_batches(run: Logits, input_ids: np.ndarray) -> np.ndarray:
    """Return the logits of windows that `run` gets in batches of the same length, without padding."""
    lengths, logits = np.count_nonzero(input_ids, axis=1), {}
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for batch in np.split(rows, range(BATCH_SIZE, len(rows), BATCH_SIZE)):
            logits.update(zip(batch, run(np.ascontiguousarray(input_ids[batch, :length])), strict=True))
    return np.array([logits[row] for row in range(len(input_ids))])


def load_openvino(folder: Path) -> Logits:
    """Load a network of `--to openvino`."""
    import openvino

    model = openvino.compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda ids: model(ids)[OUTPUT]


def load_saved_model(folder: Path) -> Logits:
    """Load a network of `--to saved-model`."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return lambda ids: serve(**{INPUT: tf.constant(ids)})[OUTPUT].numpy()


def load_litert(folder: Path) -> Logits:
    """Load a network of `--to litert`."""
    with quiet_imports():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(folder / "model.tflite"), num_threads=os.cpu_count())
        runner = interpreter.get_signature_runner("serving_default")
    return lambda ids: runner(**{INPUT: ids})[OUTPUT]


LOADERS = {"openvino": load_openvino, "saved-model": load_saved_model, "litert": load_litert}


def measure(contenders: Sequence[Contender], texts: Sequence[str], args: argparse.Namespace) -> dict[str, Measurement]:
    """Return the measurements of each format, by name. All formats have predicted all texts before."""
    single, table = ({each.name: [] for each in contenders} for _ in range(2))
    for turn in range(1, args.turns + 1):
        for name, _, probabilities in contenders:
            for number in range(WARM_UP + args.repeats):
                seconds = _seconds(probabilities, [TEXT])
                if number >= WARM_UP:
                    single[name].append(seconds)
            table[name].append(len(texts) / _seconds(probabilities, texts))
            _say(f"turn {turn} of {args.turns}: {name}: {table[name][-1]:,.0f} rows/s")
    return {name: Measurement(statistics.median(single[name]), statistics.median(table[name])) for name in single}


def table_lines(
    reader: Predictor,
    contenders: Sequence[Contender],
    probabilities: dict[str, np.ndarray],
    measured: dict[str, Measurement],
) -> list[str]:
    """Return the lines of the table. Ratios are beside the exact `.onnx` file, answers beside Keras."""
    expected = probabilities[contenders[0].name]
    decisions = reader.labels.decide(expected, reader.threshold)
    exact = measured[EXACT]
    rows = [("", "size", "one text", "", "many texts", "", "largest difference", "same decisions")]
    for each in contenders:
        seconds, speed = measured[each.name]
        own = probabilities[each.name]
        same = reader.labels.decide(own, reader.threshold) == decisions
        rows.append(
            (
                each.name,
                f"{each.megabytes:.1f} MB",
                f"{1000 * seconds:.2f} ms",
                f"{seconds / exact.seconds:.2f}x",
                f"{speed:,.0f} rows/s",
                f"{speed / exact.rows_per_second:.2f}x",
                f"{np.abs(own - expected).max():.1e}",
                f"{same.reshape(len(own), -1).all(axis=1).mean():.2%}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join((f"{name:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))))
        for name, *cells in rows
    ]


def _seconds(probabilities: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> float:
    started = time.perf_counter()
    probabilities(texts)
    return time.perf_counter() - started


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
