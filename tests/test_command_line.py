"""The command line: exit statuses, what a user sees of an error, and options made of dataclass fields."""

import argparse
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from system.command_line import (
    HelpFormatter,
    Parser,
    add_option,
    add_options,
    count,
    exits_with_status,
    fraction,
    option,
    or_word,
    parse_plan,
    positive_float,
    positive_int,
    probability,
    seed,
)
from system.errors import InputError
from system.files import replace_atomically

PRINT_LINES = Path(__file__).resolve().parent / "programs" / "print_lines.py"


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3)])
def test_the_status_is_what_main_returned(returned, status):
    @exits_with_status
    def main(argv=None):
        return returned

    assert main([]) == status


def test_the_arguments_reach_main():
    seen = []
    exits_with_status(seen.append)(["--help"])
    assert seen == [["--help"]]


def test_an_input_error_is_one_line_and_status_1(capsys):
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
def test_a_missing_module_or_permission_is_one_line_and_status_1(capsys, error, words):
    @exits_with_status
    def main(argv=None):
        raise error

    assert main() == 1
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert all(word in line for word in words)


def test_a_terminal_without_chinese_shows_escapes():
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "1"}
    command = [sys.executable, PRINT_LINES, "正面", "1"]
    process = subprocess.run(command, env=environment, capture_output=True, encoding="latin-1")
    assert (process.returncode, process.stdout, process.stderr) == (0, "\\u6b63\\u9762\n", "")


def test_an_error_cannot_control_the_terminal(capsys):
    @exits_with_status
    def main(argv=None):
        raise InputError("a\x1b[2J\nerror: \u202eb")

    assert main() == 1
    assert capsys.readouterr().err == "error: a\\u001b[2J\\nerror: \\u202eb\n"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_unless_it_is_ignored(capsys, number, tmp_path):
    @exits_with_status
    def main(argv=None):
        with replace_atomically(tmp_path / "a.txt") as temporary:
            temporary.touch()
            signal.raise_signal(number)

    earlier = signal.signal(number, signal.SIG_DFL)
    try:
        assert main() == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        assert list(tmp_path.iterdir()) == []
        assert main() == 0  # as after nohup
    finally:
        signal.signal(number, earlier)
    assert capsys.readouterr().err == f"ended by {number.name}\n"


def test_an_interrupt_is_status_130(capsys):
    @exits_with_status
    def main(argv=None):
        raise KeyboardInterrupt

    assert main() == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_wrong_arguments_keep_the_status_of_argparse():
    @exits_with_status
    def main(argv=None):
        raise SystemExit(2)

    with pytest.raises(SystemExit, match="2"):
        main()


def test_a_programming_error_keeps_its_traceback():
    @exits_with_status
    def main(argv=None):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize("num_lines", [1, 100_000])
def test_a_reader_that_goes_away_ends_the_script_quietly(num_lines):
    # Unbuffered output would meet the closed pipe early and hide the effect of the last flush.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    with open(writing_end, "wb") as closed_pipe:
        script = subprocess.run(
            [sys.executable, PRINT_LINES, "a line", str(num_lines)],
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

    def test_without_a_default_none_is_shown(self):
        parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
        parser.add_argument("--file", help="a file")
        parser.add_argument("--names", nargs="+", default=[], help="names")
        parser.add_argument("--loud", action="store_true", help="speak up")
        assert "default" not in parser.format_help()

    @pytest.mark.parametrize("columns", [50, 120])
    def test_it_is_as_wide_as_the_terminal(self, monkeypatch, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert columns - 12 < self.widest_line() < columns

    @pytest.mark.parametrize("columns", ["0", "", "wide"])
    def test_it_is_80_columns_wide_without_a_terminal(self, monkeypatch, columns):
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
    def test_an_unknown_option_gets_the_nearest_name(self, capsys, typed, message):
        with pytest.raises(SystemExit, match="2"):
            self.parser().parse_args(typed)
        usage, *_, error = capsys.readouterr().err.splitlines()
        assert usage.startswith("usage: script ")
        assert error == f"script: error: {message}"

    def test_an_exact_name_is_accepted(self):
        assert self.parser().parse_args(["--report-folder", "a"]).report_folder == "a"

    def test_a_value_may_look_like_an_option(self):
        assert self.parser().parse_args(["--epochs=--report"]).epochs == "--report"


@dataclasses.dataclass(frozen=True)
class Plan:
    steps: int = option(group="time", type=int, help="steps")
    texts: list[str] = option([], group="data", nargs="+", help="texts, 100% of them", unset="no text")
    speed: float = option(1 / 3, group="time", type=float, help="speed")
    loud_voice: bool = option(False, group="data", help="speak up")

    def check(self, typed):
        if self.loud_voice and "speed" not in typed:
            raise InputError("--loud-voice needs --speed")


class TestPlan:
    def parse(self, argv, defaults=None, **settings):
        defaults = defaults or Plan(steps=7)
        parser = Parser(prog="script")
        add_options(parser, defaults, **settings)
        return parse_plan(parser, defaults, argv)

    def test_without_options_the_plan_is_the_default_one(self):
        defaults = Plan(steps=7, texts=["a"])
        assert self.parse([], defaults) == (defaults, {})

    def test_the_typed_options_are_returned_apart(self):
        plan, typed = self.parse(["--texts", "a", "b", "--speed", "0.5", "--loud-voice"])
        assert plan == Plan(steps=7, texts=["a", "b"], speed=0.5, loud_voice=True)
        assert typed == {"texts": ["a", "b"], "speed": 0.5, "loud_voice": True}

    def test_a_typed_default_counts_as_typed(self):
        assert self.parse(["--steps", "7"]) == (Plan(steps=7), {"steps": 7})

    def test_two_plans_share_no_list(self):
        assert Plan(steps=1).texts is not Plan(steps=1).texts

    def test_a_field_without_a_default_is_required(self):
        with pytest.raises(TypeError, match="steps"):
            Plan()

    def test_options_that_contradict_each_other_are_refused(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            self.parse(["--loud-voice"])
        assert capsys.readouterr().err.splitlines()[-1] == "script: error: --loud-voice needs --speed"

    def test_the_help_shows_groups_and_defaults(self, monkeypatch, capsys):
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit, match="0"):
            self.parse(["--help"])
        time, data = capsys.readouterr().out.split("time:")[1].split("data:")
        shown = [line.split("  ")[-1].strip() for line in time.strip().splitlines()]
        assert shown == ["steps (default: 7)", "speed (default: 0.3333)"]
        assert "texts, 100% of them (default: no text)" in data and "speak up (default" not in data

    def test_a_parser_may_have_only_some_of_the_options(self):
        assert self.parse(["--steps", "3"], only=("steps",))[0].steps == 3
        with pytest.raises(SystemExit, match="2"):
            self.parse(["--speed", "0.5"], only=("steps",))

    def test_an_option_without_a_default_leaves_no_value(self):
        parser = Parser()
        add_option(parser, "window_size", type=int, help="size")
        assert vars(parser.parse_args([])) == {} and "default" not in parser.format_help()
        assert vars(parser.parse_args(["--window-size", "3"])) == {"window_size": 3}


class TestTypes:
    @pytest.mark.parametrize(
        ("parse", "text", "value"),
        [
            (positive_int, "3", 3),
            (positive_float, "0.5", 0.5),
            (seed, "0", 0),
            (seed, "4294967295", 2**32 - 1),
            (fraction, "0.999", 0.999),
            (count, "0", 0),
            (or_word("all", count, None), "all", None),
            (or_word("all", count, None), "12", 12),
            (probability, "0", 0.0),
            (probability, "1", 1.0),
        ],
    )
    def test_a_value_in_range_is_parsed(self, parse, text, value):
        assert parse(text) == value

    @pytest.mark.parametrize(
        ("parse", "text", "message"),
        [
            (positive_int, "0", "'0' is not a whole number above 0"),
            (positive_int, "1.5", "'1.5' is not a whole number above 0"),
            (positive_float, "inf", "'inf' is not a number above 0"),
            (positive_float, "nan", "'nan' is not a number above 0"),
            (seed, "4294967296", "'4294967296' is not a whole number from 0 to 4294967295"),
            (fraction, "1", "'1' is not a number above 0 and below 1"),
            (count, "-1", "'-1' is not a non-negative whole number"),
            (or_word("auto", probability, "auto"), "2", "'2' is neither a number from 0 to 1 nor auto"),
            (or_word("auto", probability, "auto"), "all", "'all' is neither a number from 0 to 1 nor auto"),
            (probability, "1.01", "'1.01' is not a number from 0 to 1"),
            (probability, "half", "'half' is not a number from 0 to 1"),
        ],
    )
    def test_a_value_out_of_range_is_refused(self, parse, text, message):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            parse(text)
