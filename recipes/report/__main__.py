"""Write the report page of a classifier: `python -m recipes.report --model FILE --dataset FILE`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from evaluation.report.page.contents import Contents
from recipes.report.labelled import read_tested, read_training, tested_baseline
from recipes.report.page_file import tested_contents, write_page
from serving.predictor import Predictor
from serving.runtimes.model_names import INCLUDED_MODELS, find_model
from system.command_line import Parser, add_options, exits_with_status, or_word, probability
from system.errors import InputError
from system.files import check_writable
from text.dataset.options import TEST_SIZE, DataOptions
from text.sources import source_name
from training.plans.shared import LANGUAGES, require_page_name

OUTPUT = "report.html"
# The options of fine_tuning.py that say how texts and labels are read.
DATA_OPTIONS = (
    "dataset",
    "text_column",
    "label_column",
    "group_column",
    "label_separator",
    "label_columns",
    "label_map",
)
DATA = DataOptions(dataset=None, test_size=TEST_SIZE)


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m recipes.report",
        description="Test a classifier on labelled texts and write a report: one HTML page that needs no other file "
        "and no network.",
    )
    parser.add_argument(
        "--model", required=True, metavar="FILE", help="model file, .keras or .onnx, or the name of an included model"
    )
    parser.add_argument(
        "--train",
        metavar="SOURCE",
        help="the texts that the model has learnt, in any form of --dataset, for TF-IDF to learn them too and be "
        "compared",
    )
    parser.add_argument("--output", default=OUTPUT, metavar="FILE.html", help="the page")
    parser.add_argument("--language", choices=LANGUAGES, help="Chinese or English (default: that of the locale)")
    parser.add_argument(
        "--threshold",
        type=or_word("auto", probability, "auto"),
        metavar="P",
        help="threshold of the decisions, as in application.py (default: the same as there)",
    )
    add_options(parser, DATA, only=DATA_OPTIONS)
    return parser


def data_options(args: argparse.Namespace) -> DataOptions:
    """Return the options of the data.

    Raises:
        InputError: two options contradict each other, or there is no data set.
    """
    typed = {name: getattr(args, name) for name in DATA_OPTIONS if name in args}
    if "dataset" not in typed:
        raise InputError("--dataset is missing: the labelled texts to test the model on")
    require_page_name("--output", args.output)
    options = dataclasses.replace(DATA, **typed)
    dataclasses.replace(options, multi_label=True).check_data(typed)  # whether it is so, the model says
    return options


def contents_of(args: argparse.Namespace, options: DataOptions) -> Contents:
    """Return the test of a model, for its page.

    Raises:
        InputError: the model or the data cannot be used.
    """
    predictor = Predictor(find_model(args.model, INCLUDED_MODELS), args.threshold)
    tested = read_tested(options, predictor.labels)
    known = read_training(options, args.train, tested) if args.train else None
    return tested_contents(
        predictor,
        tested.texts,
        tested.labels,
        model_name=Path(args.model).name,
        data_name=source_name(options.dataset),
        num_unusable=tested.num_unusable,
        num_training_texts=len(known.texts) if known else None,
        groups=tested.groups,
        baseline=tested_baseline(known, tested) if known else None,
    )


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        options = data_options(args)
    except InputError as error:
        parser.error(str(error))
    check_writable(args.output)
    contents = contents_of(args, options)
    write_page(args.output, contents, args.language)
    print(f"Report on {len(contents.texts):,} texts saved to {args.output}")


if __name__ == "__main__":
    sys.exit(main())
