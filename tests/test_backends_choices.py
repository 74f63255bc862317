"""The choices of a fine-tuning run on every backend that can train, and those without chance give the same on all."""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "programs" / "train_with_choices.py"  # a process has only one backend
BACKENDS = ("tensorflow", "jax", "torch")
CHOICES = ("loss and sampling", "weights and averages", "teachers", "hidden states", "masked rows")
RANDOM_CHOICES = ("r_drop",)


def run(backend):
    environment = os.environ | {"KERAS_BACKEND": backend}
    return subprocess.run([sys.executable, str(PROGRAM)], env=environment, capture_output=True, encoding="utf-8")


@pytest.fixture(scope="module")
def results():
    """Return a function that returns the results of a backend, by choice."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = {backend: pool.submit(run, backend) for backend in BACKENDS if importlib.util.find_spec(backend)}

        def results_of(backend):
            if backend not in runs:
                pytest.skip(f"the backend {backend} is not installed: pip install -r requirements-dev.txt")
            finished = runs[backend].result()
            assert finished.returncode == 0, finished.stderr
            report = json.loads(finished.stdout.splitlines()[-1])
            assert report["backend"] == backend
            return report["results"]

        yield results_of


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("choice", CHOICES + RANDOM_CHOICES)
def test_every_choice_trains(results, backend, choice):
    result = results(backend)[choice]
    assert np.isfinite(result["losses"]).all()
    # Tokens that do not occur keep their embeddings, unless all weights decay.
    assert result["changed"] > 0.1


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_results_are_the_same_on_all(results, backend, choice):
    result, expected = results(backend)[choice], results("tensorflow")[choice]
    np.testing.assert_allclose(result["losses"], expected["losses"], rtol=2e-3)
    np.testing.assert_allclose(result["logits"], expected["logits"], atol=5e-3)


def test_the_choices_differ(results):
    """Otherwise the same results on all backends would say nothing about them."""
    logits = [np.array(result["logits"]) for result in results("tensorflow").values()]
    for number, one in enumerate(logits):
        assert all(np.abs(one - other).max() > 0.02 for other in logits[:number])
