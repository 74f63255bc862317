"""How a text is read in windows: the settings that a model file keeps."""

from dataclasses import dataclass

from system.errors import InputError
from text.tokens.window_options import AGGREGATES

NUM_SPECIAL_TOKENS = 2  # [CLS] before a window, [SEP] after it


@dataclass(frozen=True)
class WindowSettings:
    """How a text is read in windows, and how one verdict is made of theirs.

    Attributes:
        window: tokens a window, the two special ones included; None takes as many as the model reads at once.
        stride: most tokens from one window's start to the next one's; windows overlap then, all are full, and the last
            ends where the text does. None puts them side by side, and the last holds what is left.
        max_windows: how many windows of a text are read, from its beginning on; None reads all of it.
        aggregate: what the text's logit is of those of its windows: their "mean", in which each counts by its tokens; a
            mean in which the n-th counts 1/n of that ("harmonic", since reviews say at their beginning what they are
            about); their maximum; or between the two the logarithm of the mean of their exponentials ("logsumexp",
            less its growth with the number of windows).

    Raises:
        InputError: a setting is out of range.
    """

    window: int | None = None
    stride: int | None = None
    max_windows: int | None = None
    aggregate: str = "harmonic"

    def __post_init__(self):
        for name in ("window", "stride", "max_windows"):
            if not (getattr(self, name) is None or type(getattr(self, name)) is int):
                raise InputError(f"{name} of the windows must be a whole number, not {getattr(self, name)!r}")
        if self.max_windows is not None and self.max_windows < 1:
            raise InputError(f"{self.max_windows} windows of a text cannot be read: it must be at least 1")
        if self.window is not None and self.window <= NUM_SPECIAL_TOKENS:
            raise InputError(f"a window of {self.window} tokens has no room beside the two special ones")
        if self.stride is not None and self.stride < 1:
            raise InputError(f"a stride of {self.stride} tokens leads nowhere: it must be at least 1")
        if self.aggregate not in AGGREGATES:
            raise InputError(f"the windows' logits are aggregated by {', '.join(AGGREGATES)}, not by {self.aggregate}")

    def capacity(self, max_seq_len: int) -> int:
        """Returns the tokens of a text that a window holds, for a network that reads `max_seq_len` tokens at once.

        Raises:
            InputError: the window is longer than that, or the stride longer than the window.
        """
        window = self.window or max_seq_len
        if window > max_seq_len:
            raise InputError(f"a window of {window} tokens is too long: the model reads {max_seq_len} at once")
        capacity = window - NUM_SPECIAL_TOKENS
        if self.stride is not None and self.stride > capacity:
            raise InputError(
                f"a stride of {self.stride} tokens leaves some unread: a window of {window} holds {capacity} of a text"
            )
        return capacity

    def spans(self, num_tokens: int, capacity: int) -> list[tuple[int, int]]:
        """Returns where the windows of a text of `num_tokens` tokens start and end, at least one."""
        if num_tokens <= capacity:
            return [(0, num_tokens)]
        if self.stride is None:
            starts = range(0, num_tokens, capacity)
        else:
            steps = -(-(num_tokens - capacity) // self.stride)
            starts = [(num_tokens - capacity) * number // steps for number in range(steps + 1)]
        return [(start, min(start + capacity, num_tokens)) for start in starts[: self.max_windows]]
