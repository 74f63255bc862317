"""The errors that a user can cause, and the exit statuses of the scripts."""

EXIT_UNUSABLE_INPUT = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class InputError(Exception):
    """Unusable input. The message says what is wrong, where (file, row, column), and what to do."""


class OutputError(InputError):
    """A file that cannot be written: the disk is full, or a folder or a permission is missing."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class if there is no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
