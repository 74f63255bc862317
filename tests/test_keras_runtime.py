"""Run a classifier with Keras."""

import json
import re
import zipfile

import numpy as np
import pytest
from arrays import logits_of, random_ids
from tiny_models import ASPECT_THRESHOLDS, ASPECTS, EMOTIONS

from network.model_file import load_model
from serving.runtimes.keras_runtime import KerasRuntime
from system.errors import InputError


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_logits_are_those_of_the_network(tiny_model, batch_size):
    runtime = KerasRuntime(tiny_model)
    ids = random_ids((20, runtime.max_seq_len))
    logits = runtime.logits(ids, batch_size)
    assert (logits.shape, logits.dtype) == ((20, 1), np.float32)
    probabilities = load_model(tiny_model)({"input_ids": ids, "token_type_ids": np.zeros_like(ids)})
    np.testing.assert_allclose(logits, logits_of(np.asarray(probabilities, np.float64)[:, 0]), rtol=1e-3, atol=1e-4)


def test_the_file_says_how_to_use_the_model(tiny_model):
    classifier, runtime = load_model(tiny_model), KerasRuntime(tiny_model)
    assert runtime.name == "keras"
    assert runtime.tokenizer_file == classifier.tokenizer_json.encode()
    assert runtime.max_seq_len == classifier.config.max_seq_len == 16
    assert (runtime.metadata.labels.names, runtime.metadata.threshold) == (("负面", "正面"), 0.4)


@pytest.mark.parametrize(
    ("model", "names", "threshold"),
    [("tiny_emotions", EMOTIONS, None), ("tiny_aspects", ASPECTS, ASPECT_THRESHOLDS)],
)
def test_there_is_a_logit_per_label(request, model, names, threshold):
    model_path = request.getfixturevalue(model)
    runtime = KerasRuntime(model_path)
    ids = random_ids((20, runtime.max_seq_len))
    logits = runtime.logits(ids, 7)
    assert (logits.shape, logits.dtype) == ((20, len(names)), np.float32)
    probabilities = load_model(model_path)({"input_ids": ids, "token_type_ids": np.zeros_like(ids)})
    np.testing.assert_allclose(runtime.metadata.labels.probabilities(logits), np.asarray(probabilities), atol=1e-6)
    assert (runtime.metadata.labels.names, runtime.metadata.threshold) == (names, threshold)


@pytest.mark.parametrize("labels", [["差", "中", "好"], ["差", "好"], ["好"], None])
def test_labels_that_do_not_fit_the_outputs_are_refused(tiny_emotions, tmp_path, labels):
    path = tmp_path / "changed.keras"
    with zipfile.ZipFile(tiny_emotions) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["metadata"]["labels"] = labels
                content = json.dumps(config).encode()
            target.writestr(name, content)
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))}: "):
        KerasRuntime(path)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "damaged.keras").write_bytes(b"not a model")
    with pytest.raises(InputError, match="damaged"):
        KerasRuntime(tmp_path / "damaged.keras")
