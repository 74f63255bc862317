"""The command line options of `WindowSettings`, in a file of their own so that --help need not load dataclasses."""

from system.command_line import or_word, positive_int

AGGREGATES = ("harmonic", "mean", "max", "logsumexp")


# The arguments of `system.command_line.add_option` for each field of `WindowSettings`.
WINDOW_OPTIONS: dict[str, dict] = {
    "window": {
        "type": positive_int,
        "metavar": "N",
        "help": "tokens that the model reads at once; a longer text is read in several windows of this size",
        "unset": "the model's maximum",
    },
    "stride": {
        "type": positive_int,
        "metavar": "N",
        "help": "maximum distance between the starts of consecutive windows, in tokens; a short one makes them overlap",
        "unset": "no overlap",
    },
    "max_windows": {
        "type": or_word("all", positive_int, None),
        "metavar": "N",
        "help": "maximum number of windows to read, counted from the beginning of a text, or all",
        "unset": "all",
    },
    "spread_windows": {
        "type": or_word("all", positive_int, None),
        "metavar": "N",
        "help": "maximum number of windows to read, spread evenly from the beginning of a text to its end, or all; "
        "instead of --max-windows",
        "unset": "all",
    },
    "aggregate": {
        "choices": AGGREGATES,
        "help": "how to combine the logits of a text's windows: their mean, their max, logsumexp between the two, or "
        "harmonic, a mean in which the n-th window that is read counts 1/n",
    },
}
