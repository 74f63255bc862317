"""The command line options of `WindowSettings`, in a file of their own so that --help need not load dataclasses."""

from system.command_line import or_word, positive_int

AGGREGATES = ("harmonic", "mean", "max", "logsumexp")


# The arguments of `system.command_line.add_option` for each field of `WindowSettings`.
WINDOW_OPTIONS: dict[str, dict] = {
    "window": {
        "type": positive_int,
        "metavar": "N",
        "help": "window size in tokens",
        "unset": "the model's maximum",
    },
    "stride": {
        "type": positive_int,
        "metavar": "N",
        "help": "maximum distance between the starts of consecutive windows, in tokens",
        "unset": "no overlap",
    },
    "max_windows": {
        "type": or_word("all", positive_int, None),
        "metavar": "N",
        "help": "maximum number of windows of a text, counted from its beginning, or all",
        "unset": "all",
    },
    "spread_windows": {
        "type": or_word("all", positive_int, None),
        "metavar": "N",
        "help": "maximum number of windows of a text, spread evenly from its beginning to its end, or all; instead of "
        "--max-windows",
        "unset": "all",
    },
    "aggregate": {
        "choices": AGGREGATES,
        "help": "how to combine the logits of the windows of a text; harmonic: the n-th window read counts 1/n",
    },
}
