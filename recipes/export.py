"""Write a model for other programs: `python -m recipes.export MODEL --to FORMAT PATH`."""

import sys
from collections.abc import Callable
from typing import NamedTuple

from serving.export.onnx_file import export_onnx
from system.command_line import Parser, exits_with_status
from system.libraries import quiet_imports
from training.plans.shared import PRETRAINED_HELP


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


def write_onnx(model: str, path: str | None = None) -> list[str]:
    """Write the `.onnx` file of a classifier, by default beside its `.keras` file; return the lines to print."""
    return [f"Model saved to {export_onnx(model, path)}"]


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
    "onnx": Format("FILE.onnx", "of a classifier for application.py and for ONNX Runtime elsewhere", write_onnx),
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


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m recipes.export",
        description="Write a model for other programs. Without --to, write a classifier for ONNX Runtime, to an .onnx "
        "file beside its .keras file.",
    )
    parser.add_argument("model", metavar="MODEL", help=PRETRAINED_HELP)
    formats = "; ".join(f"{name} {each.path}, {each.purpose}" for name, each in FORMATS.items())
    parser.add_argument("--to", nargs=2, metavar=("FORMAT", "PATH"), help=f"what to write, and where: {formats}")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.to is None:
        lines = write_onnx(args.model)
    else:
        name, path = args.to
        if name not in FORMATS:
            parser.error(f"argument --to: unknown format {name!r} (choose from {', '.join(FORMATS)})")
        lines = FORMATS[name].write(args.model, path)
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
