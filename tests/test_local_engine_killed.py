"""Score files in processes that are killed, interrupted, resumed, or lose their output."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest
from application_process import accept_interrupts
from application_process import application as application_command

import application
from serving.scoring.source import BLOCK_ROWS

ROWS, MANY_ROWS, PARQUET_ROWS = 7 * BLOCK_ROWS, 100_000, 40_000
WORDS = ["房间很干净", "隔音太差", "早餐一般", "还行", "", '他说"好"', "前台也热情，", "一晚上没睡着。"]


def write_source(path, count):
    draw = random.Random(0)
    lines = (f"{number},{''.join(draw.choices(WORDS, k=2))}".replace('"', "'") for number in range(count))
    path.write_text("number,text\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source") / "reviews.csv", ROWS)


class Run:
    """A process of the application, whose standard error goes to a file."""

    def __init__(self, model, environment, errors, arguments, options):
        self._errors = errors
        command = application_command(model, "--threshold", "0.5", *arguments)
        with open(errors, "wb") as file:
            self.process = subprocess.Popen(
                command, stderr=file, env=environment, preexec_fn=accept_interrupts, **options
            )

    def errors(self):
        return self._errors.read_text(encoding="utf-8")

    def finish(self):
        """Wait for the end; return the exit status and what was written to standard error."""
        status = self.process.wait()
        assert "Traceback" not in self.errors()
        return status, self.errors()

    def wait_until(self, condition):
        while not condition():
            assert self.process.poll() is None, self.errors()
            time.sleep(0.005)

    def wait_for_parts(self, output, count):
        self.wait_until(lambda: num_parts(output) >= count)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Launcher:
    """Starts runs, and ends those that are still running."""

    def __init__(self, model, environment, folder):
        self._model, self._environment, self._folder = model, environment, folder
        self._runs = []

    def __call__(self, *arguments, **options):
        errors = self._folder / f"errors {len(self._runs)}"
        self._runs.append(Run(self._model, self._environment, errors, arguments, options))
        return self._runs[-1]

    def close(self):
        for run in self._runs:
            run.kill()


@pytest.fixture(scope="module")
def start(tiny_model, environment, tmp_path_factory):
    launcher = Launcher(tiny_model, environment, tmp_path_factory.mktemp("errors"))
    yield launcher
    launcher.close()


@pytest.fixture
def score_here(tiny_model, capsys):
    """Return the function that runs the application in this process, and returns its status and standard error."""

    def run(*arguments):
        capsys.readouterr()
        status = application.main(["--model", str(tiny_model), "--threshold", "0.5", *map(str, arguments)])
        return status, capsys.readouterr().err

    return run


def num_parts(output):
    return len(list(Path(f"{output}.parts").glob("????????.part")))


def kill_at_random_moments(start, arguments, output, number_of_kills):
    """Kill runs that resume each other; return the status of the last one, which is not killed."""
    draw = random.Random()
    for number in range(number_of_kills):
        done = num_parts(output)
        run = start(*arguments, "--resume")
        if number % 3 == 2:  # perhaps before it has begun
            end = time.monotonic() + draw.uniform(0, 1.5)
            while time.monotonic() < end and num_parts(output) < done + 2:
                time.sleep(0.005)
        else:
            run.wait_for_parts(output, done + draw.randint(1, 2))
            time.sleep(draw.uniform(0, 0.05))
        assert run.process.poll() is None, run.errors()
        run.kill()
        assert not output.exists()
    done = num_parts(output)
    status, errors = start(*arguments, "--resume").finish()
    assert done >= number_of_kills // 2
    assert f"{done * BLOCK_ROWS:,} scored before" in errors
    return status


class TestKilled:
    @pytest.mark.slow
    @pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
    def test_after_any_other_signal_a_run_can_be_resumed(self, start, source, score_here, tmp_path, name):
        whole, output = tmp_path / "whole.csv", tmp_path / "out.csv"
        score_here("--file", source, "--output", whole)
        run = start("--file", source, "--output", output)
        run.wait_for_parts(output, 2)
        run.process.send_signal(getattr(signal, name))
        status, errors = run.finish()
        if name != "SIGQUIT":  # which ends a process at once
            assert status == 128 + getattr(signal, name)
            assert errors.endswith(f"run the same command with --resume to continue\nended by {name}\n")
        assert score_here("--file", source, "--output", output, "--resume")[0] == 0
        assert output.read_bytes() == whole.read_bytes()
        assert sorted(os.listdir(tmp_path)) == ["out.csv", "whole.csv"]

    def test_a_killed_run_can_be_resumed(self, start, source, score_here, tmp_path):
        whole, output = tmp_path / "whole.csv", tmp_path / "out.csv"
        _, whole_summary = score_here("--file", source, "--output", whole)
        run = start("--file", source, "--output", output)
        run.wait_for_parts(output, 2)
        run.kill()
        assert not output.exists()
        assert (tmp_path / ".out.csv.lock").exists()  # the lock ended with the process
        status, summary = score_here("--file", source, "--output", output, "--resume")
        assert status == 0
        assert output.read_bytes() == whole.read_bytes()
        assert output.read_bytes().count(b"\n") == ROWS + 1
        assert sorted(os.listdir(tmp_path)) == ["out.csv", "whole.csv"]
        # Both summaries count all rows.
        before, counts = summary.splitlines()[-1].split("),", 1)
        assert before.startswith(f"{ROWS:,} rows (") and before.endswith(" scored before")
        assert counts.split(";")[0] == whole_summary.splitlines()[-1].split(";")[0].split("rows,")[1]

    @pytest.mark.slow
    def test_csv_runs_that_are_killed_five_times(self, start, tmp_path):
        source = write_source(tmp_path / "reviews.csv", MANY_ROWS)
        whole, output = tmp_path / "whole.csv", tmp_path / "out.csv"
        assert start("--file", source, "--output", whole).finish()[0] == 0
        assert kill_at_random_moments(start, ("--file", source, "--output", output), output, 5) == 0
        assert output.read_bytes() == whole.read_bytes()
        assert output.read_bytes().count(b"\n") == MANY_ROWS + 1
        assert sorted(os.listdir(tmp_path)) == ["out.csv", "reviews.csv", "whole.csv"]

    @pytest.mark.slow
    def test_parquet_runs_that_are_killed_twice(self, start, tmp_path):
        source = write_source(tmp_path / "reviews.csv", PARQUET_ROWS)
        whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
        assert start("--file", source, "--output", whole).finish()[0] == 0
        assert kill_at_random_moments(start, ("--file", source, "--output", output), output, 2) == 0
        tables = [pyarrow.parquet.read_table(path) for path in (whole, output)]
        assert tables[0].equals(tables[1])
        assert tables[0].num_rows == PARQUET_ROWS


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("interrupted") / "out.csv"


@pytest.fixture(scope="module")
def interrupted(start, source, output):
    """The exit status and the messages of a run that was interrupted after its first part."""
    run = start("--file", source, "--output", output)
    run.wait_for_parts(output, 1)
    run.process.send_signal(signal.SIGINT)
    return run.finish()


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGINT")
class TestInterrupted:
    def test_it_keeps_its_rows_and_says_how_to_continue(self, interrupted, output):
        status, errors = interrupted
        assert status == 130
        assert "run the same command with --resume to continue" in errors
        assert not output.exists() and num_parts(output)

    @pytest.mark.parametrize(
        ("changed", "word"),
        [
            (("--threshold", "0.6"), "threshold"),
            (("--batch-size", "3"), "batch_size"),
            (("--text-column", "number"), "text column"),
            (("--max-windows", "1"), "max_windows"),
            (("--all-probabilities",), "--all-probabilities"),
        ],
    )
    def test_it_is_not_resumed_with_other_settings(self, interrupted, score_here, source, output, changed, word):
        status, errors = score_here("--file", source, "--output", output, "--resume", *changed)
        assert status == 1
        assert f"holds a run with a different {word}; use the same settings" in errors

    def test_it_is_not_resumed_with_another_source(self, interrupted, score_here, output, tmp_path):
        left = num_parts(output)
        other = write_source(tmp_path / "other.csv", 9)
        status, errors = score_here("--file", other, "--output", output, "--resume")
        assert (status, num_parts(output)) == (1, left)
        assert "a different source" in errors


class TestStreams:
    def test_from_input_to_output(self, start):
        arguments = ("--file", "-", "--format", "csv", "--output", "-")
        run = start(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        output, _ = run.process.communicate("id,text\n1,房间很干净\n2,\n".encode())
        lines = output.decode("utf-8").splitlines()
        assert lines[0] == "id,text,label,probability,confidence,problem"
        assert lines[1].startswith("1,房间很干净,") and lines[2] == "2,,,,,row 3: the text is empty"
        assert run.finish()[0] == 0

    def test_a_reader_that_goes_away(self, start, source):
        with open(source, "rb") as file:
            run = start("--file", "-", "--output", "-", stdin=file, stdout=subprocess.PIPE)
        assert run.process.stdout.readline()
        run.process.stdout.close()
        status, errors = run.finish()
        assert status == 0
        assert "BrokenPipe" not in errors and "rror" not in errors

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
    def test_a_full_disk(self, start, source):
        with open("/dev/full", "wb") as full:
            status, errors = start("--file", source, "--output", "-", stdout=full).finish()
        assert status == 1
        assert "No space left" in errors


def test_a_second_run_with_the_same_output_is_refused_and_the_first_is_whole(start, source, score_here, tmp_path):
    output = tmp_path / "out.csv"
    # It owns the output while it waits for the end of its standard input.
    first = start("--file", "-", "--format", "csv", "--output", output, stdin=subprocess.PIPE)
    first.wait_until((tmp_path / ".out.csv.lock").exists)
    for options in ((), ("--resume",)):
        status, errors = score_here("--file", source, "--output", output, *options)
        assert status == 1
        assert f"{output} is being written by another run: wait for it to finish, or give --output" in errors
    first.process.communicate("text\n房间很干净\n隔音太差\n".encode())
    assert first.process.returncode == 0
    assert output.read_text(encoding="utf-8").count("\n") == 3
    assert os.listdir(tmp_path) == ["out.csv"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell a process's memory")
def test_memory_does_not_grow_with_the_file(start, tmp_path):
    peaks = []
    for count in (20_000, 200_000):
        source = write_source(tmp_path / f"{count}.csv", count)
        run = start("--file", source, "--output", tmp_path / f"{count}.jsonl")
        _, status, usage = os.wait4(run.process.pid, 0)
        run.process.returncode = os.waitstatus_to_exitcode(status)
        assert run.process.returncode == 0
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.1 * peaks[0]
