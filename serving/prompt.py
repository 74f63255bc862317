"""The prompt: reviews are typed, pasted or piped in, and commands begin with a slash."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable
from typing import NamedTuple

from serving.answers import Answers
from serving.predictor import Predictor
from system.errors import InputError

PASTE_SECONDS = 0.05  # lines that come faster than this were not typed


class Misuse(Exception):
    """A command was given what it does not take."""


class Command(NamedTuple):
    """What may be typed instead of a review; `obey` gets what follows the name, "" where nothing does."""

    takes: str
    does: str
    obey: Callable[[str], None]


class Prompt:
    """Asks for reviews and judges them.

    Answers go to standard output, all else to standard error.

    Args:
        answers: what answers.
        load: returns the predictor of another model's path.
        exit_word: what ends the conversation.
    """

    def __init__(self, answers: Answers, load: Callable[[str], Predictor], exit_word: str = "exit"):
        self.answers = answers
        self.load = load
        self.exit_word = exit_word
        self._is_typed = sys.stdin is not None and sys.stdin.isatty()
        self._settings = {}  # what was set here, which another model keeps
        self._commands = {
            "/threshold": Command("P|auto", "lowest probability of a positive verdict", self._set_threshold),
            "/abstain": Command("[LOW HIGH]", "leave those between the two undecided, or none", self._set_abstain),
            "/explain": Command("", "mark the words that pushed the verdict, or stop that", self._toggle_explain),
            "/json": Command("", "answer with JSON, or with text again", self._toggle_json),
            "/model": Command("PATH", "ask another model", self._open_model),
            "/help": Command("", "show this", self._show_help),
        }

    def run(self) -> int:
        """Goes on until the exit word, the end of the input or Ctrl-C; returns the exit status, 0."""
        if sys.stdin is None:  # the process was started with it closed
            return 0
        if hasattr(sys.stdin, "reconfigure"):  # one undecodable line is no reason to lose the others
            sys.stdin.reconfigure(errors="surrogateescape")
        if self._is_typed:
            with contextlib.suppress(ImportError):  # line editing and history, where the platform has them
                import readline

                if os.environ.get("TERM") != "dumb":  # which cannot say what is pasted
                    # Python turns it off, and then each line of what is pasted ends a review.
                    readline.parse_and_bind("set enable-bracketed-paste on")
        _say(f"Type a review and press Enter; /help shows more, {self.exit_word} ends.")
        try:
            while True:
                text = self._read()
                if self._is_exit(text):
                    return 0
                if text.strip() or not self._is_typed:
                    self._respond(text)
        except (EOFError, KeyboardInterrupt):
            if self._is_typed:
                _say("")  # the shell's own prompt begins a line
            return 0

    def _read(self) -> str:
        """Returns the next line, or all lines of what was pasted.

        Raises:
            EOFError: there are no more.
        """
        if not self._is_typed:
            return input()
        # Lines that wait already were typed while the last answer was made: each is a review of its own.
        is_typed_ahead = _more_is_waiting(0)
        if sys.stdout.isatty():
            lines = [input("> ")]
        else:
            # `input` writes its question to standard output, where only answers belong.
            print("> ", end="", file=sys.stderr, flush=True)
            lines = [input()]
        # Where the terminal does not say what is pasted, its speed does; commands stand alone.
        stands_alone = is_typed_ahead or self._is_exit(lines[0]) or self._command(lines[0])[0]
        while not stands_alone and _more_is_waiting(PASTE_SECONDS):
            try:
                lines.append(input())
            except EOFError:
                break
        return "\n".join(lines).strip("\n")

    def _respond(self, text: str) -> None:
        try:
            if text.lstrip().startswith("/") and "\n" not in text:
                self._obey(text)
            else:
                self.answers.give([text])
        except InputError as error:
            _say(f"error: {error}")

    def _is_exit(self, text: str) -> bool:
        return text.strip().lower().removeprefix("/") == self.exit_word

    def _command(self, line: str) -> tuple[Command | None, str, str]:
        """Returns the command, None where there is none of its name, the name, and what follows."""
        name, argument = (*line.split(maxsplit=1), "", "")[:2]
        return self._commands.get(name.lower()), name, argument.strip()

    def _obey(self, line: str) -> None:
        command, name, argument = self._command(line)
        if command is None:
            raise InputError(f"there is no command {name}; /help shows those that there are")
        try:
            command.obey(argument)
        except Misuse:
            takes = f"takes {command.takes}" if command.takes else "takes nothing"
            raise InputError(f"{name} {takes}, not {argument!r}" if argument else f"{name} {takes}") from None

    def _set(self, name: str, value) -> None:
        setattr(self.answers.predictor, name, value)
        self._settings[name] = value

    def _set_threshold(self, argument: str) -> None:
        self._set("threshold", "auto" if argument.lower() == "auto" else _numbers(argument, 1)[0])
        _say(f"positive from a probability of {self.answers.predictor.threshold} on")

    def _set_abstain(self, argument: str) -> None:
        self._set("abstain", _numbers(argument, 2) if argument else None)
        _say("undecided between {} and {}".format(*self.answers.predictor.abstain) if argument else "none is undecided")

    def _toggle_explain(self, argument: str) -> None:
        _refuse(argument)
        self.answers.explain = not self.answers.explain
        _say(f"words are marked {'from now on' if self.answers.explain else 'no longer'}")

    def _toggle_json(self, argument: str) -> None:
        _refuse(argument)
        self.answers.as_json = not self.answers.as_json
        _say(f"answers are {'JSON' if self.answers.as_json else 'text'} from now on")

    def _open_model(self, path: str) -> None:
        if not path:
            raise Misuse
        try:
            predictor = self.load(path)
        except ModuleNotFoundError as error:
            raise InputError(f"{error.name} is not installed, and {path} needs it") from None
        for name, value in self._settings.items():
            setattr(predictor, name, value)
        self.answers.predictor = predictor
        _say(f"{path} answers from now on")

    def _show_help(self, argument: str) -> None:
        _refuse(argument)
        rows = [("REVIEW", "judge a review; several lines pasted at once are one")]
        rows += [(f"{name} {command.takes}".strip(), command.does) for name, command in self._commands.items()]
        rows.append((self.exit_word, "end; so do Ctrl-D and Ctrl-C"))
        width = max(len(usage) for usage, _ in rows)
        _say("\n".join(f"  {usage:{width}}  {does}" for usage, does in rows))


def _numbers(argument: str, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, argument.split()))
    except ValueError:
        raise Misuse from None
    if len(numbers) != count:
        raise Misuse
    return numbers


def _refuse(argument: str) -> None:
    if argument:
        raise Misuse


def _more_is_waiting(seconds: float) -> bool:
    """Return whether there is something to read, or comes within that time."""
    try:
        return bool(select.select([sys.stdin], [], [], seconds)[0])
    except OSError:  # Windows asks sockets only
        return False


def _say(text: str) -> None:
    print(text, file=sys.stderr)
