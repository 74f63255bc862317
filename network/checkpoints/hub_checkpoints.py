"""BERT checkpoints of the Hugging Face hub."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from system.errors import InputError, first_line
from system.hub import endpoint, hub_answers
from system.libraries import quiet_imports
from system.output.logs import printable_logger

HUB_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
# What a checkpoint needs besides its weights.
SMALL_FILES = ("config.json", "bert_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
# Kinds of files of the weights, the best one first; only one is downloaded.
WEIGHT_FILES = (
    ("model*.safetensors", "model.safetensors.index.json"),
    ("pytorch_model*.bin", "pytorch_model.bin.index.json"),
    ("bert_model.ckpt*",),
)

logger = printable_logger(__name__)


def is_hub_id(name: str) -> bool:
    """Return whether a name may be that of a model on the hub, "name" or "owner/name"."""
    return HUB_ID.fullmatch(name) is not None


def download_checkpoint(name: str, option: str = "--pretrained") -> Path:
    """Return the folder of a checkpoint of the hub, after downloading it if there is no copy.

    Args:
        name: the hub id, such as "bert-base-chinese" or "hfl/chinese-macbert-base".
        option: the command line option of the name, for the error message.

    Raises:
        InputError: there is no earlier download, or the hub does not have the model or denies access to it.
    """
    with quiet_imports():
        import huggingface_hub

    reachable = hub_answers(f"{name}/resolve/main/config.json")
    try:
        if reachable:
            listed = huggingface_hub.HfApi().list_repo_files(name)
            kind = next((kind for kind in WEIGHT_FILES if fnmatch.filter(listed, kind[0])), ())
            return Path(huggingface_hub.snapshot_download(name, allow_patterns=[*SMALL_FILES, *kind]))
        folder = _downloaded_earlier(name)
    except Exception as error:  # the library passes on the errors of several others
        failed = f"does not provide this model ({first_line(error)})"
        reason = failed if reachable else f"could not be reached at {endpoint()}"
        raise InputError(
            f"{name}: no such file or folder, and the Hugging Face hub {reason}; set {option} to a .keras file or to a "
            "folder with a BERT checkpoint, or set HF_ENDPOINT to a mirror of the hub"
        ) from None
    logger.warning("the hub could not be reached: using the copy of %s downloaded earlier", name)
    return folder


def _downloaded_earlier(name: str) -> Path:
    """Return the folder of an earlier download that is complete; the library raises if there is none."""
    import huggingface_hub

    problem: Exception = FileNotFoundError(name)
    for kind in WEIGHT_FILES:
        try:
            patterns = [*SMALL_FILES, *kind]
            folder = huggingface_hub.snapshot_download(name, allow_patterns=patterns, local_files_only=True)
        except Exception as error:
            problem = error  # of this kind there is nothing, or a part
            continue
        if any(Path(folder).glob(kind[0])):
            return Path(folder)
    raise problem
