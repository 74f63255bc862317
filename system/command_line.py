"""What all commands of this project do alike: errors and exit statuses, kinds of arguments, quiet loading."""

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable
from typing import TextIO

from system.errors import EXIT_INTERRUPTED, EXIT_UNUSABLE_INPUT, InputError
from system.libraries import disable_telemetry
from system.streams import discard_standard_output, reserve_standard_streams

WIDTH = 80  # of a terminal that does not say


def exits_with_status(main: Callable[..., int | None]) -> Callable[..., int]:
    """Decorates a script's `main(argv=None)`: it returns an exit status, and no traceback reaches the user.

    An `InputError` becomes `error: …` on standard error and 1, Ctrl-C becomes 130, and a reader of standard
    output that has gone away (`… | head`) ends the script with 0. Otherwise the status is what `main`
    returned, or 0 for None.
    """

    @functools.wraps(main)
    def main_with_status(argv: list[str] | None = None) -> int:
        disable_telemetry()
        reserve_standard_streams()
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show Chinese shows escapes, not a traceback.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            status = main(argv)
            # Short output is still buffered here: flushed any later, a broken pipe is out of our hands.
            sys.stdout.flush()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return EXIT_UNUSABLE_INPUT
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            discard_standard_output()
            return 0
        except ModuleNotFoundError as error:
            print(
                f"error: {error.name} is not installed: install it, or set KERAS_BACKEND to a backend that is",
                file=sys.stderr,
            )
            return EXIT_UNUSABLE_INPUT
        except OSError as error:  # a full disk, a folder without permission
            if _is_unwritable(sys.stdout):
                discard_standard_output()
            print(f"error: {error}", file=sys.stderr)
            return EXIT_UNUSABLE_INPUT
        return status or 0

    return main_with_status


def _is_unwritable(stream: TextIO) -> bool:
    """Return whether a stream still holds what it could not write, on a full disk say."""
    try:
        stream.flush()
    except (OSError, ValueError):
        return True
    return False


def parse_arguments(parser: argparse.ArgumentParser, argv: list[str] | None) -> tuple[argparse.Namespace, dict]:
    """The arguments, and by name those among them that the command line gives, which are no defaults."""
    args = parser.parse_args(argv)
    nothing = object()
    # A default is not put where the namespace has a value already.
    parsed = parser.parse_args(argv, namespace=argparse.Namespace(**dict.fromkeys(vars(args), nothing)))
    return args, {name: value for name, value in vars(parsed).items() if value is not nothing}


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults in `--help`, as wide as the terminal is.

    A parser makes one for every argument, and argparse's own loads four libraries to know the width.
    """

    def __init__(self, prog: str):
        width = os.environ.get("COLUMNS", "")
        if not width.isdecimal() or width == "0":
            try:
                width = os.get_terminal_size().columns or WIDTH
            except OSError:  # no terminal
                width = WIDTH
        super().__init__(prog, width=int(width) - 2)


def add_window_arguments(group, defaults: bool = True) -> None:
    """Adds the options of `text.tokens.window_settings.WindowSettings` to a group of a parser.

    Args:
        defaults: whether an option that is not given has the class's default; else it is not among the arguments.
    """

    def add(option, default, **options):
        group.add_argument(option, default=default if defaults else argparse.SUPPRESS, **options)

    add("--window", None, type=positive_int, metavar="N", help="tokens that are read at once; none: as many as can be")
    add("--stride", None, type=positive_int, metavar="N", help="most tokens from one to the next; none: side by side")
    add("--max-windows", None, type=_all_or_some, metavar="N", help="windows that are read of a text; none or all: all")
    choices = ("harmonic", "mean", "max", "logsumexp")
    add("--aggregate", "harmonic", choices=choices, help="how a text's logit is made of its windows'")


def _all_or_some(text: str) -> int | None:
    return None if text == "all" else positive_int(text)


def positive_int(text: str) -> int:
    return _number(text, int, lambda value: value > 0, "a whole number above 0")


def positive_float(text: str) -> float:
    return _number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def seed(text: str) -> int:
    """What NumPy takes to draw from."""
    return _number(text, int, lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")


def share(text: str) -> float:
    """Above 0 and below 1."""
    return _number(text, float, lambda value: 0 < value < 1, "a number between 0 and 1")


def probability(text: str) -> float:
    """From 0 to 1, both included."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def _number(text: str, kind: type, accepts: Callable[[float], bool], description: str):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not accepts(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {description}")
    return value
