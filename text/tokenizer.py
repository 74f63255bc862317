"""The tokenizer: from text to the integers that the network reads, kept as one `tokenizer.json`.

Every tokenizer here is a `tokenizers.Tokenizer`, whatever its vocabulary: our own Unigram pieces (the default), or
the WordPiece vocabulary of `bert-base-chinese`. Cleaning is part of it (its normalizer), so that no caller can clean
differently in training and in use.

`python -m text.tokenizer --corpus FILE … --output tokenizer.json` trains a vocabulary of our own kind.
"""

import argparse
import contextlib
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from text.commands import InputError, exits_with_status, first_line, positive_int, quiet_imports
from text.reading.files import check_writable, write_atomically
from text.reading.hub import hub_answers, offline
from text.reading.readers import iter_texts

PAD, UNKNOWN, CLASSIFY, SEPARATE, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OWN_TOKENIZER = Path(__file__).with_name("tokenizer.json")
BERT_BASE_CHINESE = "bert-base-chinese"


def load_tokenizer(source: str | os.PathLike = "own") -> Tokenizer:
    """Returns the tokenizer that `source` names.

    Args:
        source: "own" (the vocabulary of this project), a `tokenizer.json`, a `vocab.txt` of WordPieces, a folder that
            holds one of the two, or the hub's name of a BERT model such as "bert-base-chinese".

    Raises:
        InputError: there is no such file, it is not a tokenizer, it lacks a special token, or the hub is out of reach.
    """
    if source == "own":
        return _read_tokenizer_file(OWN_TOKENIZER)
    path = Path(source)
    if path.is_dir():
        candidates = [path / "tokenizer.json", path / "vocab.txt"]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            raise InputError(f"{path}: the folder holds neither tokenizer.json nor vocab.txt")
        path = found
    if path.is_file():
        return _read_vocabulary_file(path) if path.suffix == ".txt" else _read_tokenizer_file(path)
    if path.suffix in {".json", ".txt"}:
        raise InputError(f"{path}: no such tokenizer file")
    return _download_tokenizer(str(source))


def tokenizer_from_json(text: str, where: str = "tokenizer.json") -> Tokenizer:
    """Returns the tokenizer that the JSON `text` describes; `where` names its place in an error.

    Raises:
        InputError: the text is not a tokenizer, or one of the five special tokens is missing.
    """
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare `Exception`
        raise InputError(f"{where}: not a tokenizer ({error})") from None
    _require_special_tokens(tokenizer, where)
    if tokenizer.token_to_id(PAD) != 0:
        raise InputError(f"{where}: {PAD} must be token 0, since the network takes 0 for padding")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A review may contain the characters "[SEP]"; they are what its author typed, not a command to the network.
    tokenizer.encode_special_tokens = True
    return tokenizer


def wordpiece_tokenizer(vocabulary: list[str], where: str = "vocab.txt") -> Tokenizer:
    """Returns the tokenizer of an uncased BERT with the given WordPieces, in the order of their ids.

    Does what `transformers.BertTokenizerFast` does for `bert-base-chinese`: each Chinese character is a token.
    `where` names the vocabulary's place in an error.

    Raises:
        InputError: one of the five special tokens is missing, or an entry stands there twice.
    """
    ids = {token: index for index, token in enumerate(vocabulary)}
    if len(ids) < len(vocabulary):  # there would be ids beyond the size that the network is built for
        repeated = next(token for index, token in enumerate(vocabulary) if ids[token] != index)
        raise InputError(f"{where}: the vocabulary has {repeated!r} more than once")
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _with_special_tokens(tokenizer, where)


def train_unigram(
    texts: Callable[[], Iterable[str]],
    vocab_size: int = 21_128,
    max_piece_length: int = 4,
    min_count: int = 20,
) -> Tokenizer:
    """Returns a Unigram tokenizer with exactly `vocab_size` pieces, learnt from `texts`.

    Text is NFKC-normalised and lower-cased, and no piece crosses a blank, a digit or the border between punctuation
    and the rest. Kudo, "Subword Regularization" (2018), section 3.2.

    Args:
        texts: called twice, returns the documents each time.
        vocab_size: number of entries, the five special tokens included.
        max_piece_length: in characters.
        min_count: a rarer character gets no entry, since the trainer would otherwise keep one for each.

    Raises:
        InputError: the texts are too few for so large a vocabulary, or have too many characters for so small a one.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\s\p{C}]+"), "removed"),
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.Digits(individual_digits=False),
        ]
    )
    tokenizer.decoder = decoders.Fuse()
    normalize = tokenizer.normalizer.normalize_str
    counts = Counter(character for text in texts() for character in normalize(text))
    rare = str.maketrans({character: " " for character, count in counts.items() if count < min_count})
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token=UNKNOWN,
        max_piece_length=max_piece_length,
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
    return _with_special_tokens(tokenizer, "the texts")


def encode_batch(tokenizer: Tokenizer, texts: Iterable[str], max_seq_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns `[CLS] text [SEP]` for each text, cut and padded to `max_seq_len` tokens.

    Returns:
        input_ids: int32, (number of texts, max_seq_len); 0 is padding.
        lengths: int32, (number of texts,): the tokens of the whole text, the two special ones included; greater than
            `max_seq_len` where the end of the text was cut off.
    """
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    input_ids = np.zeros((len(encodings), max_seq_len), np.int32)
    lengths = np.zeros(len(encodings), np.int32)
    classify, separate = tokenizer.token_to_id(CLASSIFY), tokenizer.token_to_id(SEPARATE)
    for row, encoding in enumerate(encodings):
        kept = encoding.ids[: max_seq_len - 2]
        input_ids[row, : len(kept) + 2] = [classify, *kept, separate]
        lengths[row] = len(encoding.ids) + 2
    return input_ids, lengths


def special_ids(tokenizer: Tokenizer) -> np.ndarray:
    """Returns the ids of the five special tokens, int32, (5,), in the order of `SPECIAL_TOKENS`."""
    return np.array([tokenizer.token_to_id(token) for token in SPECIAL_TOKENS], np.int32)


def _require_special_tokens(tokenizer: Tokenizer, where: str) -> None:
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise InputError(f"{where}: the vocabulary lacks {', '.join(missing)}")


def _with_special_tokens(tokenizer: Tokenizer, where: str) -> Tokenizer:
    _require_special_tokens(tokenizer, where)  # before the library adds the ones that are missing
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLASSIFY} $A {SEPARATE}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLASSIFY, SEPARATE)],
    )
    return tokenizer_from_json(tokenizer.to_str(), where)


def _read_tokenizer_file(path: Path) -> Tokenizer:
    try:
        return tokenizer_from_json(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a tokenizer ({error})") from None


def _read_vocabulary_file(path: Path) -> Tokenizer:
    try:
        # Only the line end is cut: a vocabulary may hold blanks such as U+3000 as entries.
        vocabulary = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a vocabulary ({error})") from None
    return wordpiece_tokenizer(vocabulary, where=str(path))


def _download_tokenizer(name: str) -> Tokenizer:
    with quiet_imports():
        import huggingface_hub
        from transformers import AutoTokenizer

    huggingface_hub.logging.set_verbosity_error()
    try:
        # The library itself would go on trying for 49 seconds.
        with contextlib.nullcontext() if hub_answers() else offline():
            tokenizer = AutoTokenizer.from_pretrained(name).backend_tokenizer
        return tokenizer_from_json(tokenizer.to_str(), where=name)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: neither a file here nor a tokenizer that the hub gives ({first_line(error)}); "
            "give --tokenizer a tokenizer.json, a vocab.txt or a folder with one, or set HF_ENDPOINT to a mirror"
        ) from None


def thinned_texts(sources: list[str], characters_per_source: int) -> Iterator[str]:
    """Yields the documents of each source, but every second, third, … alone of one with more text than asked for.

    So no source rules the vocabulary by its size; the documents left out are spread evenly over it.
    """
    for source in sources:
        characters = sum(map(len, iter_texts([source])))
        step = math.ceil(characters / characters_per_source)
        for number, text in enumerate(iter_texts([source])):
            if number % step == 0:
                yield text


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Trains a vocabulary and writes it as one tokenizer.json.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--corpus", nargs="+", required=True, metavar="SOURCE", help="as pretrain.py takes it")
    parser.add_argument("--output", default="tokenizer.json", metavar="FILE", help="where the tokenizer goes")
    parser.add_argument("--vocab-size", type=positive_int, default=21_128, help="entries, special tokens included")
    parser.add_argument("--max-piece-length", type=positive_int, default=4, help="characters a piece")
    parser.add_argument("--min-count", type=positive_int, default=10, help="a rarer character gets no entry")
    parser.add_argument(
        "--characters-per-source", type=positive_int, default=1_400_000, help="use no more than that of a source"
    )
    return parser


@exits_with_status
def main(argv=None) -> None:
    args = build_parser().parse_args(argv)
    check_writable(args.output)
    tokenizer = train_unigram(
        lambda: thinned_texts(args.corpus, args.characters_per_source),
        args.vocab_size,
        args.max_piece_length,
        args.min_count,
    )
    with write_atomically(args.output) as file:
        file.write(tokenizer.to_str())
    print(f"Tokenizer with {tokenizer.get_vocab_size():,} entries saved to {args.output}")


if __name__ == "__main__":
    sys.exit(main())
