"""Compare the speed of pre-training with the usual tools: same sizes, same texts, one run.

    python -m benchmarks.pretraining --corpus reviews.txt

The contenders, see `benchmarks.contenders.pretraining`, take turns on the CPU, so that a noisy machine disturbs all
alike. Each turn is a process of its own. The median of the turns is reported.

Real tokens come from a text; padding, [CLS] and [SEP] do not count. Characters are those that the real tokens cover, so
the truncated end of a text does not count.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

from system.command_line import Parser, exits_with_status, positive_int
from system.errors import InputError
from text.corpus import corpus_files
from text.tokens.tokenizer import BERT_BASE_CHINESE

OURS = "this project"
BACKENDS = {OURS: "tensorflow", "transformers": "torch", "keras_hub": "tensorflow"}
UNITS = ("tokens", "characters")
PACKAGES = ("tensorflow", "keras", "keras-hub", "torch", "transformers")


def build_parser() -> Parser:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--corpus", default="sample", metavar="FILE", help="text file with one document per line, or: sample"
    )
    parser.add_argument("--tokenizer", default="own", help="tokenizer of this project, as pretrain.py accepts it")
    parser.add_argument(
        "--bert-vocabulary",
        default=BERT_BASE_CHINESE,
        metavar="NAME",
        help="vocabulary of the others: a hub name or a vocab.txt",
    )
    parser.add_argument("--batch-size", type=positive_int, default=128, help="rows per step")
    parser.add_argument("--steps", type=positive_int, default=60, help="measured steps per turn")
    parser.add_argument("--turns", type=positive_int, default=3, help="turns per contender")
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    corpus_files([args.corpus])  # fails at once if it is missing
    missing = [package for package in ("torch", "transformers", "keras_hub") if not importlib.util.find_spec(package)]
    if missing:
        raise InputError(f"{', '.join(missing)}: not installed; run `pip install -r requirements-dev.txt`")
    speeds = {name: [] for name in BACKENDS}
    with tempfile.TemporaryDirectory() as cache_folder:
        settings = json.dumps(vars(args) | {"cache_folder": cache_folder})
        for turn in range(args.turns):
            for name in BACKENDS:
                print(f"turn {turn + 1} of {args.turns}: {name}…", file=sys.stderr, flush=True)
                speed = _measure_in_own_process(name, settings)
                print("   ", ", ".join(f"{speed[unit]:,.0f} {unit}/s" for unit in UNITS), file=sys.stderr, flush=True)
                speeds[name].append(speed)
    _print_table(
        {name: [statistics.median(turn[unit] for turn in turns) for unit in UNITS] for name, turns in speeds.items()}
    )
    print(f"{_machine()}; {args.batch_size} rows per step, median of {args.turns} x {args.steps} steps")


def _measure_in_own_process(name: str, settings: str) -> dict[str, float]:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.contenders.pretraining", name, settings],
        env=os.environ | {"KERAS_BACKEND": BACKENDS[name], "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if result.returncode:
        raise InputError(f"{name} could not be measured; its error is above")
    return json.loads(result.stdout.splitlines()[-1])


def _print_table(medians: dict[str, list[float]]) -> None:
    print(f"{'':12} {'real tokens/s':>14} {'characters/s':>14} {'ours, tokens':>14} {'ours, characters':>17}")
    for name, (tokens, characters) in medians.items():
        token_ratio, character_ratio = (
            ours / other for ours, other in zip(medians[OURS], (tokens, characters), strict=True)
        )
        print(f"{name:12} {tokens:14,.0f} {characters:14,.0f} {token_ratio:13.2f}x {character_ratio:16.2f}x")


def _machine() -> str:
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    return f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    sys.exit(main())
