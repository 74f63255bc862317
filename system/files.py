"""Files on disk: atomic writing, checks before the work, and hashes."""

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from system.errors import InputError, OutputError, first_line
from system.streams import is_standard_output, is_stream, open_stream

CHUNK_BYTES = 1 << 20


@contextmanager
def write_atomically(path: str | os.PathLike, mode: str = "w", *, keep_previous: bool = False) -> Iterator[IO]:
    """Open a file whose content appears at `path` all at once, after the block has succeeded.

    Args:
        mode: "w" for UTF-8 text with `\\n`, "wb" for bytes.
        keep_previous: see `replace_atomically`.

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
    """Yield a temporary path to write to, and move the file to `path` after the block has succeeded.

    The temporary path is in the same folder, where a move is atomic, and has the same suffix, because Keras and
    others choose the format by it. If the block fails, the earlier file at `path` stays unchanged. Missing parent
    folders are created. A symbolic link stays a link; its target is replaced. A device or a pipe is not replaced: the
    finished content is written to it.

    Args:
        keep_previous: whether to keep the earlier file beside the new one, as `NAME.previous.SUFFIX`.

    Raises:
        OutputError: the file cannot be written, or `path` is a folder.
    """
    if is_stream(path):
        import shutil  # both imported here because a single prediction needs neither
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
            raise  # it is about another file, such as one that the block reads
        reason = error.strerror or first_line(error)
        raise OutputError(
            f"cannot write {path}: {reason}; choose another path, or free space if the disk is full (an earlier file "
            "is unchanged)"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder_atomically(path: str | os.PathLike, is_replaceable: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a temporary folder to write to, and move it to `path` after the block has succeeded.

    The folder is at `path` completely or not at all. An earlier one is kept beside it, as `NAME.previous`. If the
    machine stops between the two moves, `path` does not exist, and both folders do: the earlier one as
    `NAME.previous`. A symbolic link stays a link; its target is replaced.

    Args:
        path: the folder. It may exist if it is empty or `is_replaceable`.
        is_replaceable: whether an existing folder was written by the same command, so that nothing of the user's is in
            it.

    Raises:
        OutputError: the folder cannot be written, or it exists and may not be replaced.
    """
    import shutil  # imported here because a single prediction does not need it

    target = Path(os.path.realpath(path))
    temporary, discarded = temporary_path(target), temporary_path(target)
    previous = target.with_name(f"{target.name}.previous")
    for existing in (target, previous):
        _require_replaceable(existing, is_replaceable)
    own_folders = (target.parent, temporary, target, previous, discarded)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _flush_folder(temporary)
        if target.exists():
            _move_away(target, previous, discarded)
        os.rename(temporary, target)
    except OSError as error:
        if error.filename is not None and {Path(error.filename), Path(error.filename).parent}.isdisjoint(own_folders):
            raise  # it is about another file, such as one that the block reads
        reason = error.strerror or first_line(error)
        raise OutputError(
            f"cannot write {path}: {reason}; choose another folder, or free space if the disk is full (an earlier "
            f"folder is unchanged, or in {previous.name})"
        ) from error
    finally:
        for folder in (temporary, discarded):
            shutil.rmtree(folder, ignore_errors=True)


def _require_replaceable(folder: Path, is_replaceable: Callable[[Path], bool]) -> None:
    """Raise an OutputError if a path is neither free nor an empty folder nor a replaceable one."""
    if folder.is_dir():
        if any(folder.iterdir()) and not is_replaceable(folder):
            raise OutputError(
                f"{folder}: the folder exists, and not everything in it is from this command; choose another folder, "
                "or remove this one"
            )
    elif os.path.lexists(folder):
        raise OutputError(f"{folder}: this is a file; choose another folder")


def _move_away(folder: Path, previous: Path, discarded: Path) -> None:
    """Move a folder to `previous`, and what is there to `discarded`; remove the folder if it is empty."""
    if not any(folder.iterdir()):
        folder.rmdir()
        return
    if previous.exists():
        os.rename(previous, discarded)
    os.rename(folder, previous)


def _flush_folder(folder: Path) -> None:
    """Let the operating system write all files of a folder to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())


def check_writable(path: str | os.PathLike, *, allow_stream: bool = False) -> None:
    """Check that a file can be written, before the work whose result it will hold.

    Args:
        allow_stream: whether `path` may be a device or a pipe.

    Raises:
        OutputError: the file cannot be written.
    """
    if not is_stream(path):
        target = Path(os.path.realpath(path))
        _check_writable(target, temporary_path(target))
    elif not allow_stream:
        raise OutputError(f"cannot write {path}: not a regular file; choose another path")
    elif not is_standard_output(path) and not os.access(path, os.W_OK):
        raise OutputError(f"cannot write {path}: Permission denied; choose another path")


def temporary_path(path: Path) -> Path:
    """Return an unused hidden path in the folder of `path`, with its suffix."""
    return path.with_name(f".{path.stem}.{os.urandom(4).hex()}{path.suffix}")


def remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed while it wrote `path` left; only for one who has a lock on the path."""
    for leftover in path.parent.glob(f".{path.stem}.{'[0-9a-f]' * 8}{path.suffix}"):
        leftover.unlink(missing_ok=True)


def previous_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _keep_previous(path: Path, previous: Path, link: Path) -> None:
    """Link the file at `path`, if there is one, as `previous`. `link` is a temporary name for that."""
    if not path.is_file():
        return
    try:
        try:
            os.link(path, link)
        except OSError:  # a file system without hard links
            import shutil  # imported here because a single prediction does not need it

            shutil.copy2(path, link)
        os.replace(link, previous)
    finally:
        link.unlink(missing_ok=True)


def _check_writable(path: Path, temporary: Path) -> None:
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another path") from error


def beside(name: str, script: str) -> str:
    """Return the path of `name` in the folder of `script`, even if `script` is a symbolic link."""
    return os.path.join(os.path.dirname(os.path.realpath(script)), name)


def here_or_beside(name: str, script: str) -> str:
    """Return `name` if it exists in the current folder, else its path beside `script` if it exists there."""
    path = beside(name, script)
    return path if os.path.exists(path) and not os.path.exists(name) else name


@contextmanager
def as_input_error(path: str | os.PathLike) -> Iterator[None]:
    """Raise an operating system's error about reading `path` as an InputError that names the file."""
    try:
        yield
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; name a file in it") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def refuse_folder(path: str | os.PathLike) -> None:
    """Raise an InputError if the path of a file to read is a folder."""
    if os.path.isdir(path):
        raise InputError(f"{path}: this is a folder; name a file in it")


def refuse_stream(path: str | os.PathLike) -> None:
    """Raise an InputError if the path of a file to read more than once is a pipe or a device."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise InputError(f"{path}: not a regular file; save its content in a file first")


def is_part_of(path: str | os.PathLike, source: str) -> bool:
    """Return whether a file to write is a source, one of the files of its glob, or in its folder."""
    target = Path(path).resolve()
    places = {target, *target.parents}
    return any(Path(found).resolve() in places for found in (source, *glob.glob(source, recursive=True)))


def sha256_of_file(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputError: the file cannot be read.
    """
    import hashlib  # imported here because it takes four megabytes of memory

    with as_input_error(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
