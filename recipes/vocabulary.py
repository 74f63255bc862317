"""Train a vocabulary on text: `python -m recipes.vocabulary --corpus FILE … --output tokenizer.json`."""

import math
import sys
from collections.abc import Iterable, Iterator

from system.command_line import Parser, exits_with_status, positive_int
from system.files import check_writable, write_atomically
from text.corpus import iter_texts
from text.tokens.vocabulary import train_unigram


def thinned_texts(sources: list[str], characters_per_source: int, exclude: Iterable[str] = ()) -> Iterator[str]:
    """Yield the documents of each source; of a long source every n-th document, so that none dominates the vocabulary.

    Args:
        sources: as `text.sources.iter_texts` accepts them.
        characters_per_source: a source with more characters than this is thinned out to about this many.
        exclude: sources of texts to leave out.
    """
    for source in sources:
        characters = sum(map(len, iter_texts([source], exclude=exclude)))
        step = math.ceil(characters / characters_per_source)
        for number, text in enumerate(iter_texts([source], exclude=exclude)):
            if number % step == 0:
                yield text


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m recipes.vocabulary",
        description="Train a vocabulary on text, and write it as one tokenizer.json.",
    )
    corpus_help = "text to train on, in any form that pretrain.py accepts"
    parser.add_argument("--corpus", nargs="+", required=True, metavar="SOURCE", help=corpus_help)
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="SOURCE", help="texts to leave out, such as a test split"
    )
    parser.add_argument("--output", default="tokenizer.json", metavar="FILE", help="file to save the tokenizer to")
    parser.add_argument(
        "--vocab-size", type=positive_int, default=21_128, help="number of entries, special tokens included"
    )
    parser.add_argument(
        "--max-piece-length", type=positive_int, default=4, help="maximum length of an entry in characters"
    )
    parser.add_argument(
        "--min-count", type=positive_int, default=10, help="minimum occurrences of a character that gets an entry"
    )
    parser.add_argument(
        "--characters-per-source",
        type=positive_int,
        default=1_400_000,
        help="approximate maximum of characters to train on from each source",
    )
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
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
