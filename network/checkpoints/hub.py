"""BERT checkpoints of the Hugging Face hub."""

from __future__ import annotations

import fnmatch
import logging
import re
from pathlib import Path

from system.errors import InputError, first_line
from system.hub import endpoint, hub_answers, offline
from system.libraries import quiet_imports

HUB_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
# What a checkpoint needs besides its weights.
SMALL_FILES = ("config.json", "bert_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
# Kinds of files of the weights, the best one first; only one is downloaded.
WEIGHT_FILES = (
    ("model*.safetensors", "model.safetensors.index.json"),
    ("pytorch_model*.bin", "pytorch_model.bin.index.json"),
    ("bert_model.ckpt*",),
)

logger = logging.getLogger(__name__)


def is_hub_id(name: str) -> bool:
    """Return whether a name may be that of a model on the hub, "name" or "owner/name"."""
    return HUB_ID.fullmatch(name) is not None


def download_checkpoint(name: str) -> Path:
    """Return the folder of a checkpoint of the hub, after downloading it if there is no copy.

    Args:
        name: the hub id, such as "bert-base-chinese" or "hfl/chinese-macbert-base".

    Raises:
        InputError: there is no earlier download, or the hub does not have the model or denies access to it.
    """
    with quiet_imports():
        import huggingface_hub

    reachable = hub_answers(f"{name}/resolve/main/config.json")
    try:
        if reachable:
            listed = huggingface_hub.HfApi().list_repo_files(name)
            patterns = [*SMALL_FILES, *_patterns_of_weights(listed)]
            return Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
        with offline():
            folder = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
        logger.warning("the hub could not be reached: using the copy of %s downloaded earlier", name)
        return folder
    except Exception as error:  # the library passes on the errors of several others
        failed = f"does not provide this model ({first_line(error)})"
        reason = failed if reachable else f"could not be reached at {endpoint()}"
        raise InputError(
            f"{name}: no such file or folder, and the Hugging Face hub {reason}; set --pretrained to a .keras file or "
            "to a folder with a BERT checkpoint, or set HF_ENDPOINT to a mirror of the hub"
        ) from None


def _patterns_of_weights(listed: list[str]) -> tuple[str, ...]:
    """Return the patterns of the best kind of weights among the files of a model; none if there are none."""
    for patterns in WEIGHT_FILES:
        if fnmatch.filter(listed, patterns[0]):
            return patterns
    return ()
