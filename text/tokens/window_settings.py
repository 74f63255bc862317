"""The settings that split a text into windows, as a model file stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from system.errors import InputError
from text.tokens.window_options import AGGREGATES

NUM_SPECIAL_TOKENS = 2  # [CLS] at the start of a window, [SEP] at its end


@dataclass(frozen=True)
class WindowSettings:
    """How to split a text into windows, and how to combine their logits.

    Attributes:
        window: tokens per window, including the two special tokens; None means the maximum of the model.
        stride: maximum number of tokens between the starts of two windows. The windows then overlap, all of them are
            full, and the last one ends with the text. None puts them side by side; the last one holds the rest.
        max_windows: maximum number of windows of a text, counted from its beginning; None reads the whole text.
        spread_windows: maximum number of windows of a text; one that needs more gets this many, all of them full, from
            its beginning to its end at equal distances. A single one is at the beginning. None reads the whole text.
        aggregate: how to compute the logits of a text. "mean" weights each window by its number of tokens. "harmonic"
            divides the weight of the n-th window by n, because reviews make their point at the beginning. "max" is the
            maximum. "logsumexp" is the logarithm of the weighted mean of the exponentials, between mean and maximum.
            Only windows that are read are counted: the second of four spread windows has half the weight of the first
            wherever in the text it is, because with its place in the text it would hardly count.

    Raises:
        InputError: a setting is out of range, or two settings contradict each other.
    """

    window: int | None = None
    stride: int | None = None
    max_windows: int | None = None
    spread_windows: int | None = None
    aggregate: str = "harmonic"

    def __post_init__(self) -> None:
        for name in ("window", "stride", "max_windows", "spread_windows"):
            if not (getattr(self, name) is None or type(getattr(self, name)) is int):
                raise InputError(f"the window setting {name} must be a whole number, not {getattr(self, name)!r}")
        if self.max_windows is not None and self.spread_windows is not None:
            raise InputError(
                "--max-windows reads the beginning of a text, and --spread-windows all parts of it: leave out one of "
                "the two"
            )
        for number in (self.max_windows, self.spread_windows):
            if number is not None and number < 1:
                raise InputError(f"the number of windows must be at least 1, not {number}")
        if self.window is not None and self.window <= NUM_SPECIAL_TOKENS:
            raise InputError(
                f"a window of {self.window} tokens is too short: two of them are special tokens; use a longer window"
            )
        if self.stride is not None and self.stride < 1:
            raise InputError(f"the stride must be at least 1 token, not {self.stride}")
        if self.aggregate not in AGGREGATES:
            raise InputError(f"the aggregate must be one of {', '.join(AGGREGATES)}, not {self.aggregate!r}")

    def replaced(self, changes: Mapping[str, int | str | None]) -> WindowSettings:
        """Return the settings with other values, by name; a limit of the windows replaces the other one.

        Raises:
            InputError: as the class.
        """
        limits = ("max_windows", "spread_windows")
        replaced_limits = dict.fromkeys(limits) if any(name in changes for name in limits) else {}
        return replace(self, **replaced_limits | dict(changes))

    def capacity(self, max_seq_len: int) -> int:
        """Return the maximum number of tokens of a text in a window.

        Args:
            max_seq_len: maximum number of tokens that the network reads at once.

        Raises:
            InputError: the window is longer than `max_seq_len` or has no room for a token, or the stride is too long.
        """
        window = self.window or max_seq_len
        if window > max_seq_len:
            raise InputError(
                f"a window of {window} tokens is too long: the model reads at most {max_seq_len}; use a shorter window"
            )
        capacity = window - NUM_SPECIAL_TOKENS
        if capacity < 1:
            raise InputError(
                f"the model reads {window} tokens at once, which its special tokens fill; use another model"
            )
        if self.stride is not None and self.stride > capacity:
            raise InputError(
                f"a stride of {self.stride} tokens would skip some of the text: a window of {window} tokens holds "
                f"{capacity} of it; use a smaller stride"
            )
        return capacity

    def spans(self, num_tokens: int, capacity: int) -> list[tuple[int, int]]:
        """Return the start and end of each window of a text, at least one window.

        Args:
            num_tokens: number of tokens of the text.
            capacity: see `capacity`.
        """
        if num_tokens <= capacity:
            return [(0, num_tokens)]
        steps = -(-(num_tokens - capacity) // (self.stride or capacity))
        is_spread = self.spread_windows is not None and steps >= self.spread_windows
        if is_spread:
            steps = self.spread_windows - 1
        if self.stride is None and not is_spread:
            starts = range(0, num_tokens, capacity)
        else:
            starts = [(num_tokens - capacity) * number // max(steps, 1) for number in range(steps + 1)]
        return [(start, min(start + capacity, num_tokens)) for start in starts[: self.max_windows]]
