"""How often workers of a cluster have begun each part, known to a process that outlives them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.actor import ActorHandle

# Ray Data would repeat a part for ever. A worker may be killed, or its machine be taken away, while it scores a part,
# but hardly five times the same part.
MOST_ATTEMPTS = 5


class Attempts:
    """A count of the attempts at each part."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """Count an attempt at part `number`, and return how many there have been."""
        self._counts[number] += 1
        return self._counts[number]


class RemoteAttempts:
    """The attempts that a process of the cluster counts.

    Args:
        where: labels of the node that the process shall run on; that of the driver, so that it ends no sooner.
    """

    def __init__(self, where: dict[str, str]) -> None:
        import ray

        self._process: ActorHandle = ray.remote(Attempts).options(num_cpus=0, label_selector=where).remote()

    def begin(self, number: int) -> int:
        """Count an attempt at part `number`, and return how many there have been."""
        import ray

        return ray.get(self._process.begin.remote(number))
