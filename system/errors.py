"""The error that a user can cause, and the exit statuses of the scripts."""

EXIT_UNUSABLE_INPUT = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class InputError(Exception):
    """The input could not be used; the message says what is wrong, where (file, row, column), what to do."""


class OutputError(InputError):
    """A file could not be written, for want of space, a folder or a permission; what was read is sound."""


def first_line(error: Exception) -> str:
    """What another library's error says first, or its kind where it says nothing: fit for one sentence."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
