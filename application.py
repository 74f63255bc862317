"""Predict the labels of Chinese texts, such as positive or negative: from --text, from --file, or at a prompt."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from serving.scoring.cluster.options import CLUSTER_OPTIONS, RAY, problem_of
from system.command_line import Parser, add_option, exits_with_status, or_word, positive_int, probability
from system.errors import InputError
from system.files import beside, check_writable, here_or_beside
from system.output.display import say
from system.streams import is_closed, is_standard_output, is_stream
from text.tokens.window_options import WINDOW_OPTIONS

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.predictor import Predictor

MODEL_PATH = "mini_bert_sentiment_classifier.keras"
MODELS_FOLDER = beside("models", __file__)
POSITIVE_THRESHOLD = 0.7
EXIT_WORD = "exit"
FILE_KINDS = ("csv", "tsv", "jsonl", "parquet", "txt")
PICTURE_SUFFIXES = (".png", ".html")
FILE_OPTIONS = ("text_column", "format", "output", "output_format", "csv_safe", "strict", "resume")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(description=f"{__doc__} Without --text or --file it starts a prompt; type {EXIT_WORD} to leave.")
    inputs = parser.add_mutually_exclusive_group()
    inputs.add_argument("--text", action="append", metavar="TEXT", help="text to classify; repeatable")
    inputs.add_argument(
        "--file",
        metavar="FILE",
        help="CSV, TSV, JSONL, Parquet or plain text file to classify; - is standard input",
    )
    _add_prediction_options(parser.add_argument_group("prediction"))

    answers = parser.add_argument_group("output for --text and at the prompt")
    answers.add_argument("--json", action="store_true", help="print one JSON object per text")
    answers.add_argument("--explain", action="store_true", help="mark the words that influenced the prediction")
    answers.add_argument("--explain-output", metavar="FILE", help="write the texts with marked words to an HTML page")
    answers.add_argument(
        "--explain-label",
        metavar="NAME",
        help="label for which to mark words (default: the second of two labels, else the predicted one) and to list "
        "windows (default: the predicted one)",
    )
    answers.add_argument(
        "--explain-windows",
        action="store_true",
        help="list the parts of a long text that decided, with their share of the decision",
    )
    answers.add_argument(
        "--attention",
        metavar="FILE",
        help="write a picture of the attention between the tokens of --text, a .png or .html file; of a text longer "
        "than a window, it shows the window with the largest part in the decision",
    )
    answers.add_argument(
        "--top-k", type=positive_int, metavar="K", help="show the K most probable labels with their probabilities"
    )

    windows = parser.add_argument_group("long texts (default: the settings of the model's training)")
    for name, argument in WINDOW_OPTIONS.items():
        add_option(windows, name, **argument)
    _add_file_options(parser.add_argument_group("files"))
    return parser


def _add_prediction_options(group: argparse._ArgumentGroup) -> None:
    names = ", ".join(_model_names()).replace("%", "%%")
    group.add_argument(
        "--model",
        default=here_or_beside(MODEL_PATH, __file__),
        metavar="FILE|NAME",
        help="model file, .keras or .onnx" + (f", or the name of an included model: {names}" if names else ""),
    )
    group.add_argument(
        "--threshold",
        type=or_word("auto", probability, "auto"),
        metavar="P",
        help="lowest probability at which a text is positive, or gets the second of two other labels (default: "
        f"{POSITIVE_THRESHOLD} for sentiment, 0.5 for other labels), or, if it may have several labels, any of them "
        "(default: auto); auto: the best one on the validation split",
    )
    group.add_argument(
        "--abstain",
        type=probability,
        nargs="+",
        metavar="P",
        help="leave a text undecided (不确定): of two labels, if the probability of the second is between two numbers; "
        "otherwise, if the confidence is below one number",
    )
    group.add_argument(
        "--runtime",
        choices=("auto", "onnx", "keras"),
        default="auto",
        help="library that runs the model; auto: ONNX Runtime if the model has an .onnx file, else Keras",
    )
    group.add_argument(
        "--all-probabilities",
        action="store_true",
        help="show the probability of every label; in files, one column probability_LABEL each, after problem",
    )
    group.add_argument(
        "--batch-size", type=positive_int, default=32, metavar="N", help="maximum number of windows per batch"
    )


def _add_file_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--text-column", metavar="NAME", help="text column (default: detected by common names)")
    group.add_argument(
        "--format", choices=FILE_KINDS, help="format of --file (default: by its suffix; txt for standard input)"
    )
    group.add_argument("--output", metavar="FILE", help="file for the scored rows (default or -: standard output)")
    group.add_argument(
        "--output-format",
        choices=FILE_KINDS,
        help="format of --output (default: by its suffix, else as --file); every row keeps its columns, followed by "
        "label, probability, confidence and problem; txt has no header, tabs between columns, and the text last",
    )
    group.add_argument(
        "--csv-safe",
        action="store_true",
        help="in a CSV or TSV file, put an apostrophe before each text that begins with =, +, -, @, a tab or a line "
        "break and is no number, so that a spreadsheet does not compute it as a formula",
    )
    group.add_argument("--strict", action="store_true", help="stop at the first row without a prediction")
    group.add_argument("--resume", action="store_true", help="continue an interrupted run of the same command")
    for name, argument in CLUSTER_OPTIONS.items():
        group.add_argument(name, **argument)


@exits_with_status
def main(argv: list[str] | None = None) -> int:
    """Run the application and return its exit status."""
    args = _parse(argv)
    with _note_at_terminal("loading the model…"):
        predictor = _open_predictor(args, args.model, **_settings(args))
    if args.file is not None:
        _score_file(predictor, args)
        return 0
    answers = _open_answers(predictor, args)
    if args.text is not None:
        status = answers.answer(args.text)
        answers.write_page()
        if args.attention is not None and status == 0:
            _save_attention(predictor, args)
        return status
    return _run_prompt(answers, args)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments, after checking that they can be combined."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.file is None and (given := [name for name in FILE_OPTIONS if getattr(args, name)]):
        parser.error(f"--{given[0].replace('_', '-')} needs --file")
    if problem := problem_of(args):
        parser.error(problem)
    explains = args.explain or args.explain_output or args.explain_windows
    if args.file is not None and (explains or args.explain_label or args.json):
        parser.error(
            "--json and the --explain options cannot be used with --file; --output-format sets the format of its rows"
        )
    if args.file is not None and args.top_k:
        parser.error("--top-k cannot be used with --file; --all-probabilities adds a column per label")
    if args.all_probabilities and args.top_k:
        parser.error("--top-k cannot be used with --all-probabilities")
    if args.explain_label is not None and (args.file or args.text) and not explains:
        parser.error("--explain-label needs --explain, --explain-output or --explain-windows")
    if args.attention is not None:
        _check_attention(parser, args)
    if None not in (getattr(args, "max_windows", None), getattr(args, "spread_windows", None)):
        parser.error("--max-windows cannot be used with --spread-windows")
    if args.abstain is not None and len(args.abstain) > 2:
        parser.error("argument --abstain: expected one number or two")
    if is_closed(sys.stdout) and (args.file is None or is_standard_output(args.output or "-")):
        raise InputError("standard output is closed; redirect it to a file, or use --file with --output")
    return args


def _check_attention(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.text is None or len(args.text) != 1:
        parser.error("--attention needs --text, with one text")
    if not args.attention.lower().endswith(PICTURE_SUFFIXES):
        parser.error(f"argument --attention: {args.attention!r} ends in neither {' nor '.join(PICTURE_SUFFIXES)}")
    check_writable(args.attention, allow_stream=True)


@contextlib.contextmanager
def _note_at_terminal(note: str) -> Iterator[None]:
    """Show a note on a terminal while the block runs."""
    is_terminal = sys.stderr.isatty()
    if is_terminal:
        print(note, end="\r", file=sys.stderr, flush=True)
    yield
    if is_terminal:
        print(" " * len(note), end="\r", file=sys.stderr, flush=True)


def _settings(args: argparse.Namespace) -> dict[str, object]:
    """Return the arguments of `Predictor` that not every model can use, if they are on the command line."""
    abstain = args.abstain[0] if args.abstain is not None and len(args.abstain) == 1 else args.abstain
    windows = {name: getattr(args, name) for name in WINDOW_OPTIONS if hasattr(args, name)}
    values = {"threshold": args.threshold, "abstain": abstain, "windows": windows or None}
    return {name: value for name, value in values.items() if value is not None}


def _model_names() -> list[str]:
    """Return the names of the included models."""
    from serving.runtimes.model_names import model_names  # imported here, as all of serving, for a short start-up time

    return model_names(MODELS_FOLDER)


def _open_predictor(args: argparse.Namespace, model: str, **settings: object) -> Predictor:
    """Return the predictor of a model file, or of an included model by its name."""
    from serving.predictor import Predictor
    from serving.runtimes.model_names import find_model

    path = find_model(model, MODELS_FOLDER)
    return Predictor(path, runtime=args.runtime, batch_size=args.batch_size, **settings)


def _open_answers(predictor: Predictor, args: argparse.Namespace) -> Answers:
    from serving.answers import ALL_LABELS, Answers

    return Answers(
        predictor,
        as_json=args.json,
        explain=args.explain,
        explain_windows=args.explain_windows,
        page=args.explain_output,
        top_k=ALL_LABELS if args.all_probabilities else args.top_k,
        explain_label=args.explain_label,
    )


def _save_attention(predictor: Predictor, args: argparse.Namespace) -> None:
    from serving.explanation.attention import attention_of

    if args.attention.lower().endswith(".png"):
        from serving.explanation.attention_picture import save_picture as save
    else:
        from serving.explanation.attention_page import save_page as save
    with _note_at_terminal("computing the attention…"):
        save(attention_of(predictor, *args.text), args.attention)
    if not is_stream(args.attention):
        say(f"attention saved to {args.attention}")


def _run_prompt(answers: Answers, args: argparse.Namespace) -> int:
    from serving.prompt import Prompt, Setting

    settings = {name: Setting(f"--{name}", value) for name, value in _settings(args).items()}
    if windows := settings.get("windows"):
        options = " with ".join(f"--{name.replace('_', '-')}" for name in windows.value)
        settings["windows"] = Setting(options, windows.value)
    return Prompt(
        answers, lambda model: _open_predictor(args, model), EXIT_WORD, settings, model_names=_model_names()
    ).run()


def _score_file(predictor: Predictor, args: argparse.Namespace) -> None:
    from serving.scoring.local_engine import ScoringPlan, score_file

    plan = ScoringPlan(
        args.file,
        args.output or "-",
        text_column=args.text_column,
        source_kind=args.format,
        output_kind=args.output_format,
        csv_safe=args.csv_safe,
        strict=args.strict,
        resume=args.resume,
        all_probabilities=args.all_probabilities,
        settings=predictor.description(),
    )
    if args.engine == RAY:
        from serving.scoring.cluster.ray_engine import score_files

        score_files(predictor, plan, args.ray_address, args.actors)
    else:
        score_file(predictor, plan)


if __name__ == "__main__":
    sys.exit(main())
