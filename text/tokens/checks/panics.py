"""Panics of the tokenizers library, which would end the program."""

from collections.abc import Iterator
from contextlib import contextmanager

from system.errors import InputError, first_line

UNREADABLE = "the tokenizer of the model fails on a text; leave the text out, or use another model"
PANIC = "PanicException"  # of pyo3, which offers no class to import


@contextmanager
def panics_as_input_error(problem: str) -> Iterator[None]:
    """Raise a panic as an InputError. It is a `BaseException`, which no `except Exception` catches.

    Args:
        problem: what failed, and what to do.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise InputError(f"{problem} ({first_line(error)})") from None
