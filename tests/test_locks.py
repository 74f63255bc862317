"""Locks: one owner at a time, in this process and in others, and no lock without a living owner."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from system.errors import InputError, OutputError
from system.locks import owned

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "tests" / "programs"


@pytest.fixture
def other_owner():
    """Start a process that owns a path until its standard input ends or it is killed."""
    started = []

    def start(path):
        process = subprocess.Popen(
            [sys.executable, PROGRAMS / "own_path.py", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"owned\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def refused(path, **options):
    """Return the error of a block that must not become the owner."""
    with pytest.raises(InputError) as refusal, owned(path, **options):
        pytest.fail("the block must not run")
    return str(refusal.value)


def test_another_process_is_refused_until_the_first_has_ended(tmp_path, other_owner):
    path = tmp_path / "scored.csv"
    first = other_owner(path)
    assert refused(path) == f"{path} is being written by another run: wait until it has ended, or choose another path"
    assert os.listdir(tmp_path) == [".scored.csv.lock"]
    first.communicate()
    with owned(path):
        assert refused(path, remedy="do it later").endswith("another run: do it later")
    assert os.listdir(tmp_path) == []


def test_a_killed_process_leaves_no_lock(tmp_path, other_owner):
    path = tmp_path / "run"
    first = other_owner(path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with owned(path):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_no_lock(tmp_path, failure):
    with pytest.raises(failure), owned(tmp_path / "run"):
        raise failure
    assert os.listdir(tmp_path) == []
    with owned(tmp_path / "run"):
        pass


def test_all_names_of_a_file_share_its_lock(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(Path("disk", "run"))
    monkeypatch.chdir(tmp_path)
    with owned("link"):
        assert os.listdir("disk") == [".run.lock"]
        refused("disk/run")
        refused(tmp_path / "disk" / ".." / "disk" / "run")
        with owned("disk/run.csv"):
            pass


def test_another_thread_may_end_the_block(tmp_path):
    lock = owned(tmp_path / "run")
    lock.__enter__()
    thread = threading.Thread(target=lock.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with owned(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write .*lock: .*; choose another path"), owned(tmp_path / "file/run"):
        pytest.fail("the block must not run")


def test_of_many_at_once_one_is_the_owner(tmp_path):
    """Each adds 1 to a number in a file. If there were ever two owners, an addition would be lost."""
    (tmp_path / "count").write_text("0")
    command = [sys.executable, PROGRAMS / "count_up.py", tmp_path / "count", "25"]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0] * 3
    assert (tmp_path / "count").read_text() == "75"
    assert os.listdir(tmp_path) == ["count"]


def test_a_single_prediction_takes_no_lock():
    command = [sys.executable, PROGRAMS / "modules_of_script.py", "application.py", "--text", "很好"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["status"] == 0 and "onnxruntime" in result["modules"]
    assert "filelock" not in result["modules"]
