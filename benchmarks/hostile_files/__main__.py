"""Measure what the application needs to refuse hostile model files, beside what it needs to use a good one.

    python -m benchmarks.hostile_files

Each file is opened by `application.py` in a process of its own. None may take a second of a processor or 500 megabytes
more than a good file of its kind, and all must end with the status 1.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.hostile_files.keras_files import hostile_keras_files
from benchmarks.hostile_files.onnx_files import hostile_onnx_files
from benchmarks.measuring.processes import Run, measure
from system.command_line import Parser, exits_with_status, positive_int
from system.errors import EXIT_UNUSABLE_INPUT

APPLICATION = Path(__file__).resolve().parents[2] / "application.py"
MOST_SECONDS, MOST_MEBIBYTES = 1.0, 500.0  # more than for a good file


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model",
        default="mini_bert_sentiment_classifier.keras",
        metavar="FILE",
        help="good classifier of two labels, a .keras file with its .onnx file beside it",
    )
    parser.add_argument(
        "--expanded", type=positive_int, default=2**31, metavar="N", help="bytes that compressed parts expand to"
    )
    parser.add_argument("--only", choices=(".keras", ".onnx"), help="kind of file to measure (default: both)")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    makers = {".onnx": hostile_onnx_files, ".keras": hostile_keras_files}
    too_much = []
    for suffix in [args.only] if args.only else makers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # A copy, so that the .keras file has no .onnx file beside it.
            good = Path(shutil.copy(Path(args.model).with_suffix(suffix), folder / f"good{suffix}"))
            too_much += _measure(suffix, good, makers[suffix](good, folder, args.expanded), folder)
    print(f"over the limit: {', '.join(too_much)}" if too_much else "none is over the limit")
    return EXIT_UNUSABLE_INPUT if too_much else 0


def _measure(suffix: str, good: Path, files: dict[str, Path], folder: Path) -> list[str]:
    """Print a table of all files of a kind; return the names of those that need too much."""
    expected = _open(good, folder, status=0)
    print(f"{suffix} files: seconds of a processor and mebibytes, then how many more than for a good file")
    print(_row("good", expected, expected))
    too_much = []
    for name, path in files.items():
        run = _open(path, folder, EXIT_UNUSABLE_INPUT)
        print(_row(name, run, expected), flush=True)
        more = run.cpu_seconds - expected.cpu_seconds, run.mebibytes - expected.mebibytes
        if more[0] > MOST_SECONDS or more[1] > MOST_MEBIBYTES:
            too_much.append(name)
    return too_much


def _open(path: Path, folder: Path, status: int) -> Run:
    return measure([str(APPLICATION), "--model", str(path), "--text", "房间很干净。"], folder, status=status)


def _row(name: str, run: Run, expected: Run) -> str:
    more = f"{run.cpu_seconds - expected.cpu_seconds:+6.2f} {run.mebibytes - expected.mebibytes:+6.0f}"
    return f"  {name:28} {run.cpu_seconds:6.2f} {run.mebibytes:6.0f}   {more}"


if __name__ == "__main__":
    sys.exit(main())
