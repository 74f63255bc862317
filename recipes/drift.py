"""Say whether texts have changed: `python -m recipes.drift REFERENCE CURRENT --model FILE`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from serving.runtimes.model_names import INCLUDED_MODELS, find_model
from system.command_line import Parser, count, exits_with_status, positive_int, seed
from system.errors import InputError
from system.files import check_writable, is_part_of, refuse_stream, write_atomically
from system.output.display import progress, show

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

    from evaluation.drift import Selection
    from evaluation.report.drift_report import TextSet
    from serving.predictor import Predictor

MODEL = "mini_bert_sentiment_classifier.onnx"
SETS = ("reference", "current")
PREDICTIONS = 20_000
WORDS_SHOWN = 15
# Texts are tokenized in blocks. Those of long texts are smaller, because tokens take ten times the memory of text.
TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 1024, 200_000
PREDICTED_AT_ONCE = 256


class Model(NamedTuple):
    """What is needed of a model: its tokenizer, the vectors of its tokens, and a predictor, or None for none."""

    tokenizer: Tokenizer
    vectors: np.ndarray
    predictor: Predictor | None


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m recipes.drift",
        description="Say whether new texts differ from earlier ones, such as those of a training: in their words, in "
        "their lengths, and in what a model predicts for them. Labels are not needed.",
    )
    kinds = "a text file (a text a line), CSV, TSV, JSONL, Parquet, a folder of these, or a hub data set"
    parser.add_argument("reference", metavar="REFERENCE", help=f"earlier texts: {kinds}")
    parser.add_argument("current", metavar="CURRENT", help="the texts to compare with them, in any of these forms")
    parser.add_argument(
        "--model",
        default=MODEL,
        metavar="FILE",
        help="classifier: an .onnx file, a .keras file with one beside it, or the name of an included model",
    )
    parser.add_argument("--text-column", metavar="NAME", help="column of the texts, in each table that has it")
    parser.add_argument(
        "--max-rows", type=positive_int, metavar="N", help="compare a random sample of N texts of each set"
    )
    parser.add_argument(
        "--predictions",
        type=count,
        default=PREDICTIONS,
        metavar="N",
        help="predict the labels of a random sample of N texts of each set; 0 for none",
    )
    parser.add_argument("--seed", type=seed, default=42, metavar="N", help="seed of the samples and of the test")
    parser.add_argument("--output", metavar="FILE", help="also write all numbers to this JSON file")
    return parser


def check_output(args: argparse.Namespace) -> None:
    """Check that the file of the numbers can be written, and is nothing that is read.

    Raises:
        InputError: it would change a set of texts or the model.
        OutputError: it cannot be written.
    """
    for option, source in (("REFERENCE", args.reference), ("CURRENT", args.current), ("--model", args.model)):
        if is_part_of(args.output, source):
            raise InputError(f"--output {args.output} is also in {option}; choose another file")
    check_writable(args.output, allow_stream=True)


def load(path: str, *, with_predictor: bool) -> Model:
    """Return what is needed of a model.

    Raises:
        InputError: the model cannot be used, or has no `.onnx` file.
    """
    from evaluation.drift import principal_directions
    from serving.predictor import Predictor

    predictor = Predictor(path, runtime="onnx")
    vectors = principal_directions(token_vectors(Path(path).with_suffix(".onnx")))
    return Model(predictor.tokenizer, vectors, predictor if with_predictor else None)


def token_vectors(path: Path) -> np.ndarray:
    """Return the vector of each token, (tokens, dimensions), of an `.onnx` file that has been checked."""
    import onnx

    graph = onnx.load(path).graph
    table = next(node.input[0] for node in graph.node if node.op_type == "Gather" and "input_ids" in node.input)
    # Those of a quantized table are integers. Neither their scale nor their zero changes the test.
    return onnx.numpy_helper.to_array(next(each for each in graph.initializer if each.name == table))


def read_sets(args: argparse.Namespace, model: Model) -> list[TextSet]:
    """Return both sets of texts. They are read twice, because random samples depend on the number of texts.

    Raises:
        InputError: a source cannot be used, or has too few different texts.
    """
    from evaluation.drift import FEWEST_TEXTS, Selection

    totals, sizes = [], []
    for name in SETS:
        source = getattr(args, name)
        refuse_stream(source)
        totals.append(sum(1 for _ in progress(texts_of(args, name), f"counting {source}", " texts")))
        sizes.append(min(totals[-1], args.max_rows or totals[-1]))
        if sizes[-1] < FEWEST_TEXTS:
            raise InputError(f"{source}: {sizes[-1]:,} texts are too few to compare; {FEWEST_TEXTS} are needed")
    sets = []
    with without_warnings():  # those of the readers have been shown
        for name, total, size in zip(SETS, totals, sizes, strict=True):
            source, selection = getattr(args, name), Selection(total, size, f"{args.seed}/{name}/texts")
            texts = progress(texts_of(args, name), f"reading {source}", " texts", total)
            predicted = Selection(size, min(size, args.predictions), f"{args.seed}/{name}/predictions")
            sets.append(read_set(source, selection.of(texts), min(sizes) / size, predicted, model))
            require_different_texts(sets[-1])
    return sets


def require_different_texts(texts: TextSet) -> None:
    """Check that a set has enough different texts for the test, which takes all copies of a text as one.

    Raises:
        InputError: it has too few, or too few take part because the other set has fewer texts.
    """
    from evaluation.drift import FEWEST_BLOCKS, FEWEST_TEXTS

    source, sums = texts.source, texts.sums
    if sums.num_distinct < FEWEST_TEXTS:
        raise InputError(
            f"{source}: too few different texts to compare, only {sums.num_distinct:,}; {FEWEST_TEXTS} are needed"
        )
    if (sums.block_texts > 0).sum() < FEWEST_BLOCKS:
        raise InputError(
            f"{source}: only {sums.num_distinct:,} of its {sums.num_texts:,} texts are different, and too few of them "
            "are in a sample as large as the other set; leave out the copies"
        )


def texts_of(args: argparse.Namespace, name: str) -> Iterator[str]:
    """Return the texts of a set, "reference" or "current"."""
    from text.corpus import iter_texts

    return iter_texts([getattr(args, name)], args.text_column, or_usual=True, option=name.upper())


def read_set(source: str, texts: Iterable[str], kept_fraction: float, predicted: Selection, model: Model) -> TextSet:
    """Tokenize the texts of a set, and predict the labels of some of them.

    Args:
        source: the name of the set.
        texts: its texts.
        kept_fraction: see `TextSums`.
        predicted: the texts to predict.
        model: the model.

    Raises:
        InputError: the tokenizer or the network fails on a text.
    """
    import numpy as np

    from evaluation.drift import TextSums
    from evaluation.report.drift_report import TextSet, summarize
    from text.tokens.checks.panics import panics_as_input_error
    from text.tokens.tokenizer import UNKNOWN
    from text.tokens.windows import UNREADABLE

    sums, waiting, probabilities, predictor = TextSums(model.vectors, kept_fraction), [], [], model.predictor
    for block in blocks(texts):
        with panics_as_input_error(UNREADABLE):
            encodings = model.tokenizer.encode_batch_fast(block, add_special_tokens=False)
        sums.add(block, [encoding.ids for encoding in encodings])
        waiting += predicted.of(block)
        while len(waiting) >= PREDICTED_AT_ONCE:
            probabilities.append(predictor.predict_proba(waiting[:PREDICTED_AT_ONCE]))
            del waiting[:PREDICTED_AT_ONCE]
    if waiting:
        probabilities.append(predictor.predict_proba(waiting))
    unknown = sums.token_counts[model.tokenizer.token_to_id(UNKNOWN)] / max(sums.token_counts.sum(), 1)
    found = np.concatenate(probabilities) if probabilities else None
    predictions = None if found is None else summarize(predictor.labels, found, predictor.threshold)
    return TextSet(source, sums, float(unknown), predictions)


def blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in blocks of `TEXTS_AT_ONCE`, or of `CHARACTERS_AT_ONCE` characters and the last text."""
    block, characters = [], 0
    for text in texts:
        block.append(text)
        characters += len(text)
        if len(block) >= TEXTS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
            yield block
            block, characters = [], 0
    if block:
        yield block


@contextmanager
def without_warnings() -> Iterator[None]:
    """Let no reader warn during the block."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    args.model = find_model(args.model, INCLUDED_MODELS)
    if args.output:
        check_output(args)
    from evaluation.drift import measure_drift
    from evaluation.report.drift_report import as_json, report_lines

    model = load(args.model, with_predictor=args.predictions > 0)
    sets = read_sets(args, model)
    drift = measure_drift(*(each.sums for each in sets), WORDS_SHOWN, args.seed)
    for line in report_lines(sets, drift, model.tokenizer.id_to_token):
        show(line)
    if args.output:
        with write_atomically(args.output) as file:
            json.dump(as_json(sets, drift, model.tokenizer.id_to_token), file, indent=2, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
