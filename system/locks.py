"""Locks: an output file, a cache entry or a run folder has one owner at a time."""

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from system.errors import InputError, OutputError
from system.output.display import say

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)  # errors of network file systems without locks


@contextmanager
def owned(
    path: str | os.PathLike,
    remedy: str = "wait until it has ended, or choose another path",
    name: str | os.PathLike | None = None,
) -> Iterator[None]:
    """Own `path` while the block runs.

    The operating system holds the lock, on `.NAME.lock` beside the path, and releases it when the process ends in any
    way. The lock is advisory: it stops only programs that ask for it.

    Args:
        path: a file or a folder, which need not exist. All names of one file share its lock.
        remedy: the end of the error message: what to do if another run owns the path.
        name: the name of the path in the error message; the path itself if it is None.

    Raises:
        InputError: another run owns the path, in this process or in another.
        OutputError: the lock cannot be written.
    """
    from filelock import FileLock, Timeout  # imported here because a single prediction needs no lock

    resolved = Path(os.path.realpath(path))
    lock_file = resolved.with_name(f".{resolved.name}.lock")
    # Any thread may release the lock, because a generator's `finally` runs in the thread that closes the generator.
    lock = FileLock(lock_file, blocking=False, thread_local=False)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{name or path} is being written by another run: {remedy}") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise OutputError(f"cannot write {lock_file}: {error.strerror or error}; choose another path") from error
        say(f"note: the file system of {path} has no locks; start no other run that writes there")
    try:
        yield
    finally:
        # Removed while the lock is held, so that a process that has just opened the file sees that it is gone and does
        # not lock it. Windows cannot remove an open file; there it stays.
        with contextlib.suppress(OSError):
            lock_file.unlink()
        lock.release()
