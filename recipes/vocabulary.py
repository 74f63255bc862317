"""Learns a vocabulary from text: `python -m recipes.vocabulary --corpus FILE … --output tokenizer.json`."""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator

from system.command_line import exits_with_status, positive_int
from system.files import check_writable, write_atomically
from text.sources import iter_texts
from text.tokens.vocabulary import train_unigram


def thinned_texts(sources: list[str], characters_per_source: int, exclude: Iterable[str] = ()) -> Iterator[str]:
    """Yields the documents of each source, but every second, third, … alone of one with more text than asked for.

    So no source rules the vocabulary by its size; the documents left out are spread evenly over it.
    """
    for source in sources:
        characters = sum(map(len, iter_texts([source], exclude=exclude)))
        step = math.ceil(characters / characters_per_source)
        for number, text in enumerate(iter_texts([source], exclude=exclude)):
            if number % step == 0:
                yield text


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Learns a vocabulary from text and writes it as one tokenizer.json.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", nargs="+", required=True, metavar="SOURCE", help="as pretrain.py takes it")
    parser.add_argument("--exclude", nargs="+", default=[], metavar="SOURCE", help="as pretrain.py takes it")
    parser.add_argument("--output", default="tokenizer.json", metavar="FILE", help="where the tokenizer goes")
    parser.add_argument("--vocab-size", type=positive_int, default=21_128, help="entries, special tokens included")
    parser.add_argument("--max-piece-length", type=positive_int, default=4, help="characters a piece")
    parser.add_argument("--min-count", type=positive_int, default=10, help="a rarer character gets no entry")
    parser.add_argument(
        "--characters-per-source", type=positive_int, default=1_400_000, help="learn from about that much of a source"
    )
    return parser


@exits_with_status
def main(argv=None) -> None:
    args = build_parser().parse_args(argv)
    check_writable(args.output)
    tokenizer = train_unigram(
        lambda: thinned_texts(args.corpus, args.characters_per_source, args.exclude),
        args.vocab_size,
        args.max_piece_length,
        args.min_count,
        counted_texts=lambda: iter_texts(args.corpus, exclude=args.exclude),
    )
    with write_atomically(args.output) as file:
        file.write(tokenizer.to_str())
    print(f"Tokenizer with {tokenizer.get_vocab_size():,} entries saved to {args.output}")


if __name__ == "__main__":
    sys.exit(main())
