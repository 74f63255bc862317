"""The archive of a `.keras` file: its members, none of which is larger than what is stored of it."""

import os
import zipfile
from pathlib import Path

from network.checks.config import described_model
from network.checks.limits import MAX_DESCRIPTION_BYTES
from network.checks.weights import check_weights
from text.tokens.checks.tokenizer_file import MAX_BYTES as MAX_TOKENIZER_BYTES

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
# The members that we write, with their maximum sizes in bytes; the network's config bounds the size of the weights.
MEMBERS = {
    "metadata.json": 64 * 1024,
    CONFIG: MAX_DESCRIPTION_BYTES,
    WEIGHTS: 4 * 2**30,
    "assets/tokenizer_asset/tokenizer.json": MAX_TOKENIZER_BYTES,
}


def check_model_file(path: Path) -> None:
    """Check a `.keras` file.

    Args:
        path: the file. It may be hostile.

    Raises:
        InputError: its metadata cannot be used.
        ValueError: it is not a file that `network.model_file.save_model` could have written.
        zipfile.BadZipFile: it is no archive, or a damaged one.
    """
    # The archive is open while the parts are checked, so that they are parts of one file.
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        _check_members(archive.infolist(), os.fstat(file.fileno()).st_size)
        model = described_model(archive.read(CONFIG), str(path))
        check_weights(archive.read(WEIGHTS), model)


def _check_members(members: list[zipfile.ZipInfo], file_size: int) -> None:
    """Check the names and sizes of the members, which are stored as they are, so that none of them expands."""
    names = [member.filename for member in members]
    for member in members:
        if member.filename not in MEMBERS:
            raise ValueError(f"it has a part that no model has, {member.filename[:80]!r}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError(f"{member.filename} is compressed in it, which Keras never does")
        if member.file_size > MEMBERS[member.filename]:
            most = MEMBERS[member.filename]
            raise ValueError(f"{member.filename} in it has {member.file_size:,} bytes, more than {most:,}")
    for name in (CONFIG, WEIGHTS):
        if name not in names:
            raise ValueError(f"it lacks {name}")
    if len(set(names)) < len(names):
        raise ValueError("a part occurs twice in it")
    if sum(member.file_size for member in members) > file_size:
        raise ValueError("its parts are larger than the whole")
