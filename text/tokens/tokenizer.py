"""The tokenizer, which turns text into the integers that the network reads.

Every tokenizer is a `tokenizers.Tokenizer`, kept as one `tokenizer.json`, whatever its vocabulary: our own Unigram
pieces (the default), or the WordPiece vocabulary of `bert-base-chinese`. Its normalizer cleans the text, so that
training and use cannot clean differently.
"""

import contextlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from system.errors import InputError, first_line
from system.files import as_input_error
from system.libraries import quiet_imports
from text.tokens.checks.tokenizer_file import MAX_BYTES, checked_tokenizer

PAD, UNKNOWN, CLASSIFY, SEPARATE, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OWN_TOKENIZER = Path(__file__).with_name("tokenizer.json")
BERT_BASE_CHINESE = "bert-base-chinese"
REMEDY = "set --tokenizer to own, a tokenizer.json, a vocab.txt, a folder with one of them, or a hub id"
TOKENIZER_CONFIG = "tokenizer_config.json"
HUB_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
WHITESPACE = pre_tokenizers.Split(Regex(r"[\s\p{C}]+"), "removed")
# No piece of `text.tokens.vocabulary` crosses whitespace, a digit or the border between punctuation and other text.
BORDERS = pre_tokenizers.Sequence(
    [WHITESPACE, pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False)]
)

if hasattr(os, "register_at_fork"):
    # A forked child has none of the library's threads, and would wait for them forever.
    os.register_at_fork(after_in_child=lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))


def load_tokenizer(source: str | os.PathLike = "own") -> Tokenizer:
    """Return a tokenizer by its name or path; see `read_tokenizer`."""
    return read_tokenizer(source)[0]


def read_tokenizer(source: str | os.PathLike) -> tuple[Tokenizer, int]:
    """Return a tokenizer by its name or path, and the id of `[PAD]` in its file.

    The network treats token 0 as padding. If `[PAD]` has another id in the file, it and token 0 exchange their ids.

    Args:
        source: "own" (the vocabulary of this project), a `tokenizer.json`, a `vocab.txt` of WordPieces, a folder that
            holds one of the two, or the hub id of a BERT model such as "bert-base-chinese".

    Raises:
        InputError: there is no such file, it is not a tokenizer, it lacks a special token, or the hub cannot be
            reached.
    """
    if source == "own":
        return _read_tokenizer_file(OWN_TOKENIZER)
    path = Path(source)
    if path.is_dir():
        path = tokenizer_files(path)[0]
    if path.is_file():
        return _read_vocabulary_file(path) if path.suffix == ".txt" else _read_tokenizer_file(path)
    if path.suffix in {".json", ".txt"}:
        raise InputError(f"{path}: no such tokenizer file; {REMEDY}")
    return _download_tokenizer(str(source))


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files of a folder that `read_tokenizer` reads, first the one with the vocabulary.

    Raises:
        InputError: there is neither a `tokenizer.json` nor a `vocab.txt`.
    """
    if (folder / "tokenizer.json").is_file():
        return [folder / "tokenizer.json"]
    found = [folder / name for name in ("vocab.txt", TOKENIZER_CONFIG) if (folder / name).is_file()]
    if not found or found[0].name == TOKENIZER_CONFIG:
        raise InputError(f"{folder}: the folder contains neither tokenizer.json nor vocab.txt; {REMEDY}")
    return found


def tokenizer_from_json(
    content: str | bytes, where: str = "tokenizer.json", vocab_size: int | None = None
) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json`.

    Args:
        content: the content of the file. It may be hostile, see `text.tokens.checks.tokenizer_file`.
        where: the file, for the error message.
        vocab_size: the number of tokens of the network; None if there is none.

    Raises:
        InputError: it is not a tokenizer that can be used, or lacks a special token, or `[PAD]` is not token 0.
    """
    tokenizer = _parsed(content, where, vocab_size)
    if tokenizer.token_to_id(PAD) != 0:
        raise InputError(f"{where}: {PAD} must be token 0, which the network treats as padding")
    if _state(tokenizer.pre_tokenizer) == _state(BORDERS):
        # No piece crosses a border, so the split at the borders is unnecessary, and a third of the time is saved.
        tokenizer.pre_tokenizer = WHITESPACE
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A text may contain the characters "[SEP]": its author typed them, and they are no special token.
    tokenizer.encode_special_tokens = True
    return tokenizer


def renumbered(tokenizer: Tokenizer, old_ids: Sequence[int], where: str = "tokenizer.json") -> Tokenizer:
    """Return a tokenizer with other ids, and perhaps fewer tokens.

    Args:
        tokenizer: a tokenizer of WordPieces, or of Unigram pieces.
        old_ids: the present ids of the tokens to keep, in the order of their new ids. The five special tokens are
            among them.
        where: the tokenizer's file, for the error message.

    Raises:
        InputError: the tokenizer is of another kind, its model has no unknown token, or a special token is not in the
            vocabulary of its model and would need an id there.
    """
    content = json.loads(tokenizer.to_str())
    model, new_ids = content["model"], {int(old): new for new, old in enumerate(old_ids)}
    if model["type"] == "WordPiece":
        model["vocab"] = {token: new_ids[old] for token, old in model["vocab"].items() if old in new_ids}
    elif model["type"] == "Unigram":
        if model["unk_id"] not in new_ids:
            raise InputError(f"{where}: unk_id is {json.dumps(model['unk_id'])}; set it to the id of {UNKNOWN}")
        model["vocab"] = [model["vocab"][old] for old in old_ids if old < len(model["vocab"])]
        model["unk_id"] = new_ids[model["unk_id"]]
    else:
        raise InputError(f"{where}: the ids of a {model['type']} tokenizer cannot be changed, only those of WordPieces")
    added = [token for token in content["added_tokens"] if token["id"] in new_ids]
    own_tokens = dict(model["vocab"])
    for token in added:
        if token["content"] not in own_tokens and new_ids[token["id"]] < len(own_tokens):
            raise InputError(
                f"{where}: {token['content']} is only an added token, with an id above those of the vocabulary, and "
                f"cannot become token {new_ids[token['id']]}; add it to the vocabulary of the model"
            )
    content["added_tokens"] = [token | {"id": new_ids[token["id"]]} for token in added]
    content["post_processor"] = None  # it contains ids; the new tokenizer gets another one
    return with_special_tokens(Tokenizer.from_str(json.dumps(content)), where)


def wordpiece_tokenizer(
    vocabulary: list[str],
    where: str = "vocab.txt",
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> Tokenizer:
    """Return the tokenizer of a BERT.

    It tokenizes as `transformers.BertTokenizerFast` does with the same arguments, by default as for
    `bert-base-chinese`: each Chinese character is a token.

    Args:
        vocabulary: the WordPieces, in the order of their ids.
        where: the file of the vocabulary, for the error message.
        lowercase: whether the model is uncased.
        strip_accents: whether accents are removed; None for an uncased model only.
        tokenize_chinese_chars: whether each Chinese character is a word.

    Raises:
        InputError: one of the five special tokens is missing, or an entry occurs twice.
    """
    ids = {token: index for index, token in enumerate(vocabulary)}
    if len(ids) < len(vocabulary):  # some ids would exceed the vocabulary size of the network
        repeated = next(token for index, token in enumerate(vocabulary) if ids[token] != index)
        raise InputError(f"{where}: the vocabulary contains {repeated!r} more than once")
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=tokenize_chinese_chars
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return with_special_tokens(tokenizer, where)


def num_ids(tokenizer: Tokenizer) -> int:
    """Return the highest id of a token plus 1, which is more than the number of tokens if ids are left out."""
    return 1 + max(tokenizer.get_vocab().values())


def special_ids(tokenizer: Tokenizer) -> np.ndarray:
    """Return the ids of the five special tokens, int32, (5,), in the order of `SPECIAL_TOKENS`."""
    return np.array([tokenizer.token_to_id(token) for token in SPECIAL_TOKENS], np.int32)


def _state(pre_tokenizer: pre_tokenizers.PreTokenizer | None) -> bytes | None:
    """Return the serialized pre-tokenizer, since the library does not compare pre-tokenizers."""
    return None if pre_tokenizer is None else pre_tokenizer.__getstate__()


def _parsed(content: str | bytes, where: str, vocab_size: int | None = None) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json` as it is there, after checking it and its special tokens."""
    tokenizer = checked_tokenizer(content.encode() if isinstance(content, str) else content, where, vocab_size)
    _require_special_tokens(tokenizer, where)
    return tokenizer


def _require_special_tokens(tokenizer: Tokenizer, where: str) -> None:
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise InputError(f"{where}: the vocabulary lacks {', '.join(missing)}")


def with_special_tokens(tokenizer: Tokenizer, where: str) -> Tokenizer:
    """Return a copy of a tokenizer that puts `[CLS]` and `[SEP]` around a text.

    Args:
        tokenizer: a tokenizer whose vocabulary contains the five special tokens.
        where: the file of the vocabulary, for the error message.

    Raises:
        InputError: one of the five special tokens is missing.
    """
    _require_special_tokens(tokenizer, where)  # now, because the library would add the missing ones
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLASSIFY} $A {SEPARATE}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLASSIFY, SEPARATE)],
    )
    return tokenizer_from_json(tokenizer.to_str(), where)


def _read_tokenizer_file(path: Path) -> tuple[Tokenizer, int]:
    with as_input_error(path), open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)  # one more, which is refused
    return _with_padding_first(_parsed(content, where=str(path)), str(path))


def _with_padding_first(tokenizer: Tokenizer, where: str) -> tuple[Tokenizer, int]:
    """Return the tokenizer, with `[PAD]` as token 0, and the id that `[PAD]` had before."""
    padding_id = tokenizer.token_to_id(PAD)
    if padding_id == 0:
        return tokenizer_from_json(tokenizer.to_str(), where), 0
    old_ids = np.arange(num_ids(tokenizer))
    old_ids[[0, padding_id]] = padding_id, 0
    return renumbered(tokenizer, old_ids, where), padding_id


def _read_vocabulary_file(path: Path) -> tuple[Tokenizer, int]:
    try:
        # Only line ends are removed: whitespace such as U+3000 may be an entry.
        vocabulary = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a vocabulary ({error})") from None
    padding_id = vocabulary.index(PAD) if PAD in vocabulary else 0
    vocabulary[0], vocabulary[padding_id] = vocabulary[padding_id], vocabulary[0]
    return wordpiece_tokenizer(vocabulary, str(path), **_normalization_beside(path, vocabulary)), padding_id


def _normalization_beside(path: Path, vocabulary: list[str]) -> dict[str, bool | None]:
    """Return the options of `wordpiece_tokenizer` that the `tokenizer_config.json` beside a vocabulary contains.

    Without that file, as in the archives of google-research, a vocabulary of words with capital letters is cased.
    """
    try:
        config = json.loads(path.with_name(TOKENIZER_CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        # Uncased vocabularies contain special tokens with capital letters, such as [CLS] and <S>, but no such words.
        words = (piece for piece in vocabulary if piece.removeprefix("##").isalnum())
        return {"lowercase": not any(re.search("[A-Z]", word) for word in words)}
    strip_accents = config.get("strip_accents")
    return {
        "lowercase": bool(config.get("do_lower_case", True)),
        "strip_accents": None if strip_accents is None else bool(strip_accents),
        "tokenize_chinese_chars": bool(config.get("tokenize_chinese_chars", True)),
    }


def _download_tokenizer(name: str) -> tuple[Tokenizer, int]:
    if not HUB_ID.fullmatch(name):
        raise InputError(f"{name}: no such file or folder; {REMEDY}")
    with quiet_imports():
        import huggingface_hub
        from transformers import AutoTokenizer

    from system.hub import endpoint, hub_answers, offline

    huggingface_hub.logging.set_verbosity_error()
    reachable = hub_answers(f"{name}/resolve/main/config.json")
    try:
        # Without a check first, the library would retry for 49 seconds.
        with contextlib.nullcontext() if reachable else offline():
            content = AutoTokenizer.from_pretrained(name).backend_tokenizer.to_str()
    except (OSError, ValueError) as error:
        failed = f"does not provide this tokenizer ({first_line(error)})"
        reason = failed if reachable else f"could not be reached at {endpoint()}"
        raise InputError(
            f"{name}: no such file or folder, and the Hugging Face hub {reason}; {REMEDY}, "
            "or set HF_ENDPOINT to a mirror of the hub"
        ) from None
    return _with_padding_first(_parsed(content, name), name)
