"""Run the prompt: texts are typed, pasted or piped in, and commands begin with a slash."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from serving.answers import ALL_LABELS, Answers
from serving.predictor import Predictor
from system.errors import InputError, Terminated
from system.output.display import say

PASTE_SECONDS = 0.05  # lines that follow each other faster than this were pasted, not typed
OTHER_EXIT_WORDS = ("quit", "退出")


class UsageError(Exception):
    """A command was called with wrong arguments."""


class Command(NamedTuple):
    """A command of the prompt.

    Attributes:
        usage: its arguments, as /help shows them; "" for none.
        help: what it does.
        run: called with the rest of the line, "" if there is none.
    """

    usage: str
    help: str
    run: Callable[[str], None]


class Setting(NamedTuple):
    """A value of an attribute of `Predictor`, which applies to other models as well.

    Attributes:
        source: the option or the command that set it, such as --threshold.
        value: the value.
    """

    source: str
    value: object


class Prompt:
    """A loop that reads texts and predicts them.

    Predictions go to standard output, everything else to standard error.

    Args:
        answers: prints the predictions.
        load: returns the predictor of a model, from its file or its name.
        exit_word: the word that ends the loop; `OTHER_EXIT_WORDS` end it too.
        settings: the settings of the command line, by attribute; they apply to every model that can use them.
        model_names: the names that `load` knows, for /help.
    """

    def __init__(
        self,
        answers: Answers,
        load: Callable[[str], Predictor],
        exit_word: str = "exit",
        settings: Mapping[str, Setting] | None = None,
        *,
        model_names: Sequence[str] = (),
    ) -> None:
        self.answers = answers
        self.load = load
        self.exit_words = (exit_word, *OTHER_EXIT_WORDS)
        self._is_typed = sys.stdin is not None and sys.stdin.isatty()
        self._settings = dict(settings or {})
        by_name = f"; by name: {', '.join(model_names)}" if model_names else ""
        self._commands = {
            "/threshold": Command("P|auto", "lowest probability of the second label, or of each", self._set_threshold),
            "/abstain": Command(
                "[LOW HIGH|P]", "leave texts between LOW and HIGH or below P undecided", self._set_abstain
            ),
            "/top": Command("[K|all]", "show the K most probable labels", self._set_top),
            "/explain": Command("", "start or stop marking influential words", self._toggle_explain),
            "/windows": Command("", "start or stop listing influential windows", self._toggle_windows),
            "/json": Command("", "switch between JSON and text", self._toggle_json),
            "/model": Command("FILE|NAME", f"use another model{by_name}", self._open_model),
            "/help": Command("", "show this help", self._show_help),
        }

    def run(self) -> int:
        """Read texts until an exit word, the end of the input or Ctrl-C; return the exit status, 0."""
        if sys.stdin is None:  # it was closed when the process started
            return 0
        if hasattr(sys.stdin, "reconfigure"):  # a line that cannot be decoded must not end the loop
            sys.stdin.reconfigure(errors="surrogateescape")
        if self._is_typed:
            _enable_line_editing()
        say(f"Type a text and press Enter; /help lists the commands; type {self.exit_words[0]} to leave.")
        try:
            self._read_and_respond()
        except Terminated:
            raise
        except (EOFError, KeyboardInterrupt):
            if self._is_typed:
                say("")  # the shell's prompt starts on a new line
        finally:
            self.answers.write_page()
        return 0

    def _read_and_respond(self) -> None:
        """Read texts until an exit word."""
        while not self._is_exit(text := self._read()):
            if text.strip():
                self._respond(text)

    def _read(self) -> str:
        """Return the next line, or all lines of a paste.

        Raises:
            EOFError: the input has ended.
        """
        if not self._is_typed:
            return input()
        # Lines that are waiting already were typed during the last prediction: each is a text of its own.
        is_typed_ahead = _is_input_waiting(0)
        if sys.stdout.isatty():
            lines = [input("> ")]
        else:
            # `input` writes its prompt to standard output, which is for predictions only.
            print("> ", end="", file=sys.stderr, flush=True)
            lines = [input()]
        # Some terminals do not mark pastes; there the speed of the lines does. A command is never part of a paste.
        is_single_line = is_typed_ahead or self._is_exit(lines[0]) or self._parse_command(lines[0])[0]
        while not is_single_line and _is_input_waiting(PASTE_SECONDS):
            try:
                lines.append(input())
            except EOFError:
                break
        return "\n".join(lines).strip("\n")

    def _respond(self, text: str) -> None:
        try:
            if text.lstrip().startswith("/") and "\n" not in text:
                self._run_command(text)
            else:
                self.answers.answer([text])
                if self._is_typed:  # of the texts in a pipe, the page is written once, because it grows with each
                    self.answers.write_page()
        except InputError as error:
            say(f"error: {error}")

    def _is_exit(self, text: str) -> bool:
        word = text.strip().lower()
        # In a pipe the other words may be texts, but no text begins with "/".
        if self._is_typed or word.startswith("/"):
            return word.removeprefix("/") in self.exit_words
        return word == self.exit_words[0]

    def _parse_command(self, line: str) -> tuple[Command | None, str, str]:
        """Return the command, or None if it is unknown, its name, and the rest of the line."""
        name, argument = (*line.split(maxsplit=1), "", "")[:2]
        return self._commands.get(name.lower()), name, argument.strip()

    def _run_command(self, line: str) -> None:
        command, name, argument = self._parse_command(line)
        if command is None:
            raise InputError(f"unknown command {name}; /help lists the commands")
        try:
            command.run(argument)
        except UsageError:
            expected = f"expects {command.usage}" if command.usage else "expects no argument"
            raise InputError(f"{name} {expected}, not {argument!r}" if argument else f"{name} {expected}") from None

    def _set(self, name: str, value: object) -> None:
        setattr(self.answers.predictor, name, value)
        self._settings[name] = Setting(f"/{name}", value)

    def _set_threshold(self, argument: str) -> None:
        self._set("threshold", "auto" if argument.lower() == "auto" else _numbers(argument, 1)[0])
        predictor = self.answers.predictor
        names, threshold = predictor.labels.english_names, predictor.threshold
        if isinstance(threshold, tuple):
            lowest = (f"{name} {value:.4g}" for name, value in zip(names, threshold, strict=True))
            say(f"lowest probability of each label: {', '.join(lowest)}")
        else:
            say(f"{names[1]} if the probability is at least {threshold}")

    def _set_abstain(self, argument: str) -> None:
        numbers = _numbers(argument, 1, 2) if argument else None
        self._set("abstain", numbers[0] if numbers and len(numbers) == 1 else numbers)
        if numbers is None:
            say("no text is left undecided")
        elif len(numbers) == 1:
            say(f"undecided below a confidence of {numbers[0]}")
        else:
            say("undecided between {} and {}".format(*numbers))

    def _set_top(self, argument: str) -> None:
        if not argument:
            self.answers.top_k = None
            say("only the predicted label is shown")
        elif argument.lower() == "all":
            self.answers.top_k = ALL_LABELS
            say("all labels are shown")
        elif argument.isdecimal() and int(argument) > 0:
            self.answers.top_k = int(argument)
            say(f"labels shown, the most probable first: {self.answers.top_k}")
        else:
            raise UsageError

    def _toggle_explain(self, argument: str) -> None:
        _expect_no_argument(argument)
        self.answers.explain = not self.answers.explain
        say(f"word marking is {'on' if self.answers.explain else 'off'}")

    def _toggle_windows(self, argument: str) -> None:
        _expect_no_argument(argument)
        self.answers.explain_windows = not self.answers.explain_windows
        say(f"listing of windows is {'on' if self.answers.explain_windows else 'off'}")

    def _toggle_json(self, argument: str) -> None:
        _expect_no_argument(argument)
        self.answers.as_json = not self.answers.as_json
        say(f"predictions are printed as {'JSON' if self.answers.as_json else 'text'}")

    def _open_model(self, model: str) -> None:
        if not model:
            raise UsageError
        try:
            predictor = self.load(model)
        except ModuleNotFoundError as error:
            raise InputError(f"{model} needs {error.name}, which is not installed") from None
        for name, setting in self._settings.items():
            try:
                setattr(predictor, name, setting.value)
            except InputError as error:  # it suits another kind of labels, or a model that reads more tokens
                say(f"note: {setting.source} is not applied: {error}")
        if self.answers.explain_label not in (None, *predictor.labels.names):
            say(f"note: {model} has no label {self.answers.explain_label!r} to explain")
            self.answers.explain_label = None
        self.answers.predictor = predictor
        say(f"using {model}")

    def _show_help(self, argument: str) -> None:
        _expect_no_argument(argument)
        rows = [("TEXT", "classify a text; lines pasted together are one text")]
        rows += [(f"{name} {command.usage}".strip(), command.help) for name, command in self._commands.items()]
        exit_word, *others = self.exit_words
        rows.append((exit_word, f"leave; also {', '.join(others)}, Ctrl-D or Ctrl-C"))
        width = max(len(usage) for usage, _ in rows)
        say("\n".join(f"  {usage:{width}}  {help}" for usage, help in rows), keep="\n")


def _enable_line_editing() -> None:
    """Turn on line editing, history and the marking of pastes, where the platform has them."""
    with contextlib.suppress(ImportError):
        import readline

        if os.environ.get("TERM") != "dumb":  # such a terminal does not mark pastes
            # Python turns it off, and then each pasted line would be a text of its own.
            readline.parse_and_bind("set enable-bracketed-paste on")


def _numbers(argument: str, *counts: int) -> tuple[float, ...]:
    """Return the numbers of an argument; there must be as many as one of `counts`."""
    try:
        numbers = tuple(map(float, argument.split()))
    except ValueError:
        raise UsageError from None
    if len(numbers) not in counts:
        raise UsageError
    return numbers


def _expect_no_argument(argument: str) -> None:
    if argument:
        raise UsageError


def _is_input_waiting(seconds: float) -> bool:
    """Return whether there is input to read, now or within that time."""
    try:
        return bool(select.select([sys.stdin], [], [], seconds)[0])
    except OSError:  # on Windows `select` works on sockets only
        return False
