"""The folder of a run: its lock, its record, and the errors about both."""

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import fine_tuning
import pretrain
from recipes.runs.run_folder import (
    CHECKPOINT_NAME,
    FINISHED,
    RECORD_NAME,
    environment,
    finish_run,
    forget_finished,
    has_finished,
    run_in_folder,
)
from system.command_line import parse_plan
from system.errors import InputError, OutputError
from system.locks import owned

ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS = {"resume": False, "dry_run": False, "epochs": 3}


def arguments(folder, **changed):
    return ARGUMENTS | {"run_folder": str(folder)} | changed


@pytest.fixture
def running(tmp_path):
    """A run in the folder "run", until the test closes it."""
    with contextlib.ExitStack() as runs:
        runs.enter_context(run_in_folder(arguments(tmp_path / "run"), {}))
        yield runs


class TestTwoRunsInOneFolder:
    REFUSAL = "run is being written by another run: wait until it has ended, or choose another --run-folder"

    @pytest.mark.parametrize("resume", [False, True])
    def test_the_second_is_refused(self, tmp_path, running, resume):
        (tmp_path / "run" / CHECKPOINT_NAME).touch()
        before = (tmp_path / "run" / RECORD_NAME).read_bytes()
        second = run_in_folder(arguments(tmp_path / "run", resume=resume), {})
        with pytest.raises(InputError, match=self.REFUSAL), second:
            pytest.fail("the block must not run")
        assert (tmp_path / "run" / RECORD_NAME).read_bytes() == before
        running.close()
        with run_in_folder(arguments(tmp_path / "run", resume=True), {}) as resumed:
            assert resumed["epochs"] == 3
        assert os.listdir(tmp_path) == ["run"]

    @pytest.mark.parametrize("script", [pretrain, fine_tuning])
    def test_the_scripts(self, tmp_path, running, monkeypatch, capsys, script):
        monkeypatch.chdir(tmp_path)
        assert script.main(["--run-folder", "run"]) == 1
        assert capsys.readouterr() == ("", f"error: {self.REFUSAL}\n")

    def test_another_process_locks_the_folder_until_it_is_killed(self, tmp_path):
        command = [sys.executable, ROOT / "tests" / "programs" / "run_until_killed.py", tmp_path / "run"]
        # NumPy as the backend: it starts at once.
        environment = os.environ | {"KERAS_BACKEND": "numpy", "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"running\n"
            (tmp_path / "run" / CHECKPOINT_NAME).touch()
            for resume in (False, True):
                second = run_in_folder(arguments(tmp_path / "run", resume=resume), {})
                with pytest.raises(InputError, match=self.REFUSAL), second:
                    pytest.fail("the block must not run")
            process.kill()
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
        assert str(raised.value).startswith(f"{error}. The state of the training is kept in {tmp_path}: ")
        assert "--resume" in str(raised.value)

    @pytest.mark.parametrize("error", [InputError("no data"), BrokenPipeError()])
    def test_an_error_of_another_kind_stays_as_it_is(self, tmp_path, error):
        with pytest.raises(type(error)) as raised, run_in_folder(arguments(tmp_path), {}):
            (tmp_path / CHECKPOINT_NAME).touch()
            raise error
        assert raised.value is error

    def test_without_a_checkpoint_no_resumption_is_promised(self, tmp_path):
        error = OutputError("no room")
        with pytest.raises(OutputError) as raised, run_in_folder(arguments(tmp_path), {}):
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
        with pytest.raises(InputError, match="was interrupted before its first checkpoint"):
            started(arguments(tmp_path, resume=True), {})
        finish_run(tmp_path)
        with pytest.raises(InputError, match="has finished"):
            started(arguments(tmp_path, resume=True), {})

    @pytest.mark.parametrize(
        ("recorded", "difference"),
        [
            ({"passes": 3}, r"unknown: --passes; missing: --epochs"),
            ({"epochs": 3, "old_option": 1}, r"unknown: --old-option"),
            ({}, r"missing: --epochs"),
        ],
    )
    def test_a_run_of_another_version_is_refused(self, tmp_path, recorded, difference):
        """As an option may have been renamed since."""
        common = {name: value for name, value in arguments(tmp_path).items() if name != "epochs"}
        (tmp_path / RECORD_NAME).write_text(json.dumps({"arguments": common | recorded}), encoding="utf-8")
        (tmp_path / CHECKPOINT_NAME).touch()
        with pytest.raises(InputError, match=rf"another version of this project \({difference}\); choose another"):
            started(arguments(tmp_path, resume=True), {"epochs": 3})


class TestFinishedWithTheSameArguments:
    def test_only_a_finished_run_counts(self, tmp_path):
        assert not has_finished(arguments(tmp_path))
        started(arguments(tmp_path), {})
        assert not has_finished(arguments(tmp_path))
        finish_run(tmp_path)
        assert has_finished(arguments(tmp_path))
        assert has_finished(arguments(tmp_path, resume=True))
        assert not has_finished(arguments(tmp_path, epochs=4))
        assert not has_finished(arguments(tmp_path, another=1))

    def test_its_record_can_be_forgotten(self, tmp_path):
        started(arguments(tmp_path), {})
        forget_finished(tmp_path)
        assert (tmp_path / RECORD_NAME).is_file(), "an interrupted run can still be resumed"
        finish_run(tmp_path)
        forget_finished(tmp_path)
        assert not has_finished(arguments(tmp_path)) and os.listdir(tmp_path) == []
        forget_finished(tmp_path / "none")

    def test_a_damaged_record_is_not_one_of_a_finished_run(self, tmp_path):
        (tmp_path / RECORD_NAME).write_text(json.dumps({FINISHED: "now", "arguments": []}), encoding="utf-8")
        assert not has_finished(arguments(tmp_path))


def test_a_run_without_a_model_of_its_own_does_not_lock_it(tmp_path):
    output = str(tmp_path / "model.keras")
    with owned(output), run_in_folder(arguments(tmp_path / "run", output=output), {}, has_model=False) as own:
        assert own["output"] == output


@pytest.mark.parametrize("script", [pretrain, fine_tuning])
def test_a_script_refuses_a_run_whose_option_was_renamed(tmp_path, capsys, script):
    record = {name: value for name, value in dataclasses.asdict(script.PLAN).items() if name != "epochs"}
    (tmp_path / RECORD_NAME).write_text(json.dumps({"arguments": record | {"passes": 3}}), encoding="utf-8")
    (tmp_path / CHECKPOINT_NAME).touch()
    assert script.main(["--resume", "--run-folder", str(tmp_path)]) == 1
    output, error = capsys.readouterr()
    assert output == "" and error.startswith("error: ") and error.count("\n") == 1
    assert "unknown: --passes; missing: --epochs" in error


class TestArguments:
    """The arguments of a run, as the options of a script set them."""

    def start(self, folder, *argv, script=pretrain):
        argv = ["--run-folder", str(folder), *argv]
        plan, typed = parse_plan(script.build_parser(), script.PLAN, argv)
        with run_in_folder(dataclasses.asdict(plan), typed) as arguments:
            return argparse.Namespace(**arguments)

    def interrupted(self, folder, *argv, script=pretrain):
        args = self.start(folder, *argv, script=script)
        (folder / CHECKPOINT_NAME).touch()
        return args

    def test_records_arguments_and_versions(self, tmp_path):
        args = self.start(tmp_path / "run", "--epochs", "7", "--corpus", "a.txt", "b.txt")
        record = json.loads((tmp_path / "run" / RECORD_NAME).read_text(encoding="utf-8"))
        assert record["arguments"] == vars(args)
        assert record["arguments"]["epochs"] == 7
        assert record["arguments"]["corpus"] == ["a.txt", "b.txt"]
        assert record["python"] == platform.python_version()
        assert record["versions"]["keras"] == keras.__version__
        assert record["backend"] == keras.backend.backend()
        assert record.keys() - {"arguments"} == environment().keys()

    def test_a_dry_run_records_nothing(self, tmp_path):
        self.start(tmp_path / "run", "--dry-run")
        assert not (tmp_path / "run").exists()

    def test_replaces_a_finished_run_and_says_so(self, tmp_path, capsys):
        self.interrupted(tmp_path)
        finish_run(tmp_path)
        assert not (tmp_path / CHECKPOINT_NAME).exists()
        assert self.start(tmp_path, "--epochs", "9").epochs == 9
        assert "earlier run" in capsys.readouterr().err
        assert json.loads((tmp_path / RECORD_NAME).read_text(encoding="utf-8"))["arguments"]["epochs"] == 9

    @pytest.mark.parametrize("argv", [[], ["--epochs", "9"], ["--dry-run"]])
    def test_an_interrupted_run_is_not_overwritten(self, tmp_path, argv):
        self.interrupted(tmp_path, "--epochs", "7")
        before = (tmp_path / RECORD_NAME).read_bytes()
        with pytest.raises(InputError, match="--resume"):
            self.start(tmp_path, *argv)
        assert (tmp_path / RECORD_NAME).read_bytes() == before

    def test_resumes_with_the_arguments_of_the_interrupted_run(self, tmp_path):
        args = self.interrupted(tmp_path, "--epochs", "7", "--learning-rate", "0.004", "--corpus", "sample", "--no-xla")
        resumed = self.start(tmp_path, "--resume")
        assert vars(resumed) == vars(args) | {"resume": True}

    def test_repeated_arguments_are_accepted(self, tmp_path):
        given = ["--epochs", "7", "--learning-rate", "4e-3", "--corpus", "a", "b", "--whole-words"]
        self.interrupted(tmp_path, *given)
        assert self.start(tmp_path, "--resume", *given, "--batch-size", "128").epochs == 7

    @pytest.mark.parametrize(
        "changed",
        [
            ["--batch-size", "7"],
            ["--seed", str(pretrain.SEED)],
            ["--epochs", str(pretrain.EPOCHS)],
            ["--corpus", "sample"],
            ["--whole-words"],
            ["--max-seq-len", "128"],
        ],
    )
    def test_a_changed_argument_is_refused_by_its_name(self, tmp_path, changed):
        self.interrupted(tmp_path, "--epochs", "7", "--seed", "3")
        with pytest.raises(InputError, match=changed[0] + " .*, not "):
            self.start(tmp_path, "--resume", *changed)

    def test_the_folder_and_the_time_limit_may_change(self, tmp_path):
        self.interrupted(tmp_path / "run", "--max-minutes", "5")
        (tmp_path / "run").rename(tmp_path / "moved")
        resumed = self.start(tmp_path / "moved", "--resume", "--max-minutes", "9", "--dry-run")
        assert (resumed.max_minutes, resumed.dry_run) == (9, True)
        assert resumed.run_folder == str(tmp_path / "moved")

    @pytest.mark.parametrize("content", [None, "", "{", "{}"])
    def test_a_folder_without_a_run_has_nothing_to_resume(self, tmp_path, content):
        if content is not None:
            (tmp_path / RECORD_NAME).write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="no interrupted run"):
            self.start(tmp_path, "--resume")

    def test_the_run_of_another_script_is_refused(self, tmp_path):
        self.interrupted(tmp_path, script=fine_tuning)
        with pytest.raises(InputError, match="another script"):
            self.start(tmp_path, "--resume")

    @pytest.mark.parametrize("seed", ["-1", str(2**32)])
    def test_a_seed_that_no_generator_accepts_is_refused(self, tmp_path, capsys, seed):
        with pytest.raises(SystemExit, match="2"):
            self.start(tmp_path, "--seed", seed)
        assert "--seed" in capsys.readouterr().err
        assert not (tmp_path / RECORD_NAME).exists()
        assert isinstance(self.start(tmp_path, "--seed", str(2**32 - 1)), argparse.Namespace)


class TestLearningRateOfAResumedRun:
    """The only setting of a training that a resumed run may change: it lets a run go on that diverged."""

    @pytest.fixture
    def interrupted(self, tmp_path):
        folder = tmp_path / "run"
        with run_in_folder(arguments(folder, learning_rate=0.1), {}):
            (folder / CHECKPOINT_NAME).touch()
        return folder

    def test_is_taken_and_recorded(self, interrupted):
        resumed = arguments(interrupted, learning_rate=0.01, resume=True)
        with run_in_folder(resumed, {"learning_rate": 0.01}) as used:
            assert used["learning_rate"] == 0.01
        record = json.loads((interrupted / RECORD_NAME).read_text(encoding="utf-8"))
        assert record["arguments"] == arguments(interrupted, learning_rate=0.01)

    def test_stays_if_it_is_not_given(self, interrupted):
        with run_in_folder(arguments(interrupted, learning_rate=0.5, resume=True), {}) as used:
            assert used["learning_rate"] == 0.1


def test_a_half_written_checkpoint_of_a_killed_run_is_removed(tmp_path):
    leftover, other = tmp_path / ".checkpoint.0a1b2c3d.npz", tmp_path / ".checkpoint.notes.npz"
    for path in (leftover, other):
        path.touch()
    with run_in_folder(arguments(tmp_path), {}):
        assert not leftover.exists() and other.exists()
