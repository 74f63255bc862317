"""The model of `--pretrained`: a `.keras` file, a folder with a BERT checkpoint, or the hub id of one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from network.backbone import copy_backbone
from network.bert import BertClassifier, BertMaskedLM, BertModel
from network.checkpoints.config_file import config_path
from network.checkpoints.conversion import import_bert
from network.checkpoints.formats import checkpoint_files
from network.checkpoints.hub_checkpoints import download_checkpoint, is_hub_id
from network.heads import MASKED_LM_HEAD
from network.model_file import load_model
from system.errors import InputError
from system.files import sha256_of_file
from text.tokens.tokenizer import renumbered, tokenizer_files, tokenizer_from_json

MODEL_SUFFIXES = (".keras", ".onnx")


class Pretrained(NamedTuple):
    """A model to start a training from.

    Attributes:
        model: the model.
        remarks: lines to print about a checkpoint that another program wrote: its file, and what of it is not used.
    """

    model: BertModel
    remarks: list[str]


def read_pretrained(source: str, expected: type[BertModel], max_seq_len: int | None = None) -> Pretrained:
    """Return the model of `--pretrained`.

    Args:
        source: a `.keras` file, a folder with a BERT checkpoint, or the hub id of one.
        expected: the class that the model must have.
        max_seq_len: maximum number of tokens that it shall read at once; None for its own.

    Raises:
        InputError: the model cannot be loaded, is of another class, or reads fewer tokens than `max_seq_len`.
    """
    folder = checkpoint_folder(source)
    model, remarks = (load_model(source, expected), []) if folder is None else _import(folder, expected)
    own = model.config.max_seq_len
    if max_seq_len is None or max_seq_len == own:
        return Pretrained(model, remarks)
    if max_seq_len > own:
        raise InputError(f"--max-seq-len {max_seq_len}: {source} reads at most {own} tokens at once")
    return Pretrained(shortened(model, max_seq_len), remarks)


def shortened(model: BertModel, max_seq_len: int) -> BertModel:
    """Return a model with the weights of `model` that reads fewer tokens at once.

    Args:
        model: a model.
        max_seq_len: maximum number of tokens, at most that of `model`.
    """
    # Only the table of positions has fewer rows.
    return _with_fewer_rows(model, range(max_seq_len), model.tokenizer_json, max_seq_len=max_seq_len)


def pruned(model: BertModel, token_ids: Sequence[int], where: str) -> BertModel:
    """Return a model with the weights of `model` that knows only some of its tokens.

    Args:
        model: a model.
        token_ids: the ids of the tokens to keep, ascending. The five special tokens are among them, and token 0 is
            padding.
        where: the model's file, for the error message.

    Raises:
        InputError: its tokenizer is neither of WordPieces nor of Unigram pieces.
    """
    tokenizer = renumbered(tokenizer_from_json(model.tokenizer_json), token_ids, where)
    # Only the table of tokens and the output bias of a language model have fewer rows.
    return _with_fewer_rows(model, token_ids, tokenizer.to_str(), vocab_size=len(token_ids))


def _with_fewer_rows(model: BertModel, rows: Sequence[int], tokenizer_json: str, **sizes: int) -> BertModel:
    """Return a model with other sizes, and with some rows of those weights of `model` that have another shape there."""
    config = dataclasses.replace(model.config, **sizes)
    smaller = type(model).from_config(model.get_config() | {"config": dataclasses.asdict(config)})
    smaller.tokenizer_asset.json = tokenizer_json
    smaller.set_weights(
        [
            values[np.asarray(rows)] if values.shape != variable.shape else values
            for variable, values in zip(smaller.weights, model.get_weights(), strict=True)
        ]
    )
    return smaller


def with_next_sentence(pretrained: BertMaskedLM) -> BertMaskedLM:
    """Return a model with the weights of `pretrained` and a new head for the prediction of next sentences."""
    model = BertMaskedLM(pretrained.config, pretrained.tokenizer_json, pretrained.metadata, next_sentence=True)
    copy_backbone(pretrained, model)
    model.get_layer(MASKED_LM_HEAD).set_weights(pretrained.get_layer(MASKED_LM_HEAD).get_weights())
    return model


def pretrained_sha256(source: str, option: str = "--pretrained") -> list[str]:
    """Return the SHA-256 of each file that `read_pretrained` reads, in hexadecimal.

    Args:
        source: see `checkpoint_folder`.
        option: see `checkpoint_folder`.

    Raises:
        InputError: one of them is missing or cannot be read.
    """
    folder = checkpoint_folder(source, option)
    files = [Path(source)]
    if folder is not None:
        files = [config_path(folder), *tokenizer_files(folder), *checkpoint_files(folder)]
    return [sha256_of_file(path) for path in files]


def checkpoint_folder(source: str, option: str = "--pretrained") -> Path | None:
    """Return the folder of the BERT checkpoint that a source names, perhaps downloaded; None for a file.

    Args:
        source: a file, a folder with a BERT checkpoint, or the hub id of one.
        option: the command line option of the source, for the error message.

    Raises:
        InputError: it is not a file or a folder, and the hub does not provide it.
    """
    path = Path(source)
    if path.is_dir():
        return path
    # What looks like the name of a file that does not exist is not looked for on the hub.
    if path.exists() or path.suffix in MODEL_SUFFIXES or not is_hub_id(source):
        return None
    return download_checkpoint(source, option)


def _import(folder: Path, expected: type[BertModel]) -> Pretrained:
    imported = import_bert(folder)
    if not isinstance(imported.model, expected):
        found, needed = "a classifier", "a model with a masked-LM head"
        if expected is BertClassifier:
            found, needed = "no classifier", "one"
        raise InputError(f"{imported.file}: contains {found}, but {needed} is needed")
    remarks = [f"{imported.file}: {imported.model.count_params():,} parameters"]
    for what, names in (("left out", imported.left_out), ("not in the file, so random", imported.new)):
        if names:
            remarks.append(f"  {what}: {', '.join(names)}")
    return Pretrained(imported.model, remarks)
