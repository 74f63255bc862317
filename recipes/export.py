"""Export a classifier for ONNX Runtime again: `python -m recipes.export FILE.keras`."""

import sys

from serving.export.onnx_file import export_onnx
from system.command_line import Parser, exits_with_status


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m recipes.export",
        description="Export a classifier for ONNX Runtime, to an .onnx file beside its .keras file.",
    )
    parser.add_argument("model", metavar="FILE", help="classifier, a .keras file")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    print(f"Model saved to {export_onnx(build_parser().parse_args(argv).model)}")


if __name__ == "__main__":
    sys.exit(main())
