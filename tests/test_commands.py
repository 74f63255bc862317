"""Exit statuses, and what a user sees of an error."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from system.command_line import HelpFormatter, exits_with_status
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


def test_first_line_of_an_error():
    assert first_line(ValueError("\nfirst\nsecond")) == "first"
    assert first_line(ValueError()) == "ValueError"
