"""Standard streams, pipes and devices: what is written to and never replaced."""

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
MOST_LINKS = 40  # a path that leads through more of them is taken to go in circles


class ClosedStream(io.TextIOWrapper):
    """Takes the place of a standard stream with which the process was not started; what is written to it is gone."""


def is_closed(stream: TextIO | None) -> bool:
    """Return whether a standard stream was closed when the process was started, as `>&-` and some schedulers do."""
    return stream is None or isinstance(stream, ClosedStream)


def reserve_standard_streams() -> None:
    """Put the null device in the place of standard streams that are closed.

    Otherwise the first file that is opened would get their descriptor, and with it what compiled code writes to
    standard error; and `print(file=sys.stderr)` would write to standard output, since `sys.stderr` is None then.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            null_device = os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
            os.set_inheritable(null_device, True)  # by the processes that this one starts
    if sys.stdout is None:
        sys.stdout = _closed_stream()
    if sys.stderr is None:
        sys.stderr = _closed_stream()


def _closed_stream() -> ClosedStream:
    file = open(os.devnull, "wb")  # noqa: SIM115 (it stays open as long as the process runs)
    return ClosedStream(file, encoding="utf-8", errors="backslashreplace")


def discard_standard_output() -> None:
    """Point standard output at nothing, or the interpreter's last flush would complain about it again."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
    os.close(null_device)


def is_standard_output(path: str | os.PathLike) -> bool:
    """Return whether `path` is "-" or leads to the standard output of this process."""
    return _without_links(path) in STANDARD_OUTPUT


def is_stream(path: str | os.PathLike) -> bool:
    """Return whether `path` is a device, a pipe or an open descriptor, to be written to and never replaced."""
    if is_standard_output(path) or OPEN_DESCRIPTOR.fullmatch(_without_links(path)):
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


@contextmanager
def open_stream(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open what `is_stream` says yes to, for bytes. Standard output stays open afterwards.

    Raises:
        OutputError: it cannot be written.
    """
    path = os.fspath(path)
    if is_standard_output(path):
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        # Not created where it has gone, and added to: a descriptor may lead to a file that holds something already.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as stream:
            yield stream
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename not in (None, path):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another path") from error


def _without_links(path: str | os.PathLike) -> str:
    """Follow symbolic links up to a name of an open descriptor, whose own link leads to whatever it is open on."""
    path = os.fspath(path)
    for _ in range(MOST_LINKS):
        if OPEN_DESCRIPTOR.fullmatch(path) or not os.path.islink(path):
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    return path
