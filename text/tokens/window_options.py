"""The command line's options for `WindowSettings`, apart from it: the application's --help waits for no dataclass."""

from system.command_line import positive_int

AGGREGATES = ("harmonic", "mean", "max", "logsumexp")


def _all_or_some(text: str) -> int | None:
    return None if text == "all" else positive_int(text)


# By field of `WindowSettings`, what `system.command_line.add_option` takes.
WINDOW_OPTIONS = {
    "window": {
        "type": positive_int,
        "metavar": "N",
        "help": "window size in tokens",
        "unset": "the most that the model reads at once",
    },
    "stride": {
        "type": positive_int,
        "metavar": "N",
        "help": "most tokens from the start of a window to the start of the next",
        "unset": "no overlap",
    },
    "max_windows": {
        "type": _all_or_some,
        "metavar": "N",
        "help": "windows read of a text, from its beginning, or: all",
        "unset": "all",
    },
    "aggregate": {"choices": AGGREGATES, "help": "how the logit of a text is made from those of its windows"},
}
