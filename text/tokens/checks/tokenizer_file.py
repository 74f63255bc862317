"""The rules for a `tokenizer.json`: its size, the kinds of its parts, its regular expressions, its ids.

A tokenizer is a program that runs on every text. These rules bound what it can do: a text grows by a small factor, no
regular expression takes longer than the square of the text's length, and no id is beyond the network's vocabulary.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from tokenizers import Tokenizer

from system.errors import InputError
from text.tokens.checks.charsmap import longest_replacement
from text.tokens.checks.panics import panics_as_input_error
from text.tokens.checks.patterns import is_safe

MAX_BYTES = 20 * 2**20  # that of a vocabulary of 250,000 pieces of 100 languages has 17 million
MAX_VALUES = 2_000_000  # entries of lists and objects, each of which takes a hundred bytes of memory
MAX_STEPS = 16  # of a normalizer, a pre-tokenizer
MAX_DEPTH = 4  # of sequences in sequences
MAX_GROWTH = 64  # of a text, by replacements alone; NFKC makes 18 characters of one
MAX_WORD = 1000  # characters of a word that WordPieces are searched in, which takes the square of them
MAX_AFFIX = 16  # characters that are put before a text or a piece
MAX_ADDED_TOKENS = 10_000
MAX_ADDED_TOKEN = 256  # characters

# The kinds of each part, and the key under which a sequence of the part holds its steps.
NORMALIZERS = {
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
}
NORMALIZERS |= {"Replace", "Strip", "StripAccents"}
PRE_TOKENIZERS = {"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace"}
PRE_TOKENIZERS |= {"Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"}
POST_PROCESSORS = {"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"}
DECODERS = {"BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece"}
PARTS = {
    "normalizer": (NORMALIZERS, "normalizers"),
    "pre_tokenizer": (PRE_TOKENIZERS, "pretokenizers"),
    "post_processor": (POST_PROCESSORS, "processors"),
    "decoder": (DECODERS, "decoders"),
}
MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")


def checked_tokenizer(content: bytes, where: str, vocab_size: int | None = None) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json`, which is checked before the library reads it.

    Args:
        content: the content of the file.
        where: the file, for the error message.
        vocab_size: the number of tokens of the network, above all ids; None if there is no network.

    Raises:
        InputError: it breaks a rule of this module, or is no tokenizer.
    """
    _check(content, where, vocab_size)
    try:
        with panics_as_input_error(f"{where}: not a tokenizer"):
            return Tokenizer.from_buffer(content)
    except InputError:
        raise
    except Exception as error:  # the library raises bare `Exception`
        raise InputError(f"{where}: not a tokenizer ({error})") from None


def _check(content: bytes, where: str, vocab_size: int | None) -> None:
    try:
        described = _parsed(content)
        for part, (kinds, key) in PARTS.items():
            steps = list(_steps(described.get(part), kinds, key, part))
            _require(len(steps) <= MAX_STEPS, f"its {part} has more than {MAX_STEPS} steps")
            for step in steps:
                _check_pattern(step, part)
            if part == "normalizer":
                _check_growth(steps)
        _check_model(described.get("model"))
        num_ids = _num_ids(described)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: cannot be read as a tokenizer ({error.reason}); choose another one") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        missing = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{where}: not a tokenizer that can be used: {missing}; choose another one") from None
    if vocab_size is not None and num_ids > vocab_size:
        raise InputError(
            f"{where}: its tokenizer has the token {num_ids - 1:,}, but the network knows {vocab_size:,} tokens only; "
            "the file is damaged, or was put together from two models"
        )


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def _parsed(content: bytes) -> Mapping:
    """Return the JSON object of the file, in which no name may occur twice: two readers could choose different ones."""
    _require(len(content) <= MAX_BYTES, f"it has more than {MAX_BYTES:,} bytes")
    _require(content.count(b",") <= MAX_VALUES, f"it has more than {MAX_VALUES:,} values")

    def unique(pairs: list[tuple[str, object]]) -> dict:
        found = dict(pairs)
        _require(len(found) == len(pairs), "a name occurs twice in it")
        return found

    def refuse(constant: str) -> None:
        raise ValueError(f"it contains {constant}")

    # As UTF-8, which the library reads; from bytes, Python would guess the encoding.
    described = json.loads(content.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    _require(isinstance(described, dict), "it is no JSON object")
    return described


def _steps(part: Mapping | None, kinds: set[str], key: str, name: str, depth: int = 0) -> Iterator[Mapping]:
    """Yield the steps of a part, which may be a sequence of steps."""
    if part is None:
        return
    kind = part["type"]
    if kind == "Sequence":
        _require(depth < MAX_DEPTH, f"the sequences of its {name} are nested too deeply")
        for step in part[key]:
            yield from _steps(step, kinds, key, name, depth + 1)
        return
    _require(kind in kinds, f"its {name} has the kind {kind!r}; known are Sequence, {', '.join(sorted(kinds))}")
    yield part


def _check_pattern(step: Mapping, part: str) -> None:
    """Check the pattern of a step, {"String": …} or {"Regex": …}, if it has one."""
    if step["type"] not in ("Replace", "Split"):
        return
    ((kind, pattern),) = step["pattern"].items()
    _require(isinstance(pattern, str) and pattern != "", f"a pattern of its {part} is empty, or no text")
    if kind != "String" and not is_safe(pattern):
        raise ValueError(f"its {part} has the regular expression {pattern[:80]!r}, which is none that can be trusted")


def _check_growth(steps: list[Mapping]) -> None:
    """Check that a text stays about as long as it is."""
    growth = 1.0
    for step in steps:
        if step["type"] == "Replace":
            replaced = len(step["pattern"].get("String", "x"))  # a regular expression matches at least one character
            growth *= max(1.0, len(step["content"]) / replaced)
        elif step["type"] == "Precompiled":
            growth *= max(1, longest_replacement(step["precompiled_charsmap"]))
        elif step["type"] == "Prepend":
            _require(len(step["prepend"]) <= MAX_AFFIX, "its normalizer puts too much before a text")
    _require(growth <= MAX_GROWTH, f"its normalizer can make a text more than {MAX_GROWTH} times as long")
    counts = Counter(step["type"] for step in steps if step["type"] != "Replace")
    for kind, count in counts.items():
        _require(count == 1, f"its normalizer has the step {kind} {count} times")


def _check_model(model: Mapping | None) -> None:
    _require(isinstance(model, dict), "its model is missing")
    kind = model["type"]
    _require(kind in MODELS, f"its model has the kind {kind!r}; known are {', '.join(MODELS)}")
    # By chance, so the same text would get one label now and another one later.
    _require(not model.get("dropout"), "its model drops pieces at random")
    longest = model.get("max_input_chars_per_word", 0)
    _require(type(longest) is int and 0 <= longest <= MAX_WORD, f"it searches words of more than {MAX_WORD} characters")
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        _require(len(model.get(affix) or "") <= MAX_AFFIX, f"its {affix} is too long")


def _num_ids(described: Mapping) -> int:
    """Return the highest id plus 1."""
    vocabulary, added = described["model"]["vocab"], described.get("added_tokens") or []
    _require(len(added) <= MAX_ADDED_TOKENS, f"it has more than {MAX_ADDED_TOKENS:,} added tokens")
    _require(all(len(token["content"]) <= MAX_ADDED_TOKEN for token in added), "an added token is too long")
    of_model = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
    ids = [*of_model, *(token["id"] for token in added)]
    _require(all(type(each) is int and each >= 0 for each in ids), "an id is no whole number from 0")
    return 1 + max(ids, default=-1)
