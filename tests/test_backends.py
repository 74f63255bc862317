"""One model file gives the same answers on every backend of Keras, and the three that train do train.

A process has one backend: run as a script, this file is the process that a backend is tried in.
"""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
BACKENDS = ("numpy", "openvino", "torch", "jax", "tensorflow")
TRAINING_BACKENDS = ("tensorflow", "jax", "torch")
STEPS = 12
SIZES = {"vocab_size": 100, "max_seq_len": 12, "d_model": 16, "dff": 32}


def example_inputs():
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 13, (64, 1))
    input_ids = np.where(np.arange(12) < lengths, generator.integers(1, 100, (64, 12)), 0)
    segments = np.where(np.arange(12) < lengths // 2, 0, 1)
    return {"input_ids": input_ids.astype("int32"), "token_type_ids": segments.astype("int32")}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A function from a backend to what came of it in a process of its own."""
    from layer_checks import randomize

    from network.bert import BertClassifier, BertConfig
    from network.model_file import save_model

    classifier = BertClassifier(BertConfig(**SIZES))
    randomize(classifier)
    randomize(classifier.get_layer("classification_output"), scale=0.1)
    path = tmp_path_factory.mktemp("backends") / "classifier.keras"
    save_model(classifier, path)
    search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

    def run(backend):
        return subprocess.run(
            [sys.executable, __file__, str(path)],
            env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": search},
            capture_output=True,
            encoding="utf-8",
        )

    def report_of(backend):
        if backend not in runs:
            pytest.skip(f"the backend {backend} is not installed: pip install -r requirements-dev.txt")
        finished = runs[backend].result()
        assert finished.returncode == 0, finished.stderr
        result = json.loads(finished.stdout.splitlines()[-1])
        assert result["backend"] == backend
        return result

    # Compiling the steps takes most of the time, and one core each.
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = {backend: pool.submit(run, backend) for backend in BACKENDS if importlib.util.find_spec(backend)}
        yield report_of


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_same_probabilities(reports, backend):
    expected = np.array(reports("numpy")["probabilities"])
    assert expected.std() > 0.1, "probabilities that are all alike would agree whatever happened"
    result = reports(backend)
    np.testing.assert_allclose(result["probabilities"], expected, rtol=0, atol=1e-4)
    # Where the CPU knows bfloat16, OpenVINO predicts in it, and Keras 3.15 has no switch; a call it does in float32.
    tolerance = 0.02 if result["predicts_in_bfloat16"] else 1e-4
    np.testing.assert_allclose(result["predictions"], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", TRAINING_BACKENDS)
@pytest.mark.parametrize("name", ["masked_lm", "classifier"])
def test_trains(reports, backend, name):
    training = reports(backend)["training"][name]
    losses = training["losses"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]
    # Keys that all move by the same vector change nothing: their bias has no gradient.
    assert [path for path in training["unchanged"] if not path.endswith("key/bias")] == []


@pytest.mark.parametrize("backend", TRAINING_BACKENDS)
def test_pretrained_weights_learn_more_slowly_than_the_head(reports, backend):
    steps = reports(backend)["training"]["classifier"]["first_steps"]
    assert 0 < max(steps["backbone"]) < 0.02 * min(steps["head"])


def report(path):
    """What this process's backend makes of the model file, and of a few steps of training."""
    import keras

    from network.bert import BertClassifier
    from network.model_file import load_model

    classifier = load_model(path, BertClassifier)
    result = {
        "backend": keras.backend.backend(),
        "probabilities": keras.ops.convert_to_numpy(classifier(example_inputs()))[:, 0].tolist(),
        "predictions": classifier.predict(example_inputs(), batch_size=16, verbose=0)[:, 0].tolist(),
        "predicts_in_bfloat16": False,
    }
    if result["backend"] == "openvino":
        import openvino

        abilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        result["predicts_in_bfloat16"] = "BF16" in abilities
    if result["backend"] in TRAINING_BACKENDS:
        keras.utils.set_random_seed(1)
        result["training"] = {"masked_lm": train_masked_lm(), "classifier": train_classifier(classifier)}
    return result


def train_masked_lm():
    from network.bert import BertConfig, BertMaskedLM
    from training.engine.optimizer import pretraining_optimizer
    from training.masked_lm import masked_accuracy, masked_lm_loss

    model = BertMaskedLM(BertConfig(**SIZES, num_layers=1))
    model.compile(pretraining_optimizer(0.03, STEPS), masked_lm_loss(), weighted_metrics=[masked_accuracy])
    inputs = example_inputs() | {"masked_positions": np.tile(np.array([0, 1, 5], "int32"), (64, 1))}
    targets = np.tile(np.array([7, 8, 9], "int32"), (64, 1))
    weights = np.tile(np.array([1, 1, 0], "float32"), (64, 1))
    return fit(model, inputs, targets, weights)


def train_classifier(pretrained):
    from network.bert import classifier_from_pretrained
    from training.engine.optimizer import fine_tuning_optimizer

    model = classifier_from_pretrained(pretrained, unfreeze="all", dropout_rate=0.0)
    head = [variable.path for variable in model.get_layer("classification_output").weights]
    model.compile(fine_tuning_optimizer(1e-3, 0.1, 2 + STEPS), "binary_crossentropy")
    inputs = example_inputs()
    # The opposite of what the model says, so that there is much to be learned.
    scores = pretrained.predict(inputs, batch_size=16, verbose=0)[:, 0]
    labels = (scores < np.median(scores)).astype("float32")
    model.get_layer("classification_output").set_weights(pretrained.get_layer("classification_output").get_weights())
    before = model.get_weights()
    # The warm-up begins at a learning rate of zero: it is the second step that moves.
    model.fit(inputs, labels, batch_size=64, epochs=2, verbose=0)
    moved = {"head": [], "backbone": []}
    for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        moved["head" if variable.path in head else "backbone"].append(float(np.abs(new - old).max()))
    return fit(model, inputs, labels) | {"first_steps": moved}


def fit(model, inputs, targets, sample_weight=None):
    """Trains on one batch; returns the loss before each step and the weights that no step changed."""
    before = model.get_weights()
    history = model.fit(inputs, targets, sample_weight=sample_weight, batch_size=64, epochs=STEPS, verbose=0).history
    unchanged = [
        variable.path
        for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if (old == new).all()
    ]
    return {"losses": history["loss"], "unchanged": unchanged}


if __name__ == "__main__":
    print(json.dumps(report(sys.argv[1])))
