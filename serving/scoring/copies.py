"""Copies of pipes on disk, because the encoding and some kinds of file need more than one pass."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PREFIX = "mini-bert-input-"
LOCK = "lock"
SECONDS_UNTIL_LOCKED = 60  # far more than a run needs between making its folder and locking it


@contextlib.contextmanager
def copy_of(stream: BinaryIO, suffix: str) -> Iterator[Path]:
    """Yield the path of a temporary file with all that comes from a stream; the file ends with the block.

    A killed run cannot remove its copy. The next run does: the lock of a copy says whether its run still lives.
    """
    from filelock import FileLock

    remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        lock = FileLock(Path(folder, LOCK), thread_local=False)
        with contextlib.suppress(OSError):  # on a file system without locks nobody can own the copy, or remove it
            lock.acquire()
        try:
            path = Path(folder, f"input{suffix}")
            with open(path, "wb") as file:
                shutil.copyfileobj(stream, file)
            yield path
        finally:
            lock.release()


def remove_abandoned() -> None:
    """Remove the copies of killed runs of this user."""
    from filelock import FileLock, Timeout

    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):
            if _may_be_abandoned(folder):
                with FileLock(folder / LOCK, blocking=False):
                    shutil.rmtree(folder)


def _may_be_abandoned(folder: Path) -> bool:
    """Return whether a folder is one of ours with a lock, and old enough that a living run holds that lock."""
    facts = folder.lstat()
    is_ours = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
    is_old = time.time() - facts.st_mtime > SECONDS_UNTIL_LOCKED
    return is_ours and is_old and not folder.is_symlink() and (folder / LOCK).is_file()
