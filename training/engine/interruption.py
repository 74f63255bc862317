"""Signals that end a training after its current step, so that its state can be saved first."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from system.errors import ENDING_SIGNALS, Terminated

# Ctrl-C, what schedulers and shutdowns send, and what a closed terminal sends.
SIGNALS = [signal.SIGINT, *ENDING_SIGNALS]


class Interruption:
    """Whether the run was asked to stop.

    Attributes:
        signal: the number of the signal that asked; None if none did.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def agree(self) -> None:
        """Take note, after a step, of what other processes were asked; one process alone has no others."""

    def leave(self) -> None:
        """Raise what ends the run, if it was asked to stop.

        Raises:
            KeyboardInterrupt: by Ctrl-C.
            Terminated: by another signal.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise Terminated(self.signal)


@contextlib.contextmanager
def deferred_signals() -> Iterator[Interruption]:
    """Record the first of `SIGNALS` instead of ending the block; a second one has its usual effect.

    Only the main thread can receive signals: in another one nothing is deferred. A signal that is ignored, as under
    nohup, stays so.
    """
    interruption = Interruption()
    handlers = {}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        handlers.clear()

    def request(number: int, frame: FrameType | None) -> None:
        interruption.signal = number
        restore()
        print("\nStopping after this step; press Ctrl-C to stop at once.", file=sys.stderr, flush=True)

    with contextlib.suppress(ValueError):  # not the main thread
        for number in SIGNALS:
            if (handler := signal.getsignal(number)) not in (None, signal.SIG_IGN):
                signal.signal(number, request)
                handlers[number] = handler
    try:
        yield interruption
    finally:
        restore()
