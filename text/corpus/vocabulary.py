"""Learns a vocabulary from text: `python -m text.corpus.vocabulary --corpus FILE … --output tokenizer.json`."""

import argparse
import io
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, trainers

from text.commands import InputError, exits_with_status, first_line, positive_int
from text.reading.files import check_writable, write_atomically
from text.reading.readers import iter_texts
from text.tokenizer import BORDERS, SPECIAL_TOKENS, UNKNOWN, with_special_tokens

# Traditional first, as OpenCC's general table has it; then what Taiwan and Hong Kong write otherwise.
TO_SIMPLIFIED = ("t2s", "tw2s", "hk2s")
HAN_CODE_POINTS = range(0x3400, 0x30000)


def train_unigram(
    texts: Callable[[], Iterable[str]],
    vocab_size: int = 21_128,
    max_piece_length: int = 4,
    min_count: int = 20,
    counted_texts: Callable[[], Iterable[str]] | None = None,
) -> Tokenizer:
    """Returns a Unigram tokenizer with exactly `vocab_size` pieces, learnt from `texts`.

    Text is NFKC-normalised, lower-cased and turned into Simplified characters, and no piece crosses a blank, a digit or
    the border between punctuation and the rest. Kudo, "Subword Regularization" (2018), section 3.2.

    Args:
        texts: called once or twice, returns the documents each time.
        vocab_size: number of entries, the five special tokens included.
        max_piece_length: in characters.
        min_count: a rarer character gets no entry, since the trainer would otherwise keep one for each.
        counted_texts: as `texts`; where characters are counted, if not there. Each that is no rarer gets an entry.

    Raises:
        InputError: the texts are too few for so large a vocabulary, or have too many characters for so small a one.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), simplified_characters()])
    tokenizer.pre_tokenizer = BORDERS
    tokenizer.decoder = decoders.Fuse()
    normalize = tokenizer.normalizer.normalize_str
    counts = Counter()
    for text in (counted_texts or texts)():
        counts.update(normalize(text))
    rare = str.maketrans({character: " " for character, count in counts.items() if count < min_count})
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token=UNKNOWN,
        max_piece_length=max_piece_length,
        initial_alphabet=[
            character for character, count in counts.items() if count >= min_count and not character.isspace()
        ],
        show_progress=True,
    )
    try:
        tokenizer.train_from_iterator((normalize(text).translate(rare) for text in texts()), trainer)
    except Exception as error:  # bare where the characters alone are more than the entries
        if type(error) is not Exception:
            raise
        raise InputError(f"no vocabulary of {vocab_size:,} entries from these texts: {first_line(error)}") from None
    if tokenizer.get_vocab_size() != vocab_size:
        raise InputError(
            f"the texts give a vocabulary of {tokenizer.get_vocab_size():,} entries, not {vocab_size:,}: "
            "give more text, or ask for fewer entries"
        )
    return with_special_tokens(tokenizer, "the texts")


def simplified_characters() -> normalizers.Normalizer:
    """Returns a normalizer that turns each Traditional character into its Simplified form.

    Character by character, whatever stands around it: what becomes of a text does not depend on how it is cut. The
    table is OpenCC's, and travels inside `tokenizer.json`, compiled by SentencePiece.
    """
    import opencc  # only here: who uses a tokenizer needs neither
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    characters = [chr(code_point) for code_point in HAN_CODE_POINTS if not 0xD800 <= code_point < 0xE000]
    simplified = characters
    for table in 2 * TO_SIMPLIFIED:  # twice, as one table's result may be another's input
        # No phrase of the tables holds a line end, so each character stands alone.
        converted = opencc.OpenCC(table).convert("\n".join(simplified)).split("\n")
        simplified = [new if len(new) == 1 else old for old, new in zip(simplified, converted, strict=True)]
    pairs = [(old, new) for old, new in zip(characters, simplified, strict=True) if old != new]

    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "rules.tsv")
        rules.write_text("".join(f"{ord(old):X}\t{ord(new):X}\n" for old, new in pairs))
        compiled = io.BytesIO()
        # SentencePiece compiles rules on its way to a model; the model itself, of next to no text, is thrown away.
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c"] * 10),
            model_writer=compiled,
            vocab_size=8,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(rules),
            minloglevel=2,
        )
    model = sentencepiece_model_pb2.ModelProto.FromString(compiled.getvalue())
    return normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)


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
