"""Trainings in several processes and on several devices: the same as in one, also after signals and on resuming."""

import json
import re
import signal

import numpy as np
import pytest
from interrupted_runs import progress_of
from processes import run_in_processes
from scripts import assert_one_error

pytestmark = pytest.mark.slow

TRAIN = "tests/programs/train_in_processes.py"
STEPS, STEP_OF_SIGNAL = 12, 1  # after the first step the processes exchange for sure, later once a second


def train(folder, processes, *, step=0, process=0, number=0, devices=1, **options):
    """Train in a folder; return the finished processes, the main one first."""
    folder.mkdir(exist_ok=True)
    settings = {
        "run_folder": str(folder),
        "epochs": 1,
        "max_steps": STEPS,
        "batch_size": 12,
        "distributed": True,
    } | options
    command = [TRAIN, json.dumps(settings), str(step), str(process), str(int(number))]
    return run_in_processes(command, folder, processes, devices=devices)


def history_of(finished):
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def assert_same_arrays(path, expected_path, tolerance):
    with np.load(path) as arrays, np.load(expected_path) as expected:
        assert arrays.files == expected.files
        assert any(np.abs(expected[name]).max() > 1e-2 for name in expected.files)
        for name in expected.files:
            np.testing.assert_allclose(arrays[name], expected[name], rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder and the history of a training in one process, on one device, without --distributed."""
    folder = tmp_path_factory.mktemp("alone")
    (finished,) = train(folder, 1, distributed=False)
    return folder, history_of(finished)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder and the processes of a training in two processes, of which the second one got SIGTERM."""
    folder = tmp_path_factory.mktemp("interrupted")
    return folder, train(folder, 2, step=STEP_OF_SIGNAL, process=1, number=signal.SIGTERM)


def test_the_gradient_of_two_processes_is_that_of_one(alone, interrupted):
    assert_same_arrays(interrupted[0] / "gradient.npz", alone[0] / "gradient.npz", 1e-5)


def test_a_signal_to_one_process_ends_all_with_the_state_saved(interrupted):
    folder, processes = interrupted
    assert [process.returncode for process in processes] == [128 + signal.SIGTERM] * 2, processes[0].stderr
    assert f"The run is saved in {folder}; continue it with --resume." in processes[0].stderr
    epoch, batch = progress_of(folder / "checkpoint.npz")
    assert epoch == 0
    assert STEP_OF_SIGNAL <= batch < STEPS


def test_a_run_goes_on_with_more_processes_and_ends_as_in_one(alone, interrupted):
    folder = interrupted[0]
    main, *others = train(folder, 3, resume=True)
    history = history_of(main)
    for name, values in alone[1].items():
        assert history[name] == pytest.approx(values, rel=1e-4), name
    assert_same_arrays(folder / "trained.npz", alone[0] / "trained.npz", 1e-3)
    for process in others:
        assert process.returncode == 0, process.stderr
        assert "Epoch" not in process.stdout
        assert "epoch 1" not in process.stderr, "one progress bar is enough"


def test_one_process_trains_on_several_devices(alone, tmp_path):
    (finished,) = train(tmp_path, 1, devices=2)
    history = history_of(finished)
    for name, values in alone[1].items():
        assert history[name] == pytest.approx(values, rel=1e-4), name
    assert_same_arrays(tmp_path / "gradient.npz", alone[0] / "gradient.npz", 1e-5)


def test_a_killed_process_ends_the_run_with_one_sentence(tmp_path):
    main, killed = train(tmp_path, 2, step=STEP_OF_SIGNAL, process=1, number=signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert main.returncode == 1
    # The progress bar may be on the same line.
    assert re.search(r"error: another process of this run has ended.*--resume$", main.stderr.rstrip()), main.stderr


def test_a_batch_that_the_devices_do_not_divide_is_refused(tmp_path):
    (finished,) = train(tmp_path, 1, resume=True, batch_size=15, devices=2)
    assert finished.returncode == 1
    assert_one_error(finished.stderr.splitlines()[-1], "--batch-size 15", "2 devices", "such as 16")


def test_an_incomplete_environment_is_refused(tmp_path):
    arguments = ["--corpus", "sample", "--distributed"]
    (finished,) = run_in_processes(["pretrain.py", *arguments], tmp_path, 1, KERAS_DISTRIBUTION_NUM_PROCESSES="2")
    assert finished.returncode == 1
    assert_one_error(finished.stderr.splitlines()[-1], "KERAS_DISTRIBUTION_JOB_ADDRESSES")
