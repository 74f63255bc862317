"""The files of a tokenizer in a folder for Hugging Face's `transformers`."""

import json
from pathlib import Path

from network.bert import BertModel
from serving.export.folders import TOKENIZER, portable_tokenizer
from system.files import write_atomically
from text.tokens.tokenizer import CLASSIFY, MASK, PAD, SEPARATE, UNKNOWN

# The attributes of `transformers` for the special tokens.
SPECIAL_TOKENS_MAP = {
    "cls_token": CLASSIFY,
    "mask_token": MASK,
    "pad_token": PAD,
    "sep_token": SEPARATE,
    "unk_token": UNKNOWN,
}


def write_tokenizer(model: BertModel, folder: Path, *, max_length: int, split_special_tokens: bool) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, and the vocab.txt of WordPieces.

    Args:
        model: the model.
        folder: the folder to write to.
        max_length: the number of tokens to which `transformers` truncates a text, at most what the network reads.
        split_special_tokens: whether a special token that is typed in a text, such as "[SEP]", is text. A text for
            masked language modelling needs its "[MASK]".
    """
    tokenizer = portable_tokenizer(model)
    _write(folder / TOKENIZER, tokenizer.to_str(pretty=True))
    described = json.loads(tokenizer.to_str())
    config = {
        # Of this class, because that of BERT replaces the steps of the tokenizer with its own.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": split_special_tokens,
        **SPECIAL_TOKENS_MAP,
    }
    if described["model"]["type"] == "WordPiece":
        config["do_lower_case"] = _lowercases(described["normalizer"])
        ids = tokenizer.get_vocab(with_added_tokens=True)
        _write(folder / "vocab.txt", "\n".join(sorted(ids, key=ids.get)) + "\n")
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", SPECIAL_TOKENS_MAP)


def write_json(path: Path, values: dict) -> None:
    """Write an object as an indented JSON file, with Chinese as it is."""
    _write(path, json.dumps(values, ensure_ascii=False, indent=2) + "\n")


def _write(path: Path, content: str) -> None:
    with write_atomically(path) as file:
        file.write(content)


def _lowercases(normalizer: dict | None) -> bool:
    """Return whether a normalizer, or one of its steps, is that of an uncased BERT."""
    if normalizer is None:
        return False
    return bool(normalizer.get("lowercase")) or any(map(_lowercases, normalizer.get("normalizers", [])))
