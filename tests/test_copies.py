"""Copies of pipes: they end with the run, however it ends."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from application_process import application
from filelock import FileLock

from serving.scoring.copies import LOCK, PREFIX, copy_of, remove_abandoned


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_copy_has_the_content_until_the_block_ends(folder):
    with copy_of(io.BytesIO(b"abc"), ".csv") as path:
        assert (path.read_bytes(), path.suffix) == (b"abc", ".csv")
        make_old(path.parent)
        remove_abandoned()  # another run
        assert path.exists()
    assert list(folder.iterdir()) == []


def make(folder, name, files=(LOCK, "input.csv")):
    made = folder / f"{PREFIX}{name}"
    made.mkdir()
    for file in files:
        (made / file).touch()
    make_old(made)
    return made


def make_old(path):
    os.utime(path, (time.time() - 3600,) * 2)


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot remove a locked file")
def test_only_the_copies_of_killed_runs_are_removed(folder):
    abandoned, living, foreign, young = (make(folder, name) for name in ("abandoned", "living", "foreign", "young"))
    (foreign / LOCK).unlink()
    os.utime(young)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    make_old(elsewhere)
    (folder / f"{PREFIX}link").symlink_to(elsewhere)
    make_old(foreign)
    with FileLock(living / LOCK), copy_of(io.BytesIO(), ".txt"):
        assert not abandoned.exists()
        assert all(path.exists() for path in (living, foreign, young, elsewhere / LOCK))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_copy(tiny_model, environment, tmp_path, number):
    def accept_signals():
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)

    process = subprocess.Popen(
        application(tiny_model, "--file", "-", "--output", tmp_path / "out.csv", "--format", "csv"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | {"TMPDIR": str(tmp_path)},
        preexec_fn=accept_signals,
    )
    process.stdin.write("text\n好\n".encode())
    process.stdin.flush()
    while not list(tmp_path.glob(f"{PREFIX}*/input.csv")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.stderr.read().decode() == f"ended by {number.name}\n"
    assert process.wait() == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_without_home_and_with_a_missing_folder_of_temporary_files(tiny_model, environment, tmp_path):
    bare = {"PATH": environment["PATH"], "TMPDIR": str(tmp_path / "missing")}
    command = application(tiny_model, "--file", "-")
    done = subprocess.run(command, input="好\n".encode(), capture_output=True, env=bare, cwd=tmp_path)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1), done.stderr
    assert list(tmp_path.iterdir()) == []
