"""The tokenizer: from text to the integers that the network reads, kept as one `tokenizer.json`.

Every tokenizer here is a `tokenizers.Tokenizer`, whatever its vocabulary: our own Unigram pieces (the default), or
the WordPiece vocabulary of `bert-base-chinese`. Cleaning is part of it (its normalizer), so that no caller can clean
differently in training and in use.
"""

import contextlib
import os
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from system.errors import InputError, first_line
from system.libraries import quiet_imports

PAD, UNKNOWN, CLASSIFY, SEPARATE, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OWN_TOKENIZER = Path(__file__).with_name("tokenizer.json")
BERT_BASE_CHINESE = "bert-base-chinese"
BLANKS = pre_tokenizers.Split(Regex(r"[\s\p{C}]+"), "removed")
# No piece that `text.tokens.vocabulary` learns crosses a blank, a digit or the border between punctuation and the rest.
BORDERS = pre_tokenizers.Sequence(
    [BLANKS, pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False)]
)

if hasattr(os, "register_at_fork"):
    # The child of a fork has none of the library's threads, and told to use them it would wait for them forever.
    os.register_at_fork(after_in_child=lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))


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


def tokenizer_from_json(content: str | bytes, where: str = "tokenizer.json") -> Tokenizer:
    """Returns the tokenizer that the `content` of a `tokenizer.json` describes; `where` names its place in an error.

    Raises:
        InputError: it is not a tokenizer, or one of the five special tokens is missing.
    """
    try:
        tokenizer = Tokenizer.from_buffer(content.encode() if isinstance(content, str) else content)
    except Exception as error:  # the library raises bare `Exception`
        raise InputError(f"{where}: not a tokenizer ({error})") from None
    _require_special_tokens(tokenizer, where)
    if tokenizer.token_to_id(PAD) != 0:
        raise InputError(f"{where}: {PAD} must be token 0, since the network takes 0 for padding")
    if _state(tokenizer.pre_tokenizer) == _state(BORDERS):
        # The pieces themselves keep to the borders: not to look for them first saves a third of the time.
        tokenizer.pre_tokenizer = BLANKS
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
    return with_special_tokens(tokenizer, where)


def special_ids(tokenizer: Tokenizer) -> np.ndarray:
    """Returns the ids of the five special tokens, int32, (5,), in the order of `SPECIAL_TOKENS`."""
    return np.array([tokenizer.token_to_id(token) for token in SPECIAL_TOKENS], np.int32)


def _state(pre_tokenizer: pre_tokenizers.PreTokenizer | None) -> bytes | None:
    """Returns what tells one splitting of text from another: the library compares none."""
    return None if pre_tokenizer is None else pre_tokenizer.__getstate__()


def _require_special_tokens(tokenizer: Tokenizer, where: str) -> None:
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise InputError(f"{where}: the vocabulary lacks {', '.join(missing)}")


def with_special_tokens(tokenizer: Tokenizer, where: str) -> Tokenizer:
    """Returns the tokenizer, whose vocabulary has the five special tokens, as one that puts them around a text.

    Raises:
        InputError: one of the five is missing; `where` names the vocabulary's place.
    """
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

    from system.hub import hub_answers, offline

    huggingface_hub.logging.set_verbosity_error()
    try:
        # The library itself would go on trying for 49 seconds.
        with contextlib.nullcontext() if hub_answers(f"{name}/resolve/main/config.json") else offline():
            tokenizer = AutoTokenizer.from_pretrained(name).backend_tokenizer
        return tokenizer_from_json(tokenizer.to_str(), where=name)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: neither a file here nor a tokenizer that the hub gives ({first_line(error)}); "
            "give --tokenizer a tokenizer.json, a vocab.txt or a folder with one, or set HF_ENDPOINT to a mirror"
        ) from None
