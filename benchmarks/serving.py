"""Compare the speed and the memory of the application with the usual tools, in one run.

    python -m benchmarks.serving --dataset reviews.csv

Every measurement is a process of its own. The contenders take turns, so that a noisy machine disturbs all alike, and
the median is reported. The comparisons, see `benchmarks.contenders.serving`:

- One text, the whole process from start to end: Keras on TensorFlow with transformers' tokenizer. Its
  probability must be the same.
- One text in a running process, with tokenizing: each review of the data set once.
- A file, reviews per second: transformers' pipeline on PyTorch, TF-IDF with logistic regression, and SnowNLP. The whole
  process of the application is measured. Of the others, in their favour, only reading, predicting and writing is
  measured, and the pipeline truncates long texts, which the application reads to the end.
- The memory of the application with files of several lengths.

Memory is the peak resident memory of the process. Runs on Linux and macOS.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.contenders.serving import repeat_to_file
from benchmarks.measuring.processes import Run, measure
from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError
from system.files import write_atomically
from text.sources import read_labelled, source_name

ROOT = Path(__file__).resolve().parents[1]
TEXT = "房间很干净，早餐也丰富，前台热情周到，下次来还住这里。"  # fits into one window
CONTENDERS = "benchmarks.contenders.serving"
KERAS, TRANSFORMERS, TFIDF, SNOWNLP = "Keras on TensorFlow", "transformers", "TF-IDF", "SnowNLP"
TITLES = {
    KERAS: "Keras on TensorFlow, transformers' tokenizer",
    TRANSFORMERS: "transformers' pipeline on PyTorch",
    TFIDF: "TF-IDF + logistic regression",
    SNOWNLP: "SnowNLP",
}
SLOW_REPEATS = 5
MAX_ROWS = {TRANSFORMERS: 2_000, SNOWNLP: 500}  # of the slow ones
NEEDED = ("torch", "transformers", "sklearn", "snownlp")
TOLERANCE = 1e-3  # between the probabilities of the application and of Keras


class Line(NamedTuple):
    """A line of the table; a line without measurements is the title of those below it."""

    name: str
    speed: str = ""
    memory: str = ""
    beside: str = ""


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset", default="sample", metavar="SOURCE", help="labelled texts, as fine_tuning.py accepts them"
    )
    parser.add_argument(
        "--model", default="mini_bert_sentiment_classifier.keras", metavar="FILE", help="classifier, a .keras file"
    )
    parser.add_argument(
        "--rows",
        type=positive_int,
        nargs="+",
        default=[10_000, 1_000_000],
        help="lengths of the files whose memory is measured",
    )
    parser.add_argument(
        "--file-rows", type=positive_int, default=20_000, help="rows of the file that all contenders score"
    )
    parser.add_argument("--repeats", type=positive_int, default=20, help="runs with one text")
    parser.add_argument("--turns", type=positive_int, default=3, help="turns per contender with the file")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if not Path(args.model).is_file():
        raise InputError(f"{args.model}: no such model file; `python fine_tuning.py` makes one")
    if missing := [package for package in NEEDED if not importlib.util.find_spec(package)]:
        raise InputError(f"{', '.join(missing)}: not installed; run `pip install -r requirements-dev.txt`")
    labelled = read_labelled(args.dataset)
    rows = labelled.usable.nonzero()[0]
    reviews = [labelled.texts[row] for row in rows]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with write_atomically(folder / "reviews.json") as file:
            json.dump({"texts": reviews, "labels": labelled.labels[rows].tolist()}, file, ensure_ascii=False)
        comparisons = (one_shot_lines, _running_lines, _file_lines, _memory_lines)
        lines = [line for compare in comparisons for line in compare(args, folder)]
    described = f"{len(reviews):,} reviews of {statistics.median(map(len, reviews)):,.0f} characters (median)"
    print(f"{machine()}\n{source_name(labelled.name)}, {described}; {args.model}\n")
    _print_table(lines)


def one_shot_lines(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Measure the whole process for one text; return its lines of the table.

    Raises:
        InputError: Keras returns another probability than the application.
    """
    ours = [str(ROOT / "application.py"), "--model", args.model, "--text", TEXT]
    keras = ["-m", CONTENDERS, "one_shot", json.dumps({"model": args.model, "text": TEXT})]
    _say("one text: warming up…")
    # The first runs read from the disk and are not measured.
    probabilities = [
        json.loads(measure(command, folder).output)["probability"] for command in ([*ours, "--json"], keras)
    ]
    if abs(probabilities[0] - probabilities[1]) > TOLERANCE:
        raise InputError(
            f"{KERAS} returns {probabilities[1]:.4f}, where the application returns {probabilities[0]:.4f}"
        )
    our_runs, keras_runs = [], []
    slow_repeats = min(args.repeats, SLOW_REPEATS)
    for number in range(args.repeats):
        our_runs.append(measure(ours, folder))
        # The slow runs are spread evenly over the fast ones.
        if number * slow_repeats // args.repeats == len(keras_runs):
            keras_runs.append(measure(keras, folder))
            _say(f"one text: {our_runs[-1].seconds:.2f} s beside {keras_runs[-1].seconds:.2f} s")
    (our_seconds, our_memory), (seconds, memory) = _medians(our_runs), _medians(keras_runs)
    return [
        Line(f"One text, the whole process (median of {args.repeats})"),
        Line("application.py --text", f"{our_seconds:.3f} s", f"{our_memory:.1f} MiB"),
        Line(
            TITLES[KERAS] + f" ({len(keras_runs)})",
            f"{seconds:.3f} s",
            f"{memory:.1f} MiB",
            f"{seconds / our_seconds:.1f}x the time, {memory / our_memory:.1f}x the memory",
        ),
    ]


def _running_lines(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Measure a running process that predicts one text after the other; return its lines of the table."""
    _say("one text in a running process…")
    measured = _contender("running", args, folder)
    return [
        Line(f"One text in a running process (median of {measured['texts']:,}, {measured['runtime']} runtime)"),
        Line("Predictor.predict([text])", f"{measured['milliseconds']:.3f} ms"),
    ]


def _file_lines(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Measure the scoring of a file, in reviews per second; return its lines of the table."""
    sizes = {name: min(args.file_rows, MAX_ROWS.get(name, args.file_rows)) for name in (TRANSFORMERS, TFIDF, SNOWNLP)}
    for size in {args.file_rows, *sizes.values()}:
        repeat_to_file(folder / "reviews.json", size, folder / f"{size}.csv")
    our_speeds, speeds, peak = [], {name: [] for name in sizes}, 0.0
    for turn in range(1, args.turns + 1):
        run = _score(args, args.file_rows, folder)
        our_speeds.append(args.file_rows / run.seconds)
        peak = max(peak, run.mebibytes)
        _say(f"a file, turn {turn} of {args.turns}: application.py: {our_speeds[-1]:,.0f} reviews/s")
        for name, size in sizes.items():
            speeds[name].append(size / _contender(name, args, folder, rows=size)["seconds"])
            _say(f"a file, turn {turn} of {args.turns}: {name}: {speeds[name][-1]:,.0f} reviews/s")
    ours = statistics.median(our_speeds)
    lines = [
        Line(f"A CSV file, reading and writing included (median of {args.turns})"),
        Line(f"application.py --file, {args.file_rows:,} rows", f"{ours:,.0f} reviews/s", f"{peak:.1f} MiB"),
    ]
    for name, size in sizes.items():
        speed = statistics.median(speeds[name])
        lines.append(
            Line(f"{TITLES[name]}, {size:,} rows", f"{speed:,.0f} reviews/s", "", f"ours {ours / speed:.2f}x as fast")
        )
    return lines


def _memory_lines(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Measure the memory for files of several lengths; return its lines of the table."""
    lines, first = [Line("Memory over the length of the file")], None
    for size in args.rows:
        path = folder / f"{size}.csv"
        _say(f"memory: {size:,} rows…")
        repeat_to_file(folder / "reviews.json", size, path)
        run = _score(args, size, folder)
        _say(f"memory: {size:,} rows: {run.mebibytes:.1f} MiB, {run.seconds:,.1f} s")
        path.unlink()  # a million reviews take some hundred megabytes
        first = first or run.mebibytes
        growth = f"{run.mebibytes / first - 1:+.1%} beside {args.rows[0]:,} rows" if len(lines) > 1 else ""
        speed = f"{size / run.seconds:,.0f} reviews/s"
        lines.append(Line(f"application.py --file, {size:,} rows", speed, f"{run.mebibytes:.1f} MiB", growth))
    return lines


def _score(args: argparse.Namespace, size: int, folder: Path) -> Run:
    """Measure the application on the file of `size` rows."""
    output = folder / "scored.csv"
    paths = ["--file", str(folder / f"{size}.csv"), "--output", str(output)]
    run = measure([str(ROOT / "application.py"), "--model", args.model, *paths], folder)
    output.unlink()
    return run


def _contender(name: str, args: argparse.Namespace, folder: Path, rows: int | None = None) -> dict:
    settings = {"model": args.model, "reviews": str(folder / "reviews.json")}
    if rows is not None:
        settings |= {"source": str(folder / f"{rows}.csv"), "output": str(folder / "contender.csv")}
    return json.loads(measure(["-m", CONTENDERS, name, json.dumps(settings)], folder).output)


def _medians(runs: list[Run]) -> tuple[float, float]:
    return statistics.median(run.seconds for run in runs), statistics.median(run.mebibytes for run in runs)


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _print_table(lines: list[Line]) -> None:
    header = Line("", "speed or time", "peak memory", "beside ours, or growth")
    indented = [line if line.speed == "" else line._replace(name=f"  {line.name}") for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(header, *indented, strict=True)]
    # A title may be wider than the first column.
    widths[0] = max(len(line.name) for line in indented if line.speed)
    for line in (header, *indented):
        cells = (f"{cell:>{width}}" for cell, width in zip(line[1:3], widths[1:3], strict=True))
        print("  ".join((f"{line.name:{widths[0]}}", *cells, line.beside)).rstrip())


def machine() -> str:
    """Return a line about the processor, the memory and the versions."""
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        names = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    processor = names[0] if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    runtime = importlib.metadata.version("onnxruntime")
    return (
        f"{processor}, {cores} cores, {memory:.1f} GiB RAM, Python {platform.python_version()}, onnxruntime {runtime}"
    )


if __name__ == "__main__":
    sys.exit(main())
