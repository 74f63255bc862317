"""Exit statuses, and what a user sees of an error."""

import argparse
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from system.command_line import HelpFormatter, Parser, add_option, add_options, exits_with_status, option, parse_plan
from system.errors import InputError, first_line

ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """
import sys
from system.command_line import exits_with_status
from system.errors import InputError

@exits_with_status
def main(argv=None):
    {body}

sys.exit(main())
"""


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3)])
def test_status_is_what_main_returned(returned, status):
    assert exits_with_status(lambda argv: returned)([]) == status


def test_arguments_reach_main():
    seen = []
    exits_with_status(seen.append)(["--help"])
    assert seen == [["--help"]]


def test_input_error_is_one_line_and_status_1(capsys):
    @exits_with_status
    def main(argv=None):
        raise InputError("reviews.csv, row 17: no label")

    assert main() == 1
    output = capsys.readouterr()
    assert output.err == "error: reviews.csv, row 17: no label\n"
    assert output.out == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "runs/cache"), ["Permission denied", "runs/cache"]),
        (ModuleNotFoundError("No module named 'jax'", name="jax"), ["jax is not installed", "KERAS_BACKEND"]),
    ],
)
def test_what_the_machine_lacks_is_one_line_and_status_1(capsys, error, words):
    @exits_with_status
    def main(argv=None):
        raise error

    assert main() == 1
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert all(word in line for word in words)


def test_a_terminal_without_chinese_shows_escapes():
    script = SCRIPT.format(body="print('正面')")
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, encoding="latin-1"
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "\\u6b63\\u9762\n", "")


def test_interrupt_is_status_130(capsys):
    @exits_with_status
    def main(argv=None):
        raise KeyboardInterrupt

    assert main() == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_wrong_arguments_keep_argparse_status():
    @exits_with_status
    def main(argv=None):
        raise SystemExit(2)

    with pytest.raises(SystemExit, match="2"):
        main()


def test_errors_of_our_own_keep_their_traceback():
    @exits_with_status
    def main(argv=None):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize("body", ["print('short')", "for number in range(10**6): print(number)"])
def test_reader_that_goes_away_ends_the_script_quietly(body):
    # Unbuffered output would meet the closed pipe early and hide what the last flush does.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    with open(writing_end, "wb") as closed_pipe:
        script = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(body=body)],
            cwd=ROOT,
            env=environment,
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert script.stderr == ""
    assert script.returncode == 0


class TestHelp:
    def widest_line(self):
        parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
        parser.add_argument("--option", default=3, help="word " * 60)
        text = parser.format_help()
        assert "(default: 3)" in " ".join(text.split())
        return max(map(len, text.splitlines()))

    def test_no_value_is_no_default_to_show(self):
        parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
        parser.add_argument("--file", help="a file")
        parser.add_argument("--names", nargs="+", default=[], help="names")
        parser.add_argument("--loud", action="store_true", help="speak up")
        assert "default" not in parser.format_help()

    @pytest.mark.parametrize("columns", [50, 120])
    def test_is_as_wide_as_the_terminal(self, monkeypatch, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert columns - 12 < self.widest_line() < columns

    @pytest.mark.parametrize("columns", ["0", "", "wide"])
    def test_without_a_terminal(self, monkeypatch, columns):
        def no_terminal():
            raise OSError

        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr("os.get_terminal_size", no_terminal)
        assert 68 < self.widest_line() < 80


class TestParser:
    def parser(self):
        parser = Parser(prog="script")
        for name in ("--report-folder", "--epochs", "--max-steps", "--max-documents"):
            parser.add_argument(name)
        return parser

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            (["--report", "r.html"], "unknown option --report; did you mean --report-folder?"),
            (["--report=r.html"], "unknown option --report; did you mean --report-folder?"),
            (["--epoch", "3"], "unknown option --epoch; did you mean --epochs?"),
            (["--epochs", "3", "--eposch=3"], "unknown option --eposch; did you mean --epochs?"),
            (["--max-document", "3"], "unknown option --max-document; did you mean --max-documents?"),
            (["--quite-another-thing"], "unknown option --quite-another-thing"),
            (["stray"], "unknown argument stray"),
        ],
    )
    def test_an_unknown_option(self, capsys, typed, message):
        with pytest.raises(SystemExit, match="2"):
            self.parser().parse_args(typed)
        usage, *_, error = capsys.readouterr().err.splitlines()
        assert usage.startswith("usage: script ")
        assert error == f"script: error: {message}"

    def test_an_exact_name(self):
        assert self.parser().parse_args(["--report-folder", "a"]).report_folder == "a"

    def test_a_value_that_looks_like_an_option(self):
        assert self.parser().parse_args(["--epochs=--report"]).epochs == "--report"


@dataclasses.dataclass(frozen=True)
class Plan:
    steps: int = option(group="time", type=int, help="steps")
    texts: list[str] = option([], group="data", nargs="+", help="texts, 100% of them", unset="no text")
    rate: float = option(1 / 3, group="time", type=float, help="rate")
    loud_voice: bool = option(False, group="data", help="speak up")

    def check(self, typed):
        if self.loud_voice and "rate" not in typed:
            raise InputError("--loud-voice needs --rate")


class TestPlan:
    def parse(self, argv, defaults=None, **settings):
        defaults = defaults or Plan(steps=7)
        parser = Parser(prog="script")
        add_options(parser, defaults, **settings)
        return parse_plan(parser, defaults, argv)

    def test_nothing_typed_is_the_plan_handed_over(self):
        defaults = Plan(steps=7, texts=["a"])
        assert self.parse([], defaults) == (defaults, {})

    def test_what_is_typed(self):
        plan, typed = self.parse(["--texts", "a", "b", "--rate", "0.5", "--loud-voice"])
        assert plan == Plan(steps=7, texts=["a", "b"], rate=0.5, loud_voice=True)
        assert typed == {"texts": ["a", "b"], "rate": 0.5, "loud_voice": True}

    def test_a_default_that_is_typed_was_typed(self):
        assert self.parse(["--steps", "7"]) == (Plan(steps=7), {"steps": 7})

    def test_two_plans_share_no_list(self):
        assert Plan(steps=1).texts is not Plan(steps=1).texts

    def test_a_field_without_a_default(self):
        with pytest.raises(TypeError, match="steps"):
            Plan()

    def test_values_that_contradict(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            self.parse(["--loud-voice"])
        assert capsys.readouterr().err.splitlines()[-1] == "script: error: --loud-voice needs --rate"

    def test_help(self, monkeypatch, capsys):
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit, match="0"):
            self.parse(["--help"])
        time, data = capsys.readouterr().out.split("time:")[1].split("data:")
        shown = [line.split("  ")[-1].strip() for line in time.strip().splitlines()]
        assert shown == ["steps (default: 7)", "rate (default: 0.3333)"]
        assert "texts, 100% of them (default: no text)" in data and "speak up (default: off)" in data

    def test_some_of_the_options(self):
        assert self.parse(["--steps", "3"], only=("steps",))[0].steps == 3
        with pytest.raises(SystemExit, match="2"):
            self.parse(["--rate", "0.5"], only=("steps",))

    def test_an_option_without_a_default(self):
        parser = Parser()
        add_option(parser, "window_size", type=int, help="size")
        assert vars(parser.parse_args([])) == {} and "default" not in parser.format_help()
        assert vars(parser.parse_args(["--window-size", "3"])) == {"window_size": 3}


def test_first_line_of_an_error():
    assert first_line(ValueError("\nfirst\nsecond")) == "first"
    assert first_line(ValueError()) == "ValueError"
