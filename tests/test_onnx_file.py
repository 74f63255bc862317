"""Write a classifier for ONNX Runtime, beside its `.keras` file."""

import shutil

import numpy as np
import pytest
import tiny_models
from arrays import random_ids

from network.metadata import weights_sha256
from network.model_file import load_model, save_model
from serving.export.onnx_file import export_onnx, onnx_path
from serving.predictor import Predictor
from serving.runtimes.keras_runtime import KerasRuntime
from serving.runtimes.onnx_runtime import OnnxRuntime
from system.errors import InputError
from text.corpus import iter_texts
from text.labels import SENTIMENT


def test_the_file_has_what_the_keras_file_has(tiny_model):
    onnx, keras = OnnxRuntime(onnx_path(tiny_model)), KerasRuntime(tiny_model)
    assert (onnx.name, keras.name) == ("onnx", "keras")
    for name in ("metadata", "tokenizer_file", "max_seq_len"):
        assert getattr(onnx, name) == getattr(keras, name)
    assert onnx.weights_sha256 == weights_sha256(tiny_model)


def test_its_logits_are_those_of_the_keras_file(tiny_model):
    onnx, keras = OnnxRuntime(onnx_path(tiny_model)), KerasRuntime(tiny_model)
    ids = random_ids((300, onnx.max_seq_len))
    logits, expected = onnx.logits(ids), keras.logits(ids)
    assert expected.std() > 0.01
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)
    probabilities, expected_probabilities = map(SENTIMENT.probabilities, (logits, expected))
    np.testing.assert_allclose(probabilities, expected_probabilities, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def model_of_three(tmp_path_factory):
    path = tmp_path_factory.mktemp("three") / "three.keras"
    save_model(tiny_models.classifier({"labels": ["差", "中", "好"]}, max_seq_len=16), path)
    export_onnx(path)
    return path


@pytest.mark.parametrize(("model", "num_labels"), [("model_of_three", 3), ("tiny_emotions", 6), ("tiny_aspects", 4)])
def test_both_runtimes_agree_on_other_labels(request, model, num_labels):
    path = request.getfixturevalue(model)
    texts = list(iter_texts(["sample"]))[:100]
    onnx, keras = (Predictor(path, runtime=runtime) for runtime in ("onnx", "keras"))
    assert onnx.labels == keras.labels
    probabilities, expected = onnx.predict_proba(texts), keras.predict_proba(texts)
    assert probabilities.shape == (100, num_labels) and expected.std() > 0.01
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
    assert [one.labels for one in onnx.predict(texts)] == [one.labels for one in keras.predict(texts)]
    assert onnx.threshold == keras.threshold


def test_an_earlier_file_is_kept(tiny_model, tmp_path):
    for path in (tiny_model, onnx_path(tiny_model)):
        shutil.copy(path, tmp_path)
    model_file = tmp_path / tiny_model.name
    before = onnx_path(model_file).read_bytes()
    assert export_onnx(model_file) == [f"Model saved to {onnx_path(model_file)}"]
    assert (tmp_path / "tiny.previous.onnx").read_bytes() == before
    assert OnnxRuntime(onnx_path(model_file)).tokenizer_file == load_model(model_file).tokenizer_json.encode()


def test_only_the_keras_file_beside_it_records_the_hash_of_the_weights(tiny_model, tmp_path):
    model_file = tmp_path / "model.keras"
    load_model(tiny_model).save(model_file)  # by Keras itself, without the hash
    before = model_file.read_bytes()
    export_onnx(model_file, tmp_path / "elsewhere" / "model.onnx")
    assert model_file.read_bytes() == before
    export_onnx(model_file, tmp_path / "elsewhere" / ".." / "model.onnx")
    assert weights_sha256(model_file) == OnnxRuntime(onnx_path(model_file)).weights_sha256


def test_a_missing_model_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such model file"):
        export_onnx(tmp_path / "none.keras")
    assert list(tmp_path.iterdir()) == []
