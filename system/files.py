"""Whole files: written so that a half-written one is never seen, hashed, and their encoding found."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from system.errors import InputError

CHUNK_BYTES = 1 << 20


@contextmanager
def write_atomically(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """A file object ("w": UTF-8 text with `\\n`; "wb": bytes) whose content appears at `path` all at once.

    If the block fails, what stood at `path` before is untouched. Parent folders are made.
    Raises InputError where the folder cannot be written.
    """
    text_options = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with replace_atomically(path) as temporary, open(temporary, mode, **text_options) as file:
        yield file


@contextmanager
def replace_atomically(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path for a writer that wants a path; what it wrote moves to `path` if the block succeeds.

    It lies in the same folder, where a move is atomic, and has the same suffix, by which Keras and others
    choose a format. Parent folders are made.
    Raises InputError where the folder cannot be written or `path` is a folder.
    """
    path = Path(path)
    temporary = _temporary(path)
    _check_writable(path, temporary)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike) -> None:
    """Raises InputError where `path` cannot be written: to be asked before the work that is to be saved there."""
    path = Path(path)
    _check_writable(path, _temporary(path))


def keep_previous(path: str | os.PathLike) -> Path | None:
    """Moves a file that stands at `path` to `NAME.previous.SUFFIX`; returns where it is now, None if there was none."""
    path = Path(path)
    if not path.is_file():
        return None
    previous = path.with_name(f"{path.stem}.previous{path.suffix}")
    os.replace(path, previous)
    return previous


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.urandom(4).hex()}{path.suffix}")


def _check_writable(path: Path, temporary: Path) -> None:
    """Fails before the work that is to be saved, not after it."""
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file in it")
    if path.exists() and not path.is_file():
        # The move at the end would put a file in the place of /dev/null, or of a pipe that somebody reads.
        raise InputError(f"cannot write {path}: it is no ordinary file; name one that is, or none at all")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place") from error


@contextmanager
def as_input_error(path: str | os.PathLike) -> Iterator[None]:
    """Turns an operating system's error while `path` is read into an InputError that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def sha256_of_file(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises InputError where it cannot be read."""
    import hashlib  # only now: it takes four megabytes of memory

    with as_input_error(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of_file(path: str | os.PathLike) -> str:
    """The size and the CRC-32 of a file's bytes: enough to see that it is another one, where nobody forges it.

    Takes half the time of a SHA-256 and no library. Raises InputError where the file cannot be read.
    """
    size, checksum = 0, 0
    with as_input_error(path), open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    return f"{size}-{checksum:08x}"
