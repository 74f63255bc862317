"""The folder of a run: who owns it, whether it has finished, and what is said when a result cannot be written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipes.run_folder import CHECKPOINT_NAME, FINISHED, RECORD_NAME, finish_run, run_in_folder
from system.errors import InputError, OutputError
from system.locks import owned

ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS = {"resume": False, "dry_run": False, "epochs": 3}
RUN = """
import sys
from recipes.run_folder import run_in_folder

with run_in_folder({"resume": False, "dry_run": False, "epochs": 3, "run_folder": sys.argv[1]}, {}):
    print("running", flush=True)
    sys.stdin.read()
"""


def arguments(folder, **changed):
    return ARGUMENTS | {"run_folder": str(folder)} | changed


@pytest.fixture
def running(tmp_path):
    """A run in a process of its own, in the folder "run", until the end of the test."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": os.environ | {"KERAS_BACKEND": "numpy"}}
    process = subprocess.Popen([sys.executable, "-c", RUN, tmp_path / "run"], cwd=ROOT, **options)
    assert process.stdout.readline() == b"running\n"
    yield process
    process.kill()
    process.communicate()


class TestTwoRunsInOneFolder:
    REFUSAL = "run is being written by another run: wait until it has ended, or choose another --run-folder"

    def test_the_second_is_refused(self, tmp_path, running):
        (tmp_path / "run" / CHECKPOINT_NAME).touch()
        before = (tmp_path / "run" / RECORD_NAME).read_bytes()
        for resume in (False, True):
            second = run_in_folder(arguments(tmp_path / "run", resume=resume), {})
            with pytest.raises(InputError, match=self.REFUSAL), second:
                pytest.fail("the block must not run")
        assert (tmp_path / "run" / RECORD_NAME).read_bytes() == before
        running.communicate()
        with run_in_folder(arguments(tmp_path / "run", resume=True), {}) as resumed:
            assert resumed["epochs"] == 3
        assert os.listdir(tmp_path) == ["run"]

    @pytest.mark.parametrize("script", ["pretrain.py", "fine_tuning.py"])
    def test_the_scripts(self, tmp_path, running, script):
        command = [sys.executable, str(ROOT / script), "--run-folder", "run"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr == f"error: {self.REFUSAL}\n"

    def test_a_killed_run_does_not_lock_its_folder(self, tmp_path, running):
        running.kill()
        running.wait()
        (tmp_path / "run" / CHECKPOINT_NAME).touch()
        with run_in_folder(arguments(tmp_path / "run", resume=True), {}):
            assert set(os.listdir(tmp_path / "run")) == {CHECKPOINT_NAME, RECORD_NAME, f".{RECORD_NAME}.lock"}
        assert set(os.listdir(tmp_path / "run")) == {CHECKPOINT_NAME, RECORD_NAME}

    def test_a_refused_run_leaves_the_record_of_the_one_before(self, tmp_path):
        with run_in_folder(arguments(tmp_path / "run"), {}):
            finish_run(tmp_path / "run")
        before = (tmp_path / "run" / RECORD_NAME).read_bytes()
        output = str(tmp_path / "model.keras")
        refused = pytest.raises(InputError, match="model.keras is being written by another run")
        with owned(output), refused, run_in_folder(arguments(tmp_path / "run", output=output), {}):
            pytest.fail("the block must not run")
        assert (tmp_path / "run" / RECORD_NAME).read_bytes() == before

    def test_a_dry_run_beside_it(self, tmp_path, running):
        with run_in_folder(arguments(tmp_path / "run", dry_run=True), {}):
            pass

    def test_a_dry_run_writes_nothing(self, tmp_path):
        with run_in_folder(arguments(tmp_path / "runs" / "one", dry_run=True), {}):
            assert os.listdir(tmp_path) == []


class TestAResultThatCannotBeWritten:
    @pytest.mark.parametrize("error", [OutputError("cannot write m.keras: no room"), OSError(28, "No space left")])
    def test_with_a_checkpoint(self, tmp_path, error):
        with pytest.raises(OutputError) as raised, run_in_folder(arguments(tmp_path), {}):
            (tmp_path / CHECKPOINT_NAME).touch()
            raise error
        assert str(raised.value).startswith(f"{error}. Nothing is lost: ")
        assert "--resume" in str(raised.value) and str(tmp_path) in str(raised.value)

    @pytest.mark.parametrize("error", [OutputError("no room"), InputError("no data"), BrokenPipeError()])
    def test_nothing_is_promised_that_does_not_hold(self, tmp_path, error):
        with pytest.raises(type(error)) as raised, run_in_folder(arguments(tmp_path), {}):
            if not isinstance(error, OutputError):
                (tmp_path / CHECKPOINT_NAME).touch()
            raise error
        assert raised.value is error


def started(arguments, typed):
    with run_in_folder(arguments, typed) as own:
        return own


class TestFinished:
    def test_is_recorded(self, tmp_path):
        started(arguments(tmp_path), {})
        assert FINISHED not in json.loads((tmp_path / RECORD_NAME).read_text(encoding="utf-8"))
        (tmp_path / CHECKPOINT_NAME).touch()
        finish_run(tmp_path)
        record = json.loads((tmp_path / RECORD_NAME).read_text(encoding="utf-8"))
        assert record["arguments"] == arguments(tmp_path)
        assert record[FINISHED] >= record["time"]
        assert os.listdir(tmp_path) == [RECORD_NAME]

    @pytest.mark.parametrize("content", [None, "", "[]", '{"arguments": {}}'])
    def test_nothing_is_said_of_a_run_that_failed_before_its_report(self, tmp_path, capsys, content):
        if content is None:
            started(arguments(tmp_path), {})
        else:
            (tmp_path / RECORD_NAME).write_text(content, encoding="utf-8")
        started(arguments(tmp_path), {})
        assert capsys.readouterr().err == ""

    def test_what_cannot_be_resumed(self, tmp_path):
        started(arguments(tmp_path), {})
        with pytest.raises(InputError, match="was ended before it had a checkpoint"):
            started(arguments(tmp_path, resume=True), {})
        finish_run(tmp_path)
        with pytest.raises(InputError, match="has come to its end"):
            started(arguments(tmp_path, resume=True), {})
