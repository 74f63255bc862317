"""The command line that all scripts share: exit statuses, options made from dataclass fields, argument types."""

from __future__ import annotations

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable, Collection
from typing import Any, Protocol, TextIO, TypeVar

from system.errors import EXIT_INTERRUPTED, EXIT_UNUSABLE_INPUT, InputError, signals_clean_up
from system.libraries import disable_telemetry
from system.output.display import say
from system.streams import discard_standard_output, reserve_standard_streams

BACKENDS = ("tensorflow", "jax", "torch", "openvino")
WIDTH = 80  # columns, where the terminal does not report its width


class Plan(Protocol):
    """A dataclass of settings, one option a field."""

    def check(self, typed: Collection[str]) -> None: ...


AnyPlan = TypeVar("AnyPlan", bound=Plan)


def exits_with_status(main: Callable[..., int | None]) -> Callable[..., int]:
    """Decorate a script's `main(argv=None)` to return an exit status and to show no traceback to the user.

    An `InputError` is printed to standard error as `error: …`; the status is 1. Ctrl-C gives status 130, SIGTERM 143
    and SIGHUP 129. If the reader of standard output closes it early (`… | head`), the status is 0. Otherwise it is what
    `main` returned, or 0 for None.
    """

    @functools.wraps(main)
    def main_with_status(argv: list[str] | None = None) -> int:
        disable_telemetry()
        reserve_standard_streams()
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show Chinese gets escapes instead of a traceback.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            with signals_clean_up():
                status = main(argv)
            # Short output is still in the buffer. After this line, nothing here would catch a broken pipe.
            sys.stdout.flush()
        except InputError as error:
            say(f"error: {error}")
            return EXIT_UNUSABLE_INPUT
        except KeyboardInterrupt as end:
            say(str(end) or "interrupted")
            return getattr(end, "status", EXIT_INTERRUPTED)  # `Terminated` has one
        except BrokenPipeError:
            discard_standard_output()
            return 0
        except ModuleNotFoundError as error:
            say(f"error: {error.name} is not installed: {_remedy_for(error.name)}")
            return EXIT_UNUSABLE_INPUT
        except OSError as error:  # such as a full disk or a folder without permission
            if _is_unwritable(sys.stdout):
                discard_standard_output()
            say(f"error: {error}")
            return EXIT_UNUSABLE_INPUT
        return status or 0

    return main_with_status


def _remedy_for(module: str | None) -> str:
    if module in BACKENDS:
        return "install it, or set KERAS_BACKEND to an installed backend"
    return "run `pip install -r requirements.txt`"


def _is_unwritable(stream: TextIO) -> bool:
    """Return whether a stream cannot write what is in its buffer, for example because the disk is full."""
    try:
        stream.flush()
    except (OSError, ValueError):
        return True
    return False


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """A formatter of `--help` that shows the defaults and fills the width of the terminal.

    A parser makes a formatter for every argument, and argparse's own loads four libraries to find the width.
    """

    def __init__(self, prog: str) -> None:
        width = os.environ.get("COLUMNS", "")
        if not width.isdecimal() or width == "0":
            try:
                width = os.get_terminal_size().columns or WIDTH
            except OSError:  # no terminal
                width = WIDTH
        super().__init__(prog, width=int(width) - 2)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_no_default = action.default in (None, []) or action.default is False
        return action.help if has_no_default else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """A parser that accepts exact option names only, and suggests the nearest name for an unknown one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, allow_abbrev=False, **settings)

    def parse_args(
        self, args: list[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        namespace, unknown = self.parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            self.error(self._unknown_option(name) if name.startswith("-") else f"unknown argument {unknown[0]}")
        return namespace

    def _unknown_option(self, name: str) -> str:
        import difflib  # imported here to keep --help and single predictions fast

        options = [option for action in self._actions for option in action.option_strings]
        nearest = [option for option in options if option.startswith(name)] or difflib.get_close_matches(name, options)
        return f"unknown option {name}" + (f"; did you mean {nearest[0]}?" if nearest else "")


def option_name(field: str) -> str:
    """Return the option of a field: `--max-windows` for `max_windows`."""
    return "--" + field.replace("_", "-")


def option(default: object = ..., *, help: str, group: str | None = None, **argument: Any) -> Any:
    """Return a dataclass field that is also an option of a script.

    Args:
        default: the default of the field; without it the field has none.
        help: one sentence. `--help` appends the default.
        group: the heading of the option in `--help`.
        argument: further arguments of `add_option`.

    Example:
        `epochs: int = option(5, group="training", type=positive_int, help="passes over the training data")`
    """
    import dataclasses  # imported here because the application has no plan

    settings = {"metadata": {"help": help, "group": group, **argument}}
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, **settings)
    return dataclasses.field(**settings) if default is ... else dataclasses.field(default=default, **settings)


def add_options(parser: argparse.ArgumentParser, defaults: Plan, only: Collection[str] = ()) -> None:
    """Add the options of a plan to a parser, by group, in the order of its fields.

    Args:
        defaults: the plan whose values are the defaults.
        only: the names of the fields to add; all of them if empty.
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


def add_option(
    group: argparse._ActionsContainer,
    name: str,
    *,
    help: str,
    default: object = argparse.SUPPRESS,
    unset: str | None = None,
    **argument: Any,
) -> None:
    """Add the option of a field to a parser or to a group of it. The namespace holds only what the user typed.

    A number is shown as N or X in the help, unless `argument` has a metavar.

    Args:
        name: the name of the field; the option has hyphens instead of underscores.
        default: the default to show in the help.
        unset: the words to show instead of a default that is None or empty.
        argument: further arguments of `add_argument`.
    """
    if isinstance(default, bool):
        argument["action"] = "store_true"
    elif argument.get("type") in (positive_int, seed):
        argument.setdefault("metavar", "N")
    elif argument.get("type") in (positive_float, fraction, probability):
        argument.setdefault("metavar", "X")
    if default is not argparse.SUPPRESS and default is not False:
        help = f"{help} (default: {_shown(default, unset)})"
    group.add_argument(option_name(name), default=argparse.SUPPRESS, help=help.replace("%", "%%"), **argument)


def _shown(default: object, unset: str | None) -> str:
    if default is None or default == []:
        return unset or "none"
    if isinstance(default, list):
        return " ".join(default)
    return f"{default:.4g}" if isinstance(default, float) else str(default)


def parse_plan(
    parser: argparse.ArgumentParser, defaults: AnyPlan, argv: list[str] | None
) -> tuple[AnyPlan, dict[str, object]]:
    """Return the plan of a command line, and the typed values by field.

    Args:
        parser: a parser with the options of `add_options`.
        defaults: the plan with the values of options that are not typed. Its method `check` gets the typed values.

    Raises:
        SystemExit: the options are wrong or contradict each other; the status is 2.
        InputError: a value is out of range.
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
    """Parse a whole number above 0."""
    return _number(text, int, lambda value: value > 0, "a whole number above 0")


def count(text: str) -> int:
    """Parse a non-negative whole number."""
    return _number(text, int, lambda value: value >= 0, "a non-negative whole number")


def positive_float(text: str) -> float:
    """Parse a finite number above 0."""
    return _number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def seed(text: str) -> int:
    """Parse a seed in the range that NumPy accepts."""
    return _number(text, int, lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")


def fraction(text: str) -> float:
    """Parse a number above 0 and below 1."""
    return _number(text, float, lambda value: 0 < value < 1, "a number above 0 and below 1")


def probability(text: str) -> float:
    """Parse a number from 0 to 1, both included."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def or_word(word: str, parse: Callable[[str], Any], meaning: object) -> Callable[[str], Any]:
    """Return an argument type that also accepts a word.

    Args:
        word: the word.
        parse: parses any other text.
        meaning: the value of the word.
    """

    def parse_either(text: str) -> Any:
        if text == word:
            return meaning
        try:
            return parse(text)
        except argparse.ArgumentTypeError as error:
            expected = str(error).removeprefix(f"{text!r} is not ")
            raise argparse.ArgumentTypeError(f"{text!r} is neither {expected} nor {word}") from None

    return parse_either


def _number(text: str, kind: type, accepts: Callable[[float], bool], description: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not accepts(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {description}")
    return value
