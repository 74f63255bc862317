"""Learns a vocabulary of Unigram pieces from text."""

import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, trainers

from system.errors import InputError, first_line
from text.tokens.tokenizer import BORDERS, SPECIAL_TOKENS, UNKNOWN, with_special_tokens

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
