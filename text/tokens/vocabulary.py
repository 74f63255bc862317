"""The vocabulary that texts need: one of Unigram pieces trained on them, or their part of another vocabulary."""

import io
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, trainers

from system.errors import InputError, first_line
from text.tokens.tokenizer import BORDERS, SPECIAL_TOKENS, UNKNOWN, special_ids, with_special_tokens

# OpenCC's general table of Traditional characters, then the variants of Taiwan and Hong Kong.
TO_SIMPLIFIED = ("t2s", "tw2s", "hk2s")
HAN_CODE_POINTS = range(0x3400, 0x30000)
TEXTS_PER_BLOCK = 4096


def train_unigram(
    texts: Callable[[], Iterable[str]],
    vocab_size: int = 21_128,
    max_piece_length: int = 4,
    min_count: int = 20,
    counted_texts: Callable[[], Iterable[str]] | None = None,
) -> Tokenizer:
    """Train a Unigram tokenizer with exactly `vocab_size` entries on texts.

    The text is NFKC-normalised, lower-cased and converted to Simplified characters. No piece crosses whitespace, a
    digit or the border between punctuation and other text. Kudo, "Subword Regularization" (2018), section 3.2.

    Args:
        texts: returns the documents; called once or twice.
        vocab_size: number of entries, including the five special tokens.
        max_piece_length: maximum length of a piece in characters.
        min_count: minimum number of occurrences of a character with an entry; all of these get one. Without a minimum,
            the trainer would keep every character.
        counted_texts: returns the documents in which to count characters; None counts them in `texts`.

    Raises:
        InputError: there is too little text for a vocabulary of this size, or it has more characters than entries.
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
    except Exception as error:  # the library raises a bare `Exception` if there are more characters than entries
        if type(error) is not Exception:
            raise
        raise InputError(
            f"a vocabulary of {vocab_size:,} entries cannot be trained on these texts: {first_line(error)}"
        ) from None
    if tokenizer.get_vocab_size() != vocab_size:
        raise InputError(
            f"these texts yield a vocabulary of {tokenizer.get_vocab_size():,} entries, not {vocab_size:,}: "
            "use more text, or reduce --vocab-size"
        )
    return with_special_tokens(tokenizer, "the texts")


def simplified_characters() -> normalizers.Normalizer:
    """Return a normalizer that replaces each Traditional character with its Simplified form.

    It looks at single characters, so that the result does not depend on where a text is split. The table is OpenCC's;
    `tokenizer.json` contains it as compiled by SentencePiece.
    """
    import opencc  # only here: using a tokenizer needs neither
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    characters = [chr(code_point) for code_point in HAN_CODE_POINTS if not 0xD800 <= code_point < 0xE000]
    simplified = characters
    for table in 2 * TO_SIMPLIFIED:  # twice, because the result of one table may be the input of another
        # No phrase of the tables contains a line end, so each character is converted alone.
        converted = opencc.OpenCC(table).convert("\n".join(simplified)).split("\n")
        simplified = [new if len(new) == 1 else old for old, new in zip(simplified, converted, strict=True)]
    pairs = [(old, new) for old, new in zip(characters, simplified, strict=True) if old != new]

    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "rules.tsv")
        rules.write_text("".join(f"{ord(old):X}\t{ord(new):X}\n" for old, new in pairs))
        compiled = io.BytesIO()
        # SentencePiece compiles rules only while it trains a model, which is discarded.
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


class NeededTokens(NamedTuple):
    """The tokens of a vocabulary that some texts need.

    Attributes:
        ids: their ids, int64, (tokens,), ascending.
        unknown_fraction: the fraction of the tokens of the texts that are unknown.
    """

    ids: np.ndarray
    unknown_fraction: float


def needed_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> NeededTokens:
    """Return the tokens without which texts would be tokenized in another way.

    These are the tokens that occur in the texts, the special tokens, and a few more. Of WordPieces, they are those at
    the beginning of a word that is unknown as a whole: without them, shorter ones might make it a known word. Of
    Unigram pieces, they are the least probable one, on which the probability of an unknown character depends, and all
    characters of the texts that are a piece of their own, so that few other texts have an unknown token.

    Args:
        tokenizer: a tokenizer of WordPieces, or of Unigram pieces.
        texts: the texts, which are read once and in constant memory.
    """
    model = json.loads(tokenizer.to_str())["model"]
    counts = np.zeros(tokenizer.get_vocab_size(), np.int64)
    unknown_id, needed, remaining = tokenizer.token_to_id(UNKNOWN), set(), iter(texts)
    while block := list(itertools.islice(remaining, TEXTS_PER_BLOCK)):
        ids_of = [encoding.ids for encoding in tokenizer.encode_batch_fast(block, add_special_tokens=False)]
        counts += np.bincount(np.fromiter(itertools.chain(*ids_of), np.int64), minlength=len(counts))
        if model["type"] == "WordPiece":
            for text in (text for text, ids in zip(block, ids_of, strict=True) if unknown_id in ids):
                needed.update(_beginnings_of_unknown_words(tokenizer, model, text))
    unknown_fraction = counts[unknown_id] / max(counts.sum(), 1)
    counts[special_ids(tokenizer)] = 0  # their characters are none of the texts
    needed.update(counts.nonzero()[0])
    if model["type"] == "Unigram":
        characters = set("".join(tokenizer.id_to_token(int(token)) for token in needed))
        needed.update(model_id for model_id, (piece, _) in enumerate(model["vocab"]) if piece in characters)
        needed.add(int(np.argmin([score for _, score in model["vocab"]])))
    needed.update(special_ids(tokenizer))
    return NeededTokens(np.array(sorted(needed), np.int64), float(unknown_fraction))


def _beginnings_of_unknown_words(tokenizer: Tokenizer, model: dict, text: str) -> Iterator[int]:
    """Yield the ids of the WordPieces that are found in the unknown words of a text before nothing fits."""
    normalized = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized):
        if len(word) > model["max_input_chars_per_word"]:
            continue
        start, found = 0, []
        while start < len(word):
            prefix = model["continuing_subword_prefix"] if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in model["vocab"])
            end = next(ends, None)
            if end is None:
                yield from found
                break
            found.append(model["vocab"][prefix + word[start:end]])
            start = end
