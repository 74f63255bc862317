"""Ask one `Predictor` for a long time: several threads, short and very long texts, empty ones, wrong types, control
characters and emoji. Its memory must stay flat, no call may fail that should not, and no answer may change.

    python -m benchmarks.endurance.soak --minutes 30

The first tenth of the time is a warm-up, after which the memory is measured for the first time. Runs on Linux.
"""

import argparse
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from system.command_line import Parser, exits_with_status, positive_float, positive_int
from system.errors import InputError
from system.output.display import progress

MODEL = str(Path(__file__).resolve().parents[2] / "mini_bert_sentiment_classifier.keras")
PHRASES = (
    "房间很干净，",
    "早餐一般，",
    "前台等了半小时，",
    "性价比高，",
    "隔音差得离谱！",
    "下次还来。",
    "WiFi 慢 😡，",
)
ODD_TEXTS = ("", " ", "\x1b[2J\x07", "\u202e反过来", "😀" * 50, "𠮷" * 70, "a" * 5000, "\ud800", "。" * 300)
LONG_TEXT_CHARACTERS = 20_000
WARM_UP = 0.1  # fraction of the time
MOST_GROWTH = 0.05  # of the memory after the warm-up; the allocator needs a while to settle


@dataclass
class Load:
    """What the threads share.

    Attributes:
        end: the time at which they stop.
        seconds: the time of each call, with how many texts it had.
        errors: what went wrong.
    """

    end: float
    seconds: list[tuple[int, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def build_parser() -> Parser:
    parser = Parser(description="Ask one Predictor for a long time, and measure its memory and its latencies.")
    parser.add_argument("--minutes", type=positive_float, default=30.0, help="how long")
    parser.add_argument("--threads", type=positive_int, default=4, help="threads that ask")
    parser.add_argument("--pause", type=positive_float, default=20.0, help="mean milliseconds between two calls")
    parser.add_argument("--model", metavar="FILE", default=MODEL, help="the model")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if not Path("/proc/self/statm").is_file():
        raise InputError("the memory of a running process can be read on Linux alone")
    from serving.predictor import Predictor  # after the options, because it takes a while

    predictor = Predictor(args.model)
    load = Load(time.monotonic() + 60 * args.minutes)
    threads = [threading.Thread(target=_ask, args=(predictor, args, load, number)) for number in range(args.threads)]
    for thread in threads:
        thread.start()
    memory = _watch_memory(load, 60 * args.minutes)
    for thread in threads:
        thread.join()
    return _report(load, memory)


def _ask(predictor: object, args: argparse.Namespace, load: Load, number: int) -> None:
    """Call a `Predictor` until the end of the load; compare its answers on the same texts with its first ones."""
    draw = random.Random(number)
    known = predictor.predict(list(PHRASES))
    while time.monotonic() < load.end:
        texts = _texts(draw)
        started = time.perf_counter()
        try:
            answers = predictor.predict(texts)
        except Exception as error:
            load.errors.append(f"{type(error).__name__}: {error}")
            continue
        load.seconds.append((len(texts), time.perf_counter() - started))
        if len(answers) != len(texts):
            load.errors.append(f"{len(answers)} answers to {len(texts)} texts")
        _ask_wrongly(predictor, draw, load)
        if draw.random() < 0.05 and predictor.predict(list(PHRASES)) != known:
            load.errors.append("another answer to the same texts")
        time.sleep(draw.expovariate(1000 / args.pause))


def _texts(draw: random.Random) -> list[str]:
    kind = draw.random()
    if kind < 0.7:
        return ["".join(draw.choices(PHRASES, k=draw.randint(1, 12)))]
    if kind < 0.9:
        return ["".join(draw.choices(PHRASES, k=draw.randint(1, 30))) for _ in range(draw.randint(2, 64))]
    if kind < 0.98:
        return draw.sample(ODD_TEXTS, 3)
    return ["".join(draw.choices(PHRASES, k=LONG_TEXT_CHARACTERS // 6))]


def _ask_wrongly(predictor: object, draw: random.Random, load: Load) -> None:
    """Now and then pass what is no text, which has no label, and a string for a list, which is refused."""
    if draw.random() > 0.02:
        return
    if any(answer.label for answer in predictor.predict([b"bytes", 3, None])):
        load.errors.append("what is no text has a label")
    try:
        predictor.predict("房间")
    except InputError:
        return
    load.errors.append("a string was taken for a list of texts")


def _watch_memory(load: Load, seconds: float) -> list[float]:
    """Return the mebibytes of this process from the end of the warm-up on, about a hundred times."""
    memory = []
    for number in progress(range(100), "soak", " %"):
        time.sleep(max(0.0, load.end - seconds * (99 - number) / 100 - time.monotonic()))
        if number >= 100 * WARM_UP:
            memory.append(_mebibytes())
    return memory


def _mebibytes() -> float:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _report(load: Load, memory: list[float]) -> int:
    single = [1000 * seconds for count, seconds in load.seconds if count == 1]
    percentiles = np.percentile(single, [50, 99, 99.9])
    calls, texts = len(load.seconds), sum(count for count, _ in load.seconds)
    print(f"{calls:,} calls with {texts:,} texts, {len(load.errors)} errors")
    print("one text: p50 {:.2f} ms, p99 {:.2f} ms, p99.9 {:.2f} ms".format(*percentiles))
    tenth = max(1, len(memory) // 10)
    first, last = np.median(memory[:tenth]), np.median(memory[-tenth:])
    print(f"memory: {first:.1f} MiB after the warm-up, {last:.1f} MiB at the end, at most {max(memory):.1f} MiB")
    for error in dict.fromkeys(load.errors):
        print(f"error: {error}")
    return int(bool(load.errors) or last > first * (1 + MOST_GROWTH))


if __name__ == "__main__":
    sys.exit(main())
