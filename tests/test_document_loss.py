"""The loss of whole documents: logits as in use, on every backend that can train, and batches from several splits."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from layer_checks import as_array, randomize

import fine_tuning
from network.bert import BertClassifier, BertConfig, logits_model
from system.errors import InputError
from text.dataset.splits import Split
from text.labels import SENTIMENT
from text.tokens.window_options import AGGREGATES
from text.tokens.windows import Windows
from training.engine.batches.document_batches import MAX_WINDOWS
from training.objectives.document_loss import document_batches, document_model, most_windows

PROGRAM = Path(__file__).parent / "programs" / "document_loss_of_backend.py"
BACKENDS = ("tensorflow", "jax", "torch")
PLAN = dataclasses.replace(fine_tuning.PLAN, batch_size=4, epochs=3)
CONFIG = BertConfig(vocab_size=30, max_seq_len=8, d_model=16, dff=32)


def split_of(num_windows, aggregate="harmonic", seed=0) -> Split:
    """Return texts with so many windows each."""
    generator = np.random.default_rng(seed)
    count, texts = sum(num_windows), len(num_windows)
    num_tokens = generator.integers(1, 7, count).astype(np.int32)
    input_ids = np.where(np.arange(8) < num_tokens[:, None] + 2, generator.integers(1, 30, (count, 8)), 0)
    text_index = np.repeat(np.arange(texts), num_windows).astype(np.int32)
    windows = Windows(input_ids.astype(np.int32), num_tokens, text_index, np.zeros(texts, bool), aggregate)
    return Split([""] * texts, SENTIMENT.targets(generator.integers(0, 2, texts)), windows)


def batches(split, plan=PLAN, **options):
    dataset = document_batches([split], plan)(**options)
    return [dataset[index] for index in range(len(dataset))]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    classifier = BertClassifier(CONFIG)
    randomize(classifier)
    return logits_model(classifier)


@pytest.mark.parametrize("aggregate", AGGREGATES)
class TestLogits:
    NUM_WINDOWS = (3, 1, 7, 2, 5, 1, 1, 4)

    def test_are_those_of_the_predictor(self, model, aggregate):
        split = split_of(self.NUM_WINDOWS, aggregate)
        numbered = dataclasses.replace(split, targets=np.arange(8))
        expected = split.windows.document_logits(model.predict(split.windows.inputs, verbose=0))
        whole = document_model(model, aggregate, 4)
        for inputs, numbers, _ in batches(numbered):
            logits = as_array(whole(inputs))
            assert logits.dtype == np.float32
            np.testing.assert_allclose(logits, expected[numbers], rtol=0, atol=1e-5)

    def test_do_not_depend_on_padding(self, model, aggregate):
        whole = document_model(model, aggregate, 4)
        inputs, _, _ = batches(split_of(self.NUM_WINDOWS, aggregate))[0]
        is_window = inputs["window_weights"] > 0
        more = {
            name: np.concatenate([values[is_window], values[:5]])
            for name, values in inputs.items()
            if name != "first_windows"
        }
        more["window_weights"][-5:] = 0
        none = {name: values[is_window] for name, values in inputs.items() if name != "first_windows"}
        logits = [
            as_array(whole({"first_windows": inputs["first_windows"], **windows})) for windows in (inputs, more, none)
        ]
        assert len(none["input_ids"]) < len(more["input_ids"])
        np.testing.assert_allclose(logits[1], logits[0], atol=1e-6)
        np.testing.assert_allclose(logits[2], logits[0], atol=1e-6)

    def test_of_large_numbers_stay_finite(self, aggregate):
        window_logits = {"logits": keras.Input((1,), name="logits")}
        whole = document_model(keras.Model(window_logits, window_logits["logits"]), aggregate, 2)
        inputs = {
            "first_windows": np.array([0, 2], np.int32),
            "logits": np.array([[1e30], [1e30], [-1e30], [-1e30], [0]], np.float32),
            "window_weights": np.array([0.5, 0.5, 0.5, 0.5, 0], np.float32),
        }
        np.testing.assert_allclose(as_array(whole(inputs)), [[1e30], [-1e30]], rtol=1e-6)


class TestBatches:
    def test_all_splits_have_their_own_windows_and_targets(self):
        splits = [split_of((2, 3, 1), seed=0), split_of((4, 1), seed=1)]
        splits[1] = dataclasses.replace(splits[1], targets=np.full((2, 1), 0.25, np.float32))
        plan = dataclasses.replace(PLAN, batch_size=5)
        inputs, targets, _ = document_batches(splits, plan)()[0]
        is_window = inputs["window_weights"] > 0
        for name in ("input_ids", "token_type_ids"):
            expected = np.concatenate([split.windows.inputs[name] for split in splits])
            np.testing.assert_array_equal(inputs[name][is_window], expected)
        weights = np.concatenate([split.windows.weights for split in splits])
        np.testing.assert_array_equal(inputs["window_weights"][is_window], weights)
        np.testing.assert_array_equal(targets, np.concatenate([split.targets for split in splits]))
        assert inputs["first_windows"].tolist() == [0, 2, 5, 6, 10]

    def test_texts_may_have_weights(self):
        weights = np.array([1, 2, 3], np.float32)
        plan = dataclasses.replace(PLAN, batch_size=3)
        assert document_batches([split_of((2, 3, 1))], plan, weights)()[0][2].tolist() == [1, 2, 3]

    def test_the_largest_batch_of_all_epochs(self):
        split = split_of((1, 9, 2, 2, 7, 3, 1, 1, 4))
        sums = [
            (inputs["window_weights"] > 0).sum() for epoch in range(3) for inputs, _, _ in batches(split, epoch=epoch)
        ]
        assert most_windows(document_batches([split], PLAN), epochs=3) == max(sums)

    def test_too_many_windows_are_refused(self):
        with pytest.raises(InputError, match="a text has 4,097 windows"):
            most_windows(document_batches([split_of((MAX_WINDOWS + 1, 1))], PLAN), epochs=1)


@pytest.fixture(scope="module")
def reports():
    """The processes of the program, by backend."""

    def run(backend):
        return subprocess.run(
            [sys.executable, str(PROGRAM)],
            env=os.environ | {"KERAS_BACKEND": backend},
            capture_output=True,
            encoding="utf-8",
        )

    with ThreadPoolExecutor(max_workers=2) as pool:
        installed = [backend for backend in BACKENDS if importlib.util.find_spec(backend)]
        yield {backend: pool.submit(run, backend) for backend in installed}


@pytest.mark.slow
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_that_can_train(reports, backend, aggregate):
    if backend not in reports:
        pytest.skip(f"the backend {backend} is not installed: pip install -r requirements-dev.txt")
    process = reports[backend].result()
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout.splitlines()[-1])[aggregate]
    np.testing.assert_allclose(report["logits"], report["expected_logits"], rtol=0, atol=1e-5)
    assert len(report["sizes"]) > 1, "with a single size nothing could be weighted wrongly"
    assert report["loss_of_an_epoch"] == pytest.approx(report["expected_loss_of_an_epoch"], rel=1e-4)
    assert np.isfinite(report["losses"]).all()
    assert report["losses"][-1] < 0.7 * report["losses"][0]
