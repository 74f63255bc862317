"""The real script on files, as a process of its own: killed, interrupted, resumed, its output cut off."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

from serving.scoring.source import BLOCK_ROWS

ROOT = Path(__file__).resolve().parents[1]
ROWS, PARQUET_ROWS = 100_000, 40_000
WORDS = ["房间很干净", "隔音太差", "早餐一般", "还行", "", '他说"好"', "前台也热情，", "一晚上没睡着。"]


def write_source(path, count):
    draw = random.Random(0)
    lines = (f"{number},{''.join(draw.choices(WORDS, k=2))}".replace('"', "'") for number in range(count))
    path.write_text("number,text\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source") / "reviews.csv", ROWS)


@pytest.fixture
def start(tiny_model, environment, tmp_path):
    """Starts the script; what of it still runs at the end of a test is killed."""
    started = []

    def start(*arguments, model=tiny_model, **options):
        command = [sys.executable, str(ROOT / "application.py"), "--model", str(model), "--threshold", "0.5"]
        # Whoever started the tests in the background has made them, and all their children, deaf to Ctrl-C.
        options = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "env": environment} | options
        error = open(tmp_path / f"errors {len(started)}", "w+", encoding="utf-8")  # noqa: SIM115
        process = subprocess.Popen([*command, *map(str, arguments)], stderr=error, **options)
        process.errors = lambda: Path(error.name).read_text(encoding="utf-8")
        started.append((process, error))
        return process

    yield start
    for process, error in started:
        process.kill()
        process.wait()
        error.close()


def finish(process):
    status = process.wait()
    assert "Traceback" not in process.errors()
    return status, process.errors()


def parts(output):
    return len(list(Path(f"{output}.parts").glob("????????.part")))


def wait_for_parts(process, output, count):
    while parts(output) < count:
        assert process.poll() is None, process.errors()
        time.sleep(0.005)


def kill_at_random_moments(start, arguments, output, number_of_kills):
    """Kills runs that go on with each other; returns the status of the one that is left alone."""
    draw = random.Random()
    for number in range(number_of_kills):
        done = parts(output)
        process = start(*arguments, "--resume")
        if number % 3 == 2:  # perhaps before it has begun
            end = time.monotonic() + draw.uniform(0, 1.5)
            while time.monotonic() < end and parts(output) < done + 2:
                time.sleep(0.005)
        else:
            wait_for_parts(process, output, done + draw.randint(1, 2))
            time.sleep(draw.uniform(0, 0.05))
        assert process.poll() is None, process.errors()
        process.kill()
        process.wait()
        assert not output.exists()
    done = parts(output)
    status, errors = finish(start(*arguments, "--resume"))
    assert done >= number_of_kills // 2
    assert f"{done * BLOCK_ROWS:,} scored before" in errors
    return status


class TestKilled:
    def test_csv(self, start, source, tmp_path):
        whole, output = tmp_path / "whole.csv", tmp_path / "out.csv"
        assert finish(start("--file", source, "--output", whole))[0] == 0
        assert kill_at_random_moments(start, ("--file", source, "--output", output), output, 10) == 0
        assert output.read_bytes() == whole.read_bytes()
        assert output.read_bytes().count(b"\n") == ROWS + 1
        assert sorted(path.name for path in tmp_path.iterdir() if path.name[:6] != "errors") == ["out.csv", "whole.csv"]

    def test_parquet(self, start, tmp_path):
        source = write_source(tmp_path / "reviews.csv", PARQUET_ROWS)
        whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
        assert finish(start("--file", source, "--output", whole))[0] == 0
        assert kill_at_random_moments(start, ("--file", source, "--output", output), output, 3) == 0
        tables = [pyarrow.parquet.read_table(path) for path in (whole, output)]
        assert tables[0].equals(tables[1])
        assert tables[0].num_rows == PARQUET_ROWS

    @pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGINT")
    def test_interrupted(self, start, source, tmp_path):
        output = tmp_path / "out.csv"
        arguments = ("--file", source, "--output", output)
        process = start(*arguments)
        wait_for_parts(process, output, 1)
        process.send_signal(signal.SIGINT)
        status, errors = finish(process)
        assert status == 130
        assert "--resume goes on with it" in errors
        assert not output.exists() and parts(output)
        for changed, word in [
            (("--threshold", "0.6"), "threshold"),
            (("--batch-size", "3"), "batch_size"),
            (("--text-column", "number"), "text column"),
            (("--max-windows", "1"), "max_windows"),
        ]:
            status, errors = finish(start(*arguments, "--resume", *changed))
            assert status == 1
            assert f"was left by a run with another {word}: go on with the same" in errors
        left = parts(output)
        status, errors = finish(start("--file", write_source(tmp_path / "a.csv", 9), *arguments[2:], "--resume"))
        assert (status, parts(output)) == (1, left)
        assert "another source" in errors


class TestStreams:
    def test_from_input_to_output(self, start, tmp_path):
        process = start(
            "--file", "-", "--format", "csv", "--output", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        output, _ = process.communicate("id,text\n1,房间很干净\n2,\n".encode())
        lines = output.decode("utf-8").splitlines()
        assert lines[0] == "id,text,label,probability,confidence,problem"
        assert lines[1].startswith("1,房间很干净,") and lines[2] == "2,,,,,row 3: the text is empty"
        assert finish(process)[0] == 0

    def test_a_reader_that_goes_away(self, start, source):
        with open(source, "rb") as file:
            process = start("--file", "-", "--output", "-", stdin=file, stdout=subprocess.PIPE)
            assert process.stdout.readline()
            process.stdout.close()
            status, errors = finish(process)
        assert status == 0
        assert "BrokenPipe" not in errors and "rror" not in errors

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
    def test_a_full_disk(self, start, source):
        with open("/dev/full", "wb") as full:
            status, errors = finish(start("--file", source, "--output", "-", stdout=full))
        assert status == 1
        assert "No space left" in errors


class TestTwoRunsWithOneOutput:
    def test_the_second_is_refused_and_the_first_is_whole(self, start, source, tmp_path):
        output = tmp_path / "out.csv"
        # It owns the output while it waits for the end of its standard input.
        first = start("--file", "-", "--format", "csv", "--output", output, stdin=subprocess.PIPE)
        while not (tmp_path / ".out.csv.lock").exists():
            assert first.poll() is None, first.errors()
            time.sleep(0.005)
        for options in ((), ("--resume",)):
            status, errors = finish(start("--file", source, "--output", output, *options))
            assert status == 1
            assert f"{output} is being written by another run: wait until it has ended, or give --output" in errors
        first.communicate("text\n房间很干净\n隔音太差\n".encode())
        assert first.returncode == 0
        assert output.read_text(encoding="utf-8").count("\n") == 3
        assert {entry.name for entry in tmp_path.iterdir() if "errors" not in entry.name} == {"out.csv"}

    def test_a_killed_run_does_not_lock_its_output(self, start, source, tmp_path):
        output = tmp_path / "out.csv"
        first = start("--file", source, "--output", output)
        wait_for_parts(first, output, 2)
        first.kill()
        first.wait()
        assert (tmp_path / ".out.csv.lock").exists()
        status, errors = finish(start("--file", source, "--output", output, "--resume"))
        assert (status, "scored before" in errors) == (0, True)
        assert {entry.name for entry in tmp_path.iterdir() if "errors" not in entry.name} == {"out.csv"}


class TestStatus:
    @pytest.mark.parametrize(
        ("arguments", "expected", "words"),
        [
            (("--file", "missing.csv"), 1, "there is no file missing.csv"),
            (("--file", "in.csv", "--text-column", "b"), 1, "no column 'b'"),
            (("--file", "in.csv", "--strict", "--output", "out.csv"), 1, "row 3: the line is empty"),
            (("--file", "in.csv", "--resume"), 1, "--output"),
            (("--file", "in.csv", "--format", "xlsx"), 2, "invalid choice"),
            (("--text", "好", "--output", "out.csv"), 2, "needs --file"),
            (("--file", "in.csv", "--text", "好"), 2, "not allowed"),
            (("--file", "in.csv", "--batch-size", "0"), 2, "--batch-size"),
            (("--file", "in.csv", "--output", "out.csv"), 0, "saved to out.csv"),
        ],
    )
    def test_of_the_script(self, start, tmp_path, arguments, expected, words):
        (tmp_path / "in.csv").write_text("text,n\n好,1\n\n好,2\n", encoding="utf-8")
        status, errors = finish(start(*arguments, cwd=tmp_path, stdout=subprocess.DEVNULL))
        assert status == expected
        assert words in errors
        assert (tmp_path / "out.csv").exists() is (expected == 0)


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell a process's memory")
def test_memory_does_not_grow_with_the_file(start, tmp_path):
    peaks = []
    for count in (20_000, 200_000):
        source = write_source(tmp_path / f"{count}.csv", count)
        process = start("--file", source, "--output", tmp_path / f"{count}.jsonl")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.1 * peaks[0]
