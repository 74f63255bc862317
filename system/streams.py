"""Standard streams, pipes and devices, which are written to but never replaced."""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO

from system.errors import OutputError

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
OPEN_DESCRIPTOR = re.compile(r"/dev/std(out|err)|(/dev|/proc/self)/fd/\d+")
MAX_LINKS = 40  # a path with more symbolic links is considered circular


class ClosedStream(io.TextIOWrapper):
    """A replacement of a standard stream that was closed when the process started. It discards what is written."""


def is_closed(stream: TextIO | None) -> bool:
    """Return whether a standard stream was closed when the process started, as `>&-` and some schedulers do."""
    return stream is None or isinstance(stream, ClosedStream)


def reserve_standard_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next file to be opened would get its descriptor, and compiled code that writes to standard error would
    write into that file. Also, `print(file=sys.stderr)` writes to standard output if `sys.stderr` is None.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            null_device = os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
            os.set_inheritable(null_device, True)  # so that child processes have it too
    if sys.stdout is None:
        sys.stdout = _closed_stream()
    if sys.stderr is None:
        sys.stderr = _closed_stream()


def _closed_stream() -> ClosedStream:
    file = open(os.devnull, "wb")  # noqa: SIM115 (stays open until the process ends)
    return ClosedStream(file, encoding="utf-8", errors="backslashreplace")


def discard_standard_output() -> None:
    """Send standard output to the null device, so that the interpreter's last flush raises no second error."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
    os.close(null_device)


def is_standard_output(path: str | os.PathLike) -> bool:
    """Return whether `path` is "-" or refers to the standard output of this process."""
    return _without_links(path) in STANDARD_OUTPUT


def is_stream(path: str | os.PathLike) -> bool:
    """Return whether `path` is a device, a pipe or an open descriptor."""
    if is_standard_output(path) or OPEN_DESCRIPTOR.fullmatch(_without_links(path)):
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


@contextmanager
def open_stream(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a path for which `is_stream` is true, to write bytes. Standard output stays open afterwards.

    Raises:
        OutputError: the stream cannot be written.
    """
    path = os.fspath(path)
    if is_standard_output(path):
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        # A path that has disappeared is not created. Append, because a descriptor may refer to a file with content.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as stream:
            yield stream
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename not in (None, path):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another path") from error


def _without_links(path: str | os.PathLike) -> str:
    """Follow symbolic links, but not that of an open descriptor, which leads to the file behind it."""
    path = os.fspath(path)
    for _ in range(MAX_LINKS):
        if OPEN_DESCRIPTOR.fullmatch(path) or not os.path.islink(path):
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    return path
