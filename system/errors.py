"""The errors that a user can cause, the signals that end a script, and the exit statuses."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_UNUSABLE_INPUT = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
REPEAT_SECONDS = 0.05  # until a signal whose exception was dropped is sent again
# Those that end a process by default, besides SIGINT; not every system has both.
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class InputError(Exception):
    """Unusable input. The message says what is wrong, where (file, row, column), and what to do."""


class OutputError(InputError):
    """A file that cannot be written: the disk is full, or a folder or a permission is missing."""


class Terminated(KeyboardInterrupt):
    """The end of a run by a signal, which cleans up as Ctrl-C does.

    Args:
        number: the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number, self.status = number, 128 + number


@contextmanager
def signals_clean_up() -> Iterator[None]:
    """Raise `Terminated` on the signals that would end the process, so that no temporary file stays.

    A signal that the process ignores, such as SIGHUP after `nohup`, remains ignored. Further ones during the clean-up
    are ignored too, since a closed terminal sends several. Python drops an exception that is raised while an object is
    destroyed; then the signal is sent again.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone can handle signals
        yield
        return
    numbers = [number for number in ENDING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    def repeat(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            previous_hook(dropped)
            return
        for each in numbers:
            signal.signal(each, end)
        number = getattr(dropped.exc_value, "number", signal.SIGINT)
        timer = threading.Timer(REPEAT_SECONDS, _send_to_main_thread, (number,))
        timer.daemon = True
        timer.start()

    previous_hook, sys.unraisablehook = sys.unraisablehook, repeat
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _send_to_main_thread(number: int) -> None:
    if hasattr(signal, "pthread_kill"):  # which also interrupts what the main thread waits for
        signal.pthread_kill(threading.main_thread().ident, number)
    else:
        signal.raise_signal(number)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class if there is no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
