"""Writes a classifier for ONNX Runtime again: `python -m recipes.export FILE.keras`."""

import argparse
import sys

from serving.export.onnx_file import export_onnx
from system.command_line import exits_with_status


@exits_with_status
def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description="Writes a classifier for ONNX Runtime, beside its .keras file.")
    parser.add_argument("model", metavar="FILE", help="the .keras file")
    print(f"Model saved to {export_onnx(parser.parse_args(argv).model)}")


if __name__ == "__main__":
    sys.exit(main())
