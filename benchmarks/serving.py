"""Measures how fast the application answers and how much memory it takes, beside the usual tools, in one run.

    python -m benchmarks.serving --dataset reviews.csv

Every figure comes from processes of their own, which take turns with those that they are compared with, so that a
noisy machine disturbs all alike; the median counts. The contenders, see `benchmarks.serving_contenders`:

- One text, the whole process from its start to its end: Keras on TensorFlow with transformers' tokenizer. Before it
  counts it must give the same probability.
- One text in a process that is running, tokenizing included: each review of the data set once.
- A file, reviews a second: transformers' pipeline on PyTorch, TF-IDF with logistic regression, and SnowNLP. Of the
  application the whole process counts; of the others, in their favour, only reading, judging and writing, and the
  pipeline cuts long texts off, which the application reads to their end.
- The memory of the application over files of several lengths.

Memory is the peak of what the process has resident. Runs on Linux and macOS.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving_contenders import repeat_to_file
from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError
from system.files import write_atomically
from text.sources import read_labelled, source_name

ROOT = Path(__file__).resolve().parents[1]
TEXT = "房间很干净，早餐也丰富，前台热情周到，下次来还住这里。"  # fits into one window
CONTENDERS = "benchmarks.serving_contenders"
KERAS, TRANSFORMERS, TFIDF, SNOWNLP = "Keras on TensorFlow", "transformers", "TF-IDF", "SnowNLP"
TITLES = {
    KERAS: "Keras on TensorFlow, transformers' tokenizer",
    TRANSFORMERS: "transformers' pipeline on PyTorch",
    TFIDF: "TF-IDF + logistic regression",
    SNOWNLP: "SnowNLP",
}
SLOW_REPEATS = 5
MOST_ROWS = {TRANSFORMERS: 2_000, SNOWNLP: 500}  # of those that would take all day
NEEDED = ("torch", "transformers", "sklearn", "snownlp")
TOLERANCE = 1e-3  # between the probabilities of two ways of computing
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"} | {
    "PYTHONIOENCODING": "utf-8"
}
# Starts what it is given and measures it. A process of its own, and a small one: what the system reports as the peak
# memory of a process is never below that of the process that started it.
LAUNCHER = """
import json, os, sys, time
report, *command = sys.argv[1:]
started = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(command[0], command, os.environ), 0)
seconds = time.perf_counter() - started
unit = 2**20 if sys.platform == "darwin" else 2**10
with open(report, "w") as file:
    json.dump({"seconds": seconds, "mebibytes": usage.ru_maxrss / unit}, file)
sys.exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
"""


class Run(NamedTuple):
    """What a process took, and what it wrote to standard output."""

    seconds: float
    mebibytes: float
    output: str


class Line(NamedTuple):
    """A line of the table; without figures it is the title of those below it."""

    name: str
    speed: str = ""
    memory: str = ""
    beside: str = ""


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="sample", metavar="SOURCE", help="as fine_tuning.py takes it")
    parser.add_argument(
        "--model", default="mini_bert_sentiment_classifier.keras", metavar="FILE", help="a classifier, .keras"
    )
    parser.add_argument(
        "--rows", type=positive_int, nargs="+", default=[10_000, 1_000_000], help="files whose memory is measured"
    )
    parser.add_argument("--file-rows", type=positive_int, default=20_000, help="rows of the file that all score")
    parser.add_argument("--repeats", type=positive_int, default=20, help="answers to one text")
    parser.add_argument("--turns", type=positive_int, default=3, help="times that each scores the file")
    return parser


@exits_with_status
def main(argv=None) -> None:
    args = build_parser().parse_args(argv)
    if not Path(args.model).is_file():
        raise InputError(f"{args.model}: no such model file; `python fine_tuning.py` makes one")
    if missing := [package for package in NEEDED if not importlib.util.find_spec(package)]:
        raise InputError(f"there is no {' and no '.join(missing)} here: pip install -r requirements-dev.txt")
    labelled = read_labelled(args.dataset)
    rows = labelled.usable.nonzero()[0]
    reviews = [labelled.texts[row] for row in rows]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with write_atomically(folder / "reviews.json") as file:
            json.dump({"texts": reviews, "labels": labelled.labels[rows].tolist()}, file, ensure_ascii=False)
        lines = [*_one_shot(args, folder), *_running(args, folder), *_file(args, folder), *_memory(args, folder)]
    described = f"{len(reviews):,} reviews of {statistics.median(map(len, reviews)):,.0f} characters (median)"
    print(f"{_machine()}\n{source_name(labelled.name)}, {described}; {args.model}\n")
    _print_table(lines)


def _one_shot(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Returns the lines of the whole process that answers to one text."""
    ours = [str(ROOT / "application.py"), "--model", args.model, "--text", TEXT]
    keras = ["-m", CONTENDERS, "one_shot", json.dumps({"model": args.model, "text": TEXT})]
    _say("one text: warming up…")
    # The first start reads from the disk; none of the two is measured.
    answers = [json.loads(_run(command, folder).output)["probability"] for command in ([*ours, "--json"], keras)]
    if abs(answers[0] - answers[1]) > TOLERANCE:
        raise InputError(f"{KERAS} answers {answers[1]:.4f} where the application answers {answers[0]:.4f}")
    our_runs, keras_runs = [], []
    slow_repeats = min(args.repeats, SLOW_REPEATS)
    for number in range(args.repeats):
        our_runs.append(_run(ours, folder))
        # Spread evenly over the others.
        if number * slow_repeats // args.repeats == len(keras_runs):
            keras_runs.append(_run(keras, folder))
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


def _running(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Returns the lines of the process that answers to one text after the other."""
    _say("one text in a running process…")
    measured = _contender("running", args, folder)
    return [
        Line(f"One text in a running process (median of {measured['texts']:,}, {measured['runtime']} runtime)"),
        Line("Predictor.predict([text])", f"{measured['milliseconds']:.3f} ms"),
    ]


def _file(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Returns the lines of a file that is scored: reviews a second."""
    sizes = {name: min(args.file_rows, MOST_ROWS.get(name, args.file_rows)) for name in (TRANSFORMERS, TFIDF, SNOWNLP)}
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


def _memory(args: argparse.Namespace, folder: Path) -> list[Line]:
    """Returns the lines of the memory that files of several lengths take."""
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
    """Returns what the application took for the file of `size` rows; its verdicts are thrown away."""
    output = folder / "scored.csv"
    places = ["--file", str(folder / f"{size}.csv"), "--output", str(output)]
    run = _run([str(ROOT / "application.py"), "--model", args.model, *places], folder)
    output.unlink()
    return run


def _contender(name: str, args: argparse.Namespace, folder: Path, rows: int | None = None) -> dict:
    settings = {"model": args.model, "reviews": str(folder / "reviews.json")}
    if rows is not None:
        settings |= {"source": str(folder / f"{rows}.csv"), "output": str(folder / "contender.csv")}
    return json.loads(_run(["-m", CONTENDERS, name, json.dumps(settings)], folder).output)


def _run(arguments: list[str], folder: Path) -> Run:
    """Runs Python with the arguments in a process of its own; what it complains of goes to standard error.

    Raises:
        InputError: it failed.
    """
    report = folder / "run.json"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, str(report), sys.executable, *arguments],
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if result.returncode:
        raise InputError(f"{' '.join(arguments[:3])} could not be measured, for the reason above")
    measured = json.loads(report.read_text(encoding="utf-8"))
    return Run(measured["seconds"], measured["mebibytes"], next(iter(result.stdout.splitlines()[-1:]), ""))


def _medians(runs: list[Run]) -> tuple[float, float]:
    return statistics.median(run.seconds for run in runs), statistics.median(run.mebibytes for run in runs)


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _print_table(lines: list[Line]) -> None:
    header = Line("", "speed or time", "peak memory", "beside ours, or growth")
    indented = [line if line.speed == "" else line._replace(name=f"  {line.name}") for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(header, *indented, strict=True)]
    # A title stands before figures or above them, and needs no column of its own.
    widths[0] = max(len(line.name) for line in indented if line.speed)
    for line in (header, *indented):
        figures = (f"{cell:>{width}}" for cell, width in zip(line[1:3], widths[1:3], strict=True))
        print("  ".join((f"{line.name:{widths[0]}}", *figures, line.beside)).rstrip())


def _machine() -> str:
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
