"""What single processes notice, such as a signal, and all of them act on at the same step."""

import time

import numpy as np

from training.engine.distribution.processes import leave_together, num_processes
from training.engine.interruption import Interruption

AGREEMENT_SECONDS = 1.0


class Agreement:
    """Brings what one process notices to all of them, at the same step.

    Args:
        seconds: about how often to exchange; the time is rounded to whole steps.
    """

    def __init__(self, seconds: float = AGREEMENT_SECONDS):
        self.seconds = seconds
        self._steps = self._steps_left = 1
        self._exchanged = time.monotonic()

    def __call__(self, value: int) -> int:
        """Return the largest value of all processes, or 0 at a step without an exchange; to call after every step."""
        if num_processes() == 1:
            return value
        self._steps_left -= 1
        if self._steps_left:
            return 0
        from jax.experimental import multihost_utils

        seconds_per_step = (time.monotonic() - self._exchanged) / self._steps
        steps = max(1, int(self.seconds / max(seconds_per_step, 1e-4)))
        values, possible = multihost_utils.process_allgather(np.array([value, steps], np.int32)).T
        self._steps = self._steps_left = int(possible.min())
        self._exchanged = time.monotonic()
        return int(values.max())


class SharedInterruption(Interruption):
    """Whether any process of the run was asked to stop; all of them learn it at the same step.

    Args:
        own: whether this process was asked to stop.
    """

    def __init__(self, own: Interruption):
        super().__init__()
        self.own = own
        self._agreement = Agreement()

    def agree(self) -> None:
        self.signal = self._agreement(self.own.signal or 0) or None

    def leave(self) -> None:
        if self.signal is not None:
            leave_together()  # waits until the main process has saved the state
        super().leave()
