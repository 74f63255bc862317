"""What all commands of this project share: exit statuses, options made from dataclass fields, argument types."""

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable, Collection
from typing import TextIO

from system.errors import EXIT_INTERRUPTED, EXIT_UNUSABLE_INPUT, InputError
from system.libraries import disable_telemetry
from system.streams import discard_standard_output, reserve_standard_streams

BACKENDS = ("tensorflow", "jax", "torch", "openvino")
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
            print(f"error: {error.name} is not installed: {_remedy_for(error.name)}", file=sys.stderr)
            return EXIT_UNUSABLE_INPUT
        except OSError as error:  # a full disk, a folder without permission
            if _is_unwritable(sys.stdout):
                discard_standard_output()
            print(f"error: {error}", file=sys.stderr)
            return EXIT_UNUSABLE_INPUT
        return status or 0

    return main_with_status


def _remedy_for(module: str | None) -> str:
    if module in BACKENDS:
        return "install it, or set KERAS_BACKEND to a backend that is"
    return "`pip install -r requirements.txt` installs what the scripts need"


def _is_unwritable(stream: TextIO) -> bool:
    """Return whether a stream still holds what it could not write, on a full disk say."""
    try:
        stream.flush()
    except (OSError, ValueError):
        return True
    return False


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

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_none = action.default in (None, []) or action.default is False
        return action.help if has_none else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Takes options by their exact names, and names the nearest one where an option is unknown."""

    def __init__(self, **settings):
        super().__init__(formatter_class=HelpFormatter, allow_abbrev=False, **settings)

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        namespace, unknown = self.parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            self.error(self._unknown_option(name) if name.startswith("-") else f"unknown argument {unknown[0]}")
        return namespace

    def _unknown_option(self, name: str) -> str:
        import difflib  # only here: --help and answers do not wait for it

        options = [option for action in self._actions for option in action.option_strings]
        nearest = [option for option in options if option.startswith(name)] or difflib.get_close_matches(name, options)
        return f"unknown option {name}" + (f"; did you mean {nearest[0]}?" if nearest else "")


def option_name(field: str) -> str:
    """Return the option of a field: `--max-windows` for `max_windows`."""
    return "--" + field.replace("_", "-")


def option(default=..., *, help: str, group: str | None = None, **argument):
    """Return a dataclass field that is an option of a script.

    Args:
        default: the field has none if this is left out.
        help: one sentence without the default, which `--help` appends.
        group: the heading of the option in `--help`.
        argument: what `add_option` takes besides.
    """
    import dataclasses  # only where a plan is made: the application has none

    settings = {"metadata": {"help": help, "group": group, **argument}}
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, **settings)
    return dataclasses.field(**settings) if default is ... else dataclasses.field(default=default, **settings)


def add_options(parser: argparse.ArgumentParser, defaults, only: Collection[str] = ()) -> None:
    """Add the options of a plan to a parser, in the groups and in the order of its fields.

    Args:
        defaults: the plan whose values are the defaults.
        only: the names of the fields to take; all of them if empty.
    """
    import dataclasses

    groups = {}
    for field in dataclasses.fields(defaults):
        if only and field.name not in only:
            continue
        argument = dict(field.metadata)
        title = argument.pop("group")
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        add_option(groups[title], field.name, default=getattr(defaults, field.name), **argument)


def add_option(group, name: str, *, help: str, default=argparse.SUPPRESS, unset: str | None = None, **argument) -> None:
    """Add the option of a field to a group of a parser. Only what is typed reaches the namespace.

    Args:
        name: of the field; the option has hyphens in place of its underscores.
        default: shown in the help.
        unset: what to show instead of a default that is None or empty.
        argument: for `add_argument`.
    """
    if isinstance(default, bool):
        argument["action"] = "store_true"
    if default is not argparse.SUPPRESS:
        help = f"{help} (default: {_shown(default, unset)})"
    group.add_argument(option_name(name), default=argparse.SUPPRESS, help=help.replace("%", "%%"), **argument)


def _shown(default, unset: str | None) -> str:
    if default is None or default == []:
        return unset or "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, list):
        return " ".join(default)
    return f"{default:.4g}" if isinstance(default, float) else str(default)


def parse_plan(parser: argparse.ArgumentParser, defaults, argv: list[str] | None):
    """Return the plan that a command line asks for, and the values that were typed, by field.

    Args:
        parser: has the options of `add_options`.
        defaults: the plan that holds for what is not typed. Its method `check` looks at the typed values.

    Raises:
        SystemExit: the options are wrong or contradict each other; status 2.
        InputError: a value cannot be used.
    """
    import dataclasses

    typed = vars(parser.parse_args(argv))
    plan = dataclasses.replace(defaults, **typed)
    try:
        plan.check(typed)
    except InputError as error:
        parser.error(str(error))
    return plan, typed


def positive_int(text: str) -> int:
    return _number(text, int, lambda value: value > 0, "a whole number above 0")


def positive_float(text: str) -> float:
    return _number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def seed(text: str) -> int:
    """What NumPy takes to draw from."""
    return _number(text, int, lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")


def fraction(text: str) -> float:
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
