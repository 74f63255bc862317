"""One owner at a time of an output file, a cache entry or the folder of a run."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from system.errors import InputError, OutputError

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)  # what some network file systems answer


@contextmanager
def owned(
    path: str | os.PathLike,
    remedy: str = "wait until it has ended, or choose another path",
    name: str | os.PathLike | None = None,
) -> Iterator[None]:
    """Own `path` while the block runs.

    The lock is the operating system's, on `.NAME.lock` beside the path: it ends with the process, however that ends.
    It is advisory; it keeps out those who ask for it.

    Args:
        path: a file or a folder, which need not exist; all names of one file share its lock.
        remedy: what to do if another run owns it.
        name: what the error calls it, if not by its path.

    Raises:
        InputError: another run owns it, in this process or elsewhere.
        OutputError: the lock cannot be written.
    """
    from filelock import FileLock, Timeout  # only now: a single answer takes no lock

    resolved = Path(os.path.realpath(path))
    lock_file = resolved.with_name(f".{resolved.name}.lock")
    # Any thread may release it: a generator's `finally` runs where the generator is closed.
    lock = FileLock(lock_file, blocking=False, thread_local=False)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{name or path} is being written by another run: {remedy}") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise OutputError(f"cannot write {lock_file}: {error.strerror or error}; choose another path") from error
        print(f"note: the file system of {path} has no locks: start no other run that writes there", file=sys.stderr)
    try:
        yield
    finally:
        # Removed while it is still held: who has opened the file meanwhile sees that it has lost its name, and does not
        # take it for the lock. Windows removes no open file; there it stays.
        with contextlib.suppress(OSError):
            lock_file.unlink()
        lock.release()
