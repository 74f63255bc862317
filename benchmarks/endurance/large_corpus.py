"""Compare pre-training on a large and on a small text file: time of packing and of a step, and peak memory.

    python -m benchmarks.endurance.large_corpus --sizes 20M 2G

The text is synthetic: documents of random sentences of the sample corpus. Both files are packed and trained on by
`pretrain.py`, in processes of their own, which take turns. The time of a step is the difference between a long and a
short training, so that start, compilation and evaluation do not count. Times are seconds of the processors, which other
programs hardly change. Packed rows remain in the folder, so that a second run measures the steps alone.
"""

import re
import statistics
import sys
from pathlib import Path

import numpy as np

from benchmarks.measuring.processes import Run, measure
from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError
from text.corpus import iter_texts

PRETRAIN = Path(__file__).resolve().parents[2] / "pretrain.py"
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
SENTENCE = re.compile("[^。！？]+[。！？]*")
SENTENCES_PER_DOCUMENT = 6  # mean
SENTENCES_AT_ONCE = 5000
# Few rows to evaluate, and no end but that of the steps.
TRAINING = ["--held-out-fraction", "0.0005", "--epochs", "1000"]


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=["20M", "2G"],
        metavar="SIZE",
        help="bytes of text, such as 20M, the smallest first",
    )
    parser.add_argument("--steps", type=positive_int, default=100, help="measured steps per turn")
    parser.add_argument("--turns", type=positive_int, default=3, help="turns per size")
    parser.add_argument(
        "--folder", default="runs/large_corpus", help="folder for the texts and their rows, about 1.5 times the sizes"
    )
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    corpora = [folder / f"{size}.txt" for size in args.sizes]
    for corpus, size in zip(corpora, map(parse_size, args.sizes), strict=True):
        if not corpus.is_file():
            write_corpus(corpus, size)
    packings = [_pretrain(corpus, folder, "--dry-run") for corpus in corpora]
    trainings = _measure_steps(corpora, folder, args.steps, args.turns)
    print(f"{'':8} {'packing':>16} {'peak memory':>14} {'a step':>14} {'peak memory':>14}")
    fastest = trainings[0][0]
    for size, packing, (seconds, mebibytes) in zip(args.sizes, packings, trainings, strict=True):
        print(
            f"{size:8} {packing.cpu_seconds:10,.0f} s CPU {packing.mebibytes:10,.0f} MiB {1000 * seconds:7,.1f} ms CPU "
            f"{mebibytes:10,.0f} MiB  {fastest / seconds:.2f}x the speed"
        )


def _measure_steps(corpora: list[Path], folder: Path, steps: int, turns: int) -> list[tuple[float, float]]:
    """Return the median of the CPU seconds of a training step, and the peak memory, for each corpus."""
    seconds = [[] for _ in corpora]
    mebibytes = [[] for _ in corpora]
    for turn in range(turns):
        for number, corpus in enumerate(corpora):
            print(f"turn {turn + 1} of {turns}: {corpus.name}…", file=sys.stderr, flush=True)
            short, long = (_pretrain(corpus, folder, "--max-steps", str(steps * times)) for times in (1, 2))
            seconds[number].append((long.cpu_seconds - short.cpu_seconds) / steps)
            mebibytes[number] += [short.mebibytes, long.mebibytes]
    return list(zip(map(statistics.median, seconds), map(max, mebibytes), strict=True))


def parse_size(text: str) -> int:
    """Return the bytes of a size such as "200M".

    Raises:
        InputError: it is none.
    """
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not found or not int(found[1]):
        raise InputError(f"--sizes {text}: write a number of bytes, such as 500K, 20M or 2G")
    return int(found[1]) * UNITS[found[2]]


def write_corpus(path: Path, size: int) -> None:
    """Write a text file of at least `size` bytes, a document a line, the same one each time."""
    sentences = [sentence.encode() for text in iter_texts(["sample"]) for sentence in SENTENCE.findall(text)]
    pieces = [*sentences, *(sentence + b"\n" for sentence in sentences)]
    generator = np.random.default_rng(0)
    with open(path, "wb") as file:
        while file.tell() < size:
            numbers = generator.integers(len(sentences), size=SENTENCES_AT_ONCE)
            ends_document = generator.random(SENTENCES_AT_ONCE) < 1 / SENTENCES_PER_DOCUMENT
            ends_document[-1] = True
            numbers += len(sentences) * ends_document
            file.write(b"".join([pieces[number] for number in numbers.tolist()]))


def _pretrain(corpus: Path, folder: Path, *options: str) -> Run:
    """Measure a run of pretrain.py."""
    results = ["--output", str(folder / "model.keras"), "--run-folder", str(folder / "run")]
    texts = ["--corpus", str(corpus), "--cache-folder", str(folder / "cache")]
    return measure([str(PRETRAIN), *texts, *results, *TRAINING, *options], folder)


if __name__ == "__main__":
    sys.exit(main())
