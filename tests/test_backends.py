"""One model file gives the same predictions on every backend of Keras, and the three that can train do train."""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from training.plans.network_options import POOLINGS

pytestmark = pytest.mark.slow

# A process has only one backend.
PROGRAM = Path(__file__).parent / "programs" / "report_of_backend.py"
BACKENDS = ("numpy", "openvino", "torch", "jax", "tensorflow")
TRAINING_BACKENDS = ("tensorflow", "jax", "torch")


def run(backend, path):
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(path)],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        encoding="utf-8",
    )


class Reports:
    """What the program printed on each installed backend."""

    def __init__(self, runs):
        self.runs = runs

    def of(self, backend):
        if backend not in self.runs:
            pytest.skip(f"the backend {backend} is not installed: pip install -r requirements-dev.txt")
        finished = self.runs[backend].result()
        assert finished.returncode == 0, finished.stderr
        report = json.loads(finished.stdout.splitlines()[-1])
        assert report["backend"] == backend
        return report


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    from layer_checks import randomize

    from network.backbone import BertConfig
    from network.bert import BertClassifier
    from network.model_file import save_model

    classifier = BertClassifier(BertConfig(vocab_size=100, max_seq_len=12, d_model=16, dff=32))
    randomize(classifier)
    randomize(classifier.get_layer("classification_output"), scale=0.1)
    path = tmp_path_factory.mktemp("backends") / "classifier.keras"
    save_model(classifier, path)
    # Most of the time goes into compiling the training steps, on one core each.
    with ThreadPoolExecutor(max_workers=2) as pool:
        installed = [backend for backend in BACKENDS if importlib.util.find_spec(backend)]
        yield Reports({backend: pool.submit(run, backend, path) for backend in installed})


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_same_probabilities(reports, backend):
    expected = np.array(reports.of("numpy")["probabilities"])
    assert expected.std() > 0.1, "equal probabilities would agree in any case"
    report = reports.of(backend)
    np.testing.assert_allclose(report["probabilities"], expected, rtol=0, atol=1e-4)
    # On a CPU with bfloat16, OpenVINO uses it in `predict`, which Keras 3.15 cannot change, but not in a call.
    tolerance = 0.02 if report["predicts_in_bfloat16"] else 1e-4
    np.testing.assert_allclose(report["predictions"], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_same_pooling(reports, backend, pooling):
    expected = np.array(reports.of("numpy")["pooled"][pooling])
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(reports.of(backend)["pooled"][pooling], expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("backend", TRAINING_BACKENDS[1:])
def test_same_gradients_of_the_poolings(reports, backend):
    expected = np.array(reports.of(TRAINING_BACKENDS[0])["kernel_below_poolings"])
    assert np.abs(expected - np.eye(4)).max() > 0.1
    np.testing.assert_allclose(reports.of(backend)["kernel_below_poolings"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", TRAINING_BACKENDS)
@pytest.mark.parametrize("name", ["masked_lm", "two_tasks", "classifier"])
def test_the_loss_falls_and_every_weight_changes(reports, backend, name):
    training = reports.of(backend)["training"][name]
    losses = training["losses"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]
    # A vector added to all keys changes nothing, so the bias of the keys has no gradient.
    assert [path for path in training["unchanged"] if not path.endswith("key/bias")] == []


@pytest.mark.parametrize("backend", TRAINING_BACKENDS)
def test_pre_trained_weights_change_more_slowly_than_the_head(reports, backend):
    steps = reports.of(backend)["training"]["classifier"]["first_steps"]
    assert 0 < max(steps["backbone"]) < 0.02 * min(steps["head"])
