"""Compare the speed of scoring on Ray with that of one process, also while workers are killed.

    python -m benchmarks.endurance.scaling_scoring --rows 1000000

The texts are those of `data/`, each with a number, so that all differ. Every run is a process of its own, measured from
its start to its end; a run on Ray starts a cluster on this machine first. All outputs must have the same bytes.
Runs on Linux, where /proc tells which processes are the workers.
"""

import argparse
import contextlib
import csv
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError
from system.files import sha256_of_file
from text.corpus import iter_texts

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "data" / "everyday" / "train.csv", ROOT / "data" / "sample_reviews.csv"]
WORKER = "ray::MapWorker"  # the title of a process that predicts


class Run(NamedTuple):
    """A way to score the file: its name in the table, its options, and how many workers are killed."""

    name: str
    options: list[str]
    num_kills: int = 0


RUNS = {
    "local": Run("local engine", []),
    "1-actor": Run("Ray, 1 actor", ["--engine", "ray", "--actors", "1"]),
    "2-actors": Run("Ray, 2 actors", ["--engine", "ray", "--actors", "2"]),
    "killed": Run("Ray, 2 actors, 2 killed", ["--engine", "ray", "--actors", "2"], 2),
}


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=positive_int, default=1_000_000, help="rows of the file")
    parser.add_argument("--files", type=positive_int, default=4, help="files that the rows are split into, for Ray")
    parser.add_argument(
        "--runs", nargs="+", choices=RUNS, default=list(RUNS), help="what to run, compared to the first"
    )
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if not Path("/proc/self/stat").exists():
        raise InputError("this system has no /proc, which tells which processes are the workers; use Linux")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_files(folder, args)
        speeds, outputs = {}, {}
        for run in (RUNS[name] for name in args.runs):
            output = folder / "out.csv"
            seconds, killed = _score(folder / ("all.csv" if not run.options else "part*.csv"), output, run)
            speeds[run.name] = args.rows / seconds
            outputs[run.name] = sha256_of_file(output)
            print(f"{run.name}: {seconds:,.0f} s, {killed} workers killed", file=sys.stderr, flush=True)
    _print_table(args.rows, speeds, outputs)
    if len(set(outputs.values())) > 1:
        raise InputError("the engines wrote different rows")


def _print_table(rows: int, speeds: dict[str, float], outputs: dict[str, str]) -> None:
    first = next(iter(speeds))
    print(f"{rows:,} rows{'':26}speed  beside {first}")
    for name, speed in speeds.items():
        same = "same bytes" if outputs[name] == outputs[first] else "OTHER BYTES"
        print(f"{name:26}{speed:>8,.0f} rows/s  {speed / speeds[first]:.2f}x  {same}")


def _write_files(folder: Path, args: argparse.Namespace) -> None:
    """Write the rows to one file, and in the same order to several."""
    names = [f"part{number:03}.csv" for number in range(args.files)]
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(open(folder / name, "w", encoding="utf-8", newline="")) for name in ["all.csv", *names]
        ]
        whole, *parts = map(csv.writer, files)
        for writer in (whole, *parts):
            writer.writerow(["number", "text"])
        for number, text in enumerate(itertools.islice(itertools.cycle(iter_texts(SOURCES)), args.rows)):
            row = [number, f"{number}：{text}"]
            whole.writerow(row)
            parts[number * args.files // args.rows].writerow(row)


def _score(source: Path, output: Path, run: Run) -> tuple[float, int]:
    """Score a file; return the seconds, and how many workers were killed."""
    command = [sys.executable, str(ROOT / "application.py"), "--file", str(source), "--output", str(output)]
    started, killed = time.perf_counter(), 0
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([*command, *run.options], stdout=subprocess.DEVNULL, stderr=errors)
        parts_wanted = 1
        while process.poll() is None:
            time.sleep(0.02)
            num_parts = len(list(Path(f"{output}.parts").glob("*.part")))
            if killed < run.num_kills and num_parts >= parts_wanted and (workers := list(_workers(process.pid))):
                os.kill(workers[0], signal.SIGKILL)
                killed, parts_wanted = killed + 1, num_parts + 1
        seconds = time.perf_counter() - started
        if process.returncode:
            errors.seek(0)
            raise InputError(f"{run.name} failed: {errors.read().decode('utf-8', 'replace').strip()}")
    return seconds, killed


def _workers(ancestor: int) -> Iterator[int]:
    """Yield the processes that predict below another process."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "cmdline").read_text(errors="replace").startswith(WORKER) and _is_below(
                int(path.name), ancestor
            ):
                yield int(path.name)


def _is_below(process: int, ancestor: int) -> bool:
    while process > 1 and process != ancestor:
        # The name of a process is in parentheses, and may contain some itself.
        process = int(Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return process == ancestor


if __name__ == "__main__":
    sys.exit(main())
