"""Measure the report page of a test with many rows: its size, and its time beside that of the predictions alone.

    python -m benchmarks.endurance.report_page --rows 100000

The rows are those of `data/everyday/train.csv`, each text with a number, so that all differ. The page and the
predictions are made by processes of their own, whose seconds are those of the processors.
"""

import csv
import itertools
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring.processes import measure
from system.command_line import Parser, exits_with_status, positive_int

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / "data" / "everyday" / "train.csv"


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=positive_int, default=100_000, help="rows of the test")
    parser.add_argument("--model", default=str(ROOT / "mini_bert_sentiment_classifier.onnx"), help="model file")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source, page = folder / "rows.csv", folder / "report.html"
        write_rows(source, args.rows)
        files = ["--file", str(source), "--output", str(folder / "scored.csv")]
        predictions = measure([str(ROOT / "application.py"), "--model", args.model, *files], folder)
        files = ["--dataset", str(source), "--output", str(page)]
        report = measure(["-m", "recipes.report", "--model", args.model, *files], folder)
        megabytes, seconds = page.stat().st_size / 1e6, report.cpu_seconds
        print(
            f"{args.rows:,} rows: a page of {megabytes:.2f} MB in {seconds:.1f} s, "
            f"{seconds - predictions.cpu_seconds:.1f} s more than the predictions; {report.mebibytes:,.0f} MiB"
        )


def write_rows(path: Path, count: int) -> None:
    """Write a CSV file with `count` labelled rows."""
    with open(ROWS, encoding="utf-8", newline="") as source, open(path, "w", encoding="utf-8", newline="") as file:
        rows = itertools.islice(itertools.cycle(list(csv.DictReader(source))), count)
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"{row['text']}{number}", row["label"]] for number, row in enumerate(rows))


if __name__ == "__main__":
    sys.exit(main())
