"""Write a model for other programs: `python -m recipes.export MODEL --to FORMAT PATH`."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import onnx

from evaluation.metrics import classification_metrics
from serving.export.onnx_file import export_onnx, onnx_model
from serving.export.quantization import QUANTIZATIONS, check_quantized_path, quantized
from serving.predictor import Predictor
from system.command_line import Parser, add_options, exits_with_status, option_name
from system.errors import InputError
from system.files import check_writable, replace_atomically
from system.libraries import quiet_imports
from text.dataset.options import TEST_SIZE, DataOptions
from text.labels import SENTIMENT
from text.sources import source_name
from text.tokens.tokenizer import tokenizer_from_json
from training.plans.shared import PRETRAINED_HELP

if TYPE_CHECKING:
    from network.bert import BertClassifier
    from text.dataset.splits import Split

# The options of fine_tuning.py that decide which texts are for validation, and how their labels are read.
DATA_OPTIONS = (
    "dataset",
    "validation_dataset",
    "test_dataset",
    "also",
    "exclude",
    "text_column",
    "label_column",
    "group_column",
    "label_separator",
    "label_columns",
    "label_map",
    "drop_duplicates",
    "stratify",
    "test_size",
)
DATA = DataOptions(dataset=None, test_size=TEST_SIZE)  # the defaults of fine_tuning.py, without its data set
MAX_LOSS = 0.005  # of accuracy or macro-F1, by quantization


class Format(NamedTuple):
    """A format of `--to`.

    Attributes:
        path: the kind of its path, "FOLDER" or "FILE" with a suffix.
        purpose: what it is for, the end of a sentence of the help.
        write: writes a model; its arguments are `MODEL` and the path, and it returns the lines to print.
    """

    path: str
    purpose: str
    write: Callable[[str, str], list[str]]


def write_huggingface(model: str, folder: str) -> list[str]:
    """Write a folder for `transformers`; return the lines to print."""
    with quiet_imports():
        from serving.export.huggingface.export_folder import export_huggingface

    return export_huggingface(model, folder)


def keras_writer(name: str) -> Callable[[str, str], list[str]]:
    """Return a function that writes a folder in a format of Keras' export, and returns the lines to print."""

    def write(model: str, folder: str) -> list[str]:
        with quiet_imports():
            from serving.export.keras_export import export_keras

        return export_keras(model, folder, name)

    return write


FORMATS = {
    "onnx": Format("FILE.onnx", "of a classifier for application.py and for ONNX Runtime elsewhere", export_onnx),
    "huggingface": Format(
        "FOLDER",
        "for transformers, if the model is a BERT: pre-trained with --post-norm, and fine-tuned with --pooling pooler; "
        "the folder of any other classifier has an ONNX file and an example program",
        write_huggingface,
    ),
    "openvino": Format("FOLDER", "of a classifier for OpenVINO", keras_writer("openvino")),
    "saved-model": Format(
        "FOLDER", "of a classifier for TensorFlow and TensorFlow Serving", keras_writer("saved-model")
    ),
    "litert": Format("FOLDER", "of a classifier for LiteRT, on phones and other small devices", keras_writer("litert")),
}


def write_quantized(
    model: str, path: str, quantization: str, options: DataOptions | None = None, *, force: bool = False
) -> list[str]:
    """Write the quantized `.onnx` file of a classifier; return the lines to print.

    Args:
        model: a classifier as `network.pretrained.read_pretrained` accepts it.
        path: the file.
        quantization: see `serving.export.quantization.quantized`.
        options: a data set, on whose validation split the model must not lose more than `MAX_LOSS`; None for none.
        force: whether it may lose more.

    Raises:
        InputError: the model or the data cannot be used, or too much is lost; then nothing is written.
        OutputError: the file cannot be written.
    """
    with quiet_imports():
        from network.bert import BertClassifier
        from network.pretrained import read_pretrained

    target = Path(path)
    check_quantized_path(target, quantization)
    check_writable(target)  # before the model and the data are read
    classifier, remarks = read_pretrained(model, BertClassifier)
    full = onnx_model(classifier, model)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("full.onnx", "quantized.onnx")]
        for each, file in zip((full, quantized(full, quantization)), files, strict=True):
            onnx.save(each, file)
        if options is None:
            measured = "What the quantization costs was not measured; --dataset measures it on labelled texts"
        else:
            split = validation_of(classifier, options)
            measured = _measured(files, quantization, split, source_name(options.dataset), force=force)
        with replace_atomically(target, keep_previous=True) as temporary:
            shutil.copyfile(files[1], temporary)
        before, after = (file.stat().st_size / 1e6 for file in files)
    return [*remarks, measured, f"Model saved to {target}: {after:.1f} MB instead of {before:.1f} MB"]


def validation_of(classifier: BertClassifier, options: DataOptions) -> Split:
    """Return the validation split of a data set that has the labels of a classifier, drawn as fine_tuning.py does.

    Raises:
        InputError: the data cannot be used, or have other labels.
    """
    from text.dataset.splits import load_splits

    labels = classifier.label_set
    if not labels.multi_label and (options.label_columns or options.label_separator):
        raise InputError("--label-columns and --label-separator are for a model of texts with several labels")
    names = [] if labels == SENTIMENT else list(labels.names)  # a negative text may be 0 or 差评 in a data set
    options = dataclasses.replace(options, labels=names, multi_label=labels.multi_label)
    tokenizer = tokenizer_from_json(classifier.tokenizer_json)
    split = load_splits(options, tokenizer, classifier.config.max_seq_len).validation
    if split.label_set != labels:
        found, expected = (", ".join(each.names) for each in (split.label_set, labels))
        raise InputError(f"{options.dataset} has the labels {found}, but the model has {expected}; use --label-map")
    return split


def _measured(files: Sequence[Path], quantization: str, split: Split, source: str, *, force: bool) -> str:
    """Return a line about the scores of the full and of the quantized file on a split.

    Raises:
        InputError: too much is lost, without `force`.
    """
    labels = split.label_set
    metric, name = ("macro_f1", "macro-F1") if labels.multi_label else ("accuracy", "accuracy")
    scores = []
    for predictor in map(Predictor, files):
        probabilities = labels.probabilities(predictor.logits(split.texts) / predictor.temperature)
        threshold = predictor.threshold if labels.multi_label else None
        scores.append(classification_metrics(labels, split.labels, probabilities, threshold)[metric])
    before, after = scores
    line = f"{name} on {len(split.texts):,} validation texts of {source}: {before:.4f}, with {quantization} {after:.4f}"
    # Rounded, because 0.915 - 0.91 is more than 0.005 in floating point.
    if round(before - after, 9) > MAX_LOSS and not force:
        raise InputError(
            f"{line}; this is a loss of more than {100 * MAX_LOSS:g} points, so nothing was written: choose another "
            "--quantize, or write it nevertheless with --force"
        )
    return line


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m recipes.export",
        description="Write a model for other programs. Without --to, write a classifier for ONNX Runtime, to an .onnx "
        "file beside its .keras file.",
    )
    parser.add_argument("model", metavar="MODEL", help=PRETRAINED_HELP)
    formats = "; ".join(f"{name} {each.path}, {each.purpose}" for name, each in FORMATS.items())
    parser.add_argument("--to", nargs=2, metavar=("FORMAT", "PATH"), help=f"what to write, and where: {formats}")
    group = parser.add_argument_group("quantization")
    group.add_argument(
        "--quantize",
        choices=QUANTIZATIONS,
        help="write a smaller file, with --to onnx: int8 has integer matrices, and answers that depend a little on the "
        "other texts of a batch; float16-embeddings has a token table of 16 bits, and nearly the same answers",
    )
    group.add_argument(
        "--force",
        action="store_true",
        help=f"write the file even if it loses more than {100 * MAX_LOSS:g} points on the validation part of --dataset",
    )
    add_options(parser, DATA, only=DATA_OPTIONS)
    return parser


def check_options(args: argparse.Namespace) -> None:
    """Check that the options do not contradict each other.

    Raises:
        InputError: two options contradict each other, or one needs another.
    """
    name = args.to[0] if args.to else None
    data = {option for option in DATA_OPTIONS if option in args}
    if name is not None and name not in FORMATS:
        raise InputError(f"argument --to: unknown format {name!r} (choose from {', '.join(FORMATS)})")
    if args.quantize and name != "onnx":
        raise InputError("--quantize needs --to onnx FILE.onnx")
    if not args.quantize and (data or args.force):
        raise InputError(f"{option_name(min(data, default='force'))} needs --quantize")
    if "dataset" not in data and (data or args.force):
        raise InputError(f"{option_name(min(data, default='force'))} needs --dataset")


def data_options(args: argparse.Namespace) -> DataOptions | None:
    """Return the options of the data set, None without one.

    Raises:
        InputError: two options contradict each other.
    """
    typed = {name: getattr(args, name) for name in DATA_OPTIONS if name in args}
    if not typed:
        return None
    options = dataclasses.replace(DATA, **typed)
    dataclasses.replace(options, multi_label=True).check_data(typed)  # whether it is so, the model says
    return options


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        check_options(args)
        options = data_options(args)
    except InputError as error:
        parser.error(str(error))
    if args.to is None:
        lines = export_onnx(args.model)
    elif args.quantize:
        lines = write_quantized(args.model, args.to[1], args.quantize, options, force=args.force)
    else:
        name, path = args.to
        lines = FORMATS[name].write(args.model, path)
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
