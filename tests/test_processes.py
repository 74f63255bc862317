"""A run of one process: it is the main one, and refuses environments in which it cannot join others."""

import json

import pytest

from system.errors import InputError
from training.engine.distribution.agreement import Agreement
from training.engine.distribution.processes import goes_on_alone, is_main, joined, main_first, num_processes, shared
from training.engine.distribution.replicas import in_main, local_rows, replica, require_divisible


def cluster(workers):
    return json.dumps({"cluster": {"worker": [f"host{n}:2222" for n in range(workers)]}, "task": {"index": 0}})


def test_one_process_shares_with_nobody():
    with joined(enabled=False):
        assert is_main()
        assert num_processes() == 1
        assert shared({"rows": (1, 2)}) == {"rows": (1, 2)}
        assert main_first(lambda: 5) == 5
        assert Agreement()(3) == 3
        assert goes_on_alone()


def test_without_replicas_everything_stays_as_it_is():
    model, batches = object(), object()
    with replica(model, enabled=False) as copy:
        assert copy is model
    assert local_rows(batches) is batches
    assert in_main(model, model, len) is len
    require_divisible(17)


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    with pytest.raises(InputError, match="set KERAS_BACKEND=jax"), joined(enabled=True):
        pass


@pytest.mark.parametrize("enabled", [False, True])
def test_the_environment_of_the_strategy_of_tensorflow_is_refused(monkeypatch, enabled):
    monkeypatch.setenv("TF_CONFIG", cluster(2))
    with pytest.raises(InputError, match="MultiWorkerMirroredStrategy.* unset TF_CONFIG"), joined(enabled=enabled):
        pass


@pytest.mark.parametrize("value", [cluster(1), "{}", "[]", "no JSON", '{"cluster": {"worker": 3}}'])
def test_other_values_of_its_variable_are_ignored(monkeypatch, value):
    monkeypatch.setenv("TF_CONFIG", value)
    with joined(enabled=False):
        pass
