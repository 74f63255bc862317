"""Says whether Chinese reviews are positive or negative: for --text, for the rows of a --file, or at a prompt."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from system.command_line import Parser, add_option, exits_with_status, positive_int, probability
from system.errors import InputError
from system.files import here_or_beside
from system.streams import is_closed, is_standard_output
from text.tokens.window_options import WINDOW_OPTIONS

if TYPE_CHECKING:
    from serving.predictor import Predictor

MODEL_PATH = "mini_bert_sentiment_classifier.keras"
POSITIVE_THRESHOLD = 0.7
EXIT_WORD = "exit"
FILE_KINDS = ("csv", "tsv", "jsonl", "parquet", "txt")
FILE_OPTIONS = ("text_column", "format", "output", "output_format", "strict", "resume")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=f"{__doc__} Without --text and --file it asks for reviews until you type {EXIT_WORD}.")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--text", action="append", metavar="REVIEW", help="a review to judge; may be given repeatedly")
    asked.add_argument(
        "--file", metavar="FILE", help="CSV, TSV, JSONL, Parquet or plain text file to judge; - is standard input"
    )

    verdict = parser.add_argument_group("verdict")
    verdict.add_argument(
        "--model", default=here_or_beside(MODEL_PATH, __file__), metavar="FILE", help="the model that judges"
    )
    verdict.add_argument(
        "--threshold",
        type=_threshold,
        default=POSITIVE_THRESHOLD,
        metavar="P",
        help="lowest probability of a positive verdict, 0 to 1; auto: the best by the model's validation",
    )
    verdict.add_argument(
        "--abstain",
        type=probability,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="leave reviews undecided whose probability lies between the two",
    )
    verdict.add_argument(
        "--runtime",
        choices=("auto", "onnx", "keras"),
        default="auto",
        help="what runs the model; auto: ONNX Runtime if the model has a file for it",
    )
    verdict.add_argument(
        "--batch-size", type=positive_int, default=32, help="windows, at most, that the model reads together"
    )

    answers = parser.add_argument_group("answers to --text and at the prompt")
    answers.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    answers.add_argument("--explain", action="store_true", help="mark the words that pushed the verdict")
    answers.add_argument("--explain-output", metavar="FILE", help="write the marked reviews to an HTML page")

    windows = parser.add_argument_group("long reviews; what is not given is as the model was trained")
    for name, argument in WINDOW_OPTIONS.items():
        add_option(windows, name, **argument)

    files = parser.add_argument_group("files")
    files.add_argument("--text-column", metavar="NAME", help="column of the text; found by itself if usual")
    files.add_argument("--format", choices=FILE_KINDS, help="kind of --file; by its suffix, txt for standard input")
    files.add_argument("--output", metavar="FILE", help="where the judged rows go; - or none: standard output")
    files.add_argument("--output-format", choices=FILE_KINDS, help="kind of --output; by its suffix, else as --file")
    files.add_argument("--strict", action="store_true", help="end at the first row that cannot be judged")
    files.add_argument("--resume", action="store_true", help="go on with a run that was ended early")
    return parser


def _threshold(text: str) -> float | str:
    return text if text == "auto" else probability(text)


@exits_with_status
def main(argv: list[str] | None = None) -> int:
    args = _parse(argv)
    with _note_at_terminal("loading the model…"):
        predictor = _open_predictor(args, args.model)
    if args.file is not None:
        _score_file(predictor, args)
        return 0
    from serving.answers import Answers  # with the others only where it is used: one answer is to be quick

    answers = Answers(predictor, as_json=args.json, explain=args.explain, page=args.explain_output)
    if args.text is not None:
        return answers.give(args.text)
    from serving.prompt import Prompt

    return Prompt(answers, lambda path: _open_predictor(args, path), EXIT_WORD).run()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments, which fit together; others end the program."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.file is None and (given := [name for name in FILE_OPTIONS if getattr(args, name)]):
        parser.error(f"--{given[0].replace('_', '-')} needs --file")
    if args.file is not None and (args.explain or args.explain_output or args.json):
        parser.error(
            "--json and --explain answer --text and the prompt; --output-format says the form of --file's rows"
        )
    if is_closed(sys.stdout) and (args.file is None or is_standard_output(args.output or "-")):
        raise InputError(
            "there is no standard output to answer on, it is closed: send it to a file, or score a --file with --output"
        )
    return args


@contextlib.contextmanager
def _note_at_terminal(note: str) -> Iterator[None]:
    """Show a note on a terminal while the block runs."""
    is_terminal = sys.stderr.isatty()
    if is_terminal:
        print(note, end="\r", file=sys.stderr, flush=True)
    yield
    if is_terminal:
        print(" " * len(note), end="\r", file=sys.stderr, flush=True)


def _open_predictor(args: argparse.Namespace, model_path: str) -> Predictor:
    from serving.predictor import Predictor

    return Predictor(
        model_path,
        args.threshold,
        abstain=args.abstain,
        runtime=args.runtime,
        batch_size=args.batch_size,
        windows={name: getattr(args, name) for name in WINDOW_OPTIONS if hasattr(args, name)},
    )


def _score_file(predictor: Predictor, args: argparse.Namespace) -> None:
    from serving.scoring.local_engine import ScoringPlan, score_file

    score_file(
        predictor,
        ScoringPlan(
            args.file,
            args.output or "-",
            text_column=args.text_column,
            source_kind=args.format,
            output_kind=args.output_format,
            strict=args.strict,
            resume=args.resume,
            settings=predictor.description(),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
