"""Files written whole or not at all, the previous one kept where that is asked for, and their hashes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from system.errors import InputError, OutputError, first_line
from system.streams import is_standard_output, is_stream, open_stream

CHUNK_BYTES = 1 << 20


@contextmanager
def write_atomically(path: str | os.PathLike, mode: str = "w", *, keep_previous: bool = False) -> Iterator[IO]:
    """Give a file object whose content appears at `path` all at once, when the block has succeeded.

    Args:
        mode: "w" for UTF-8 text with `\\n`, "wb" for bytes.
        keep_previous: see `replace_atomically`, which says more.

    Raises:
        OutputError: the file cannot be written.
    """
    text_options = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with (
        replace_atomically(path, keep_previous=keep_previous) as temporary,
        open(temporary, mode, **text_options) as file,
    ):
        yield file


@contextmanager
def replace_atomically(path: str | os.PathLike, *, keep_previous: bool = False) -> Iterator[Path]:
    """Give a temporary path to a writer that wants a path; the file moves to `path` when the block has succeeded.

    The temporary path lies in the same folder, where a move is atomic, and has the same suffix, by which Keras and
    others choose a format. If the block fails, the earlier file at `path` is untouched. Parent folders are made.
    A symbolic link stays, and its target is replaced. A device or a pipe is never replaced: the finished content is
    written to it.

    Args:
        keep_previous: whether the earlier file stays beside the new one, as `NAME.previous.SUFFIX`.

    Raises:
        OutputError: the file cannot be written, or `path` is a folder.
    """
    if is_stream(path):
        import shutil  # with the next one only here: a single answer does without them
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, f"content{Path(path).suffix}")
            yield temporary
            with open_stream(path) as stream, open(temporary, "rb") as file:
                shutil.copyfileobj(file, stream)
        return
    target = Path(os.path.realpath(path))
    temporary, previous = temporary_path(target), previous_path(target)
    own_paths = (temporary, target, previous, link := temporary_path(previous))
    _check_writable(target, temporary)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if keep_previous:
            _keep_previous(target, previous, link)
        os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename not in (None, *map(str, own_paths)):
            raise  # about something else: a file that the block reads, say
        reason = error.strerror or first_line(error)
        raise OutputError(
            f"cannot write {path}: {reason}; make room or choose another path; an earlier file there is unchanged"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike, *, allow_stream: bool = False) -> None:
    """Check that a file can be written, before the work whose result it will hold.

    Args:
        allow_stream: whether a device or a pipe will do.

    Raises:
        OutputError: it cannot.
    """
    if not is_stream(path):
        target = Path(os.path.realpath(path))
        _check_writable(target, temporary_path(target))
    elif not allow_stream:
        raise OutputError(f"cannot write {path}: it is not a regular file; choose another path")
    elif not is_standard_output(path) and not os.access(path, os.W_OK):
        raise OutputError(f"cannot write {path}: Permission denied; choose another path")


def temporary_path(path: Path) -> Path:
    """Return a name of its own for a file that will become `path`: hidden, beside it, with its suffix."""
    return path.with_name(f".{path.stem}.{os.urandom(4).hex()}{path.suffix}")


def previous_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _keep_previous(path: Path, previous: Path, link: Path) -> None:
    """Give the file at `path`, if there is one, the second name `previous`, by way of the name `link`."""
    if not path.is_file():
        return
    try:
        try:
            os.link(path, link)
        except OSError:  # a file system without hard links
            import shutil  # only here: a single answer does without it

            shutil.copy2(path, link)
        os.replace(link, previous)
    finally:
        link.unlink(missing_ok=True)


def _check_writable(path: Path, temporary: Path) -> None:
    """Fail before the work whose result is to be saved, not after it."""
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another path") from error


def here_or_beside(name: str, script: str) -> str:
    """Return `name` if the current folder has such a file, else its path beside a script, if it lies there."""
    beside = os.path.join(os.path.dirname(os.path.realpath(script)), name)
    return beside if os.path.exists(beside) and not os.path.exists(name) else name


@contextmanager
def as_input_error(path: str | os.PathLike) -> Iterator[None]:
    """Turn an operating system's error while `path` is read into an InputError that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def sha256_of_file(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputError: the file cannot be read.
    """
    import hashlib  # only now: it takes four megabytes of memory

    with as_input_error(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
