"""What the exported folders have in common: their mark, and the tokenizer that other programs read."""

import re
from collections.abc import Collection
from pathlib import Path

from tokenizers import Tokenizer, processors

from network.bert import BertModel
from text.tokens.tokenizer import CLASSIFY, SEPARATE, tokenizer_from_json

README, TOKENIZER = "README.md", "tokenizer.json"


def is_export(folder: Path, names: Collection[str], mark: str) -> bool:
    """Return whether a folder is an earlier export: by its README.md, and by the names of all files in it.

    Args:
        folder: the folder.
        names: the names of all files and folders that an export may contain.
        mark: a regular expression for the beginning of its README.md.
    """
    found = {path.name for path in folder.iterdir()}
    if README not in found or not found <= set(names):
        return False
    return re.match(mark, (folder / README).read_text(encoding="utf-8", errors="replace")) is not None


def portable_tokenizer(model: BertModel) -> Tokenizer:
    """Return the tokenizer of a model, with `[CLS]` and `[SEP]` around a text, and around two texts as in BERT."""
    tokenizer = tokenizer_from_json(model.tokenizer_json)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLASSIFY} $A {SEPARATE}",
        pair=f"{CLASSIFY} $A {SEPARATE} $B:1 {SEPARATE}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLASSIFY, SEPARATE)],
    )
    return tokenizer
