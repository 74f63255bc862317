"""Smaller ONNX models: what they contain, how near their answers are, and where they may lie."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_models
from arrays import random_ids
from onnx import TensorProto

from network.heads import POOLING_LAYERS
from serving.export.onnx_file import onnx_model
from serving.export.quantization import FLOAT16_EMBEDDINGS, INT8, QUANTIZATIONS, check_quantized_path, quantized
from serving.runtimes.onnx_check import WEIGHTS_SHA256
from system.errors import InputError

MAX_SEQ_LEN = 16
# Of probabilities. These small networks of random weights feel the rounding more than a trained one.
TOLERANCES = {INT8: 0.1, FLOAT16_EMBEDDINGS: 2e-3}


def logits_of(model: onnx.ModelProto, ids: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": ids})[0]


def probabilities_of(model: onnx.ModelProto, ids: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits_of(model, ids)))


def properties(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def types_of_weights(model: onnx.ModelProto) -> set[int]:
    """Return the types of the constants with more than a few values."""
    return {each.data_type for each in model.graph.initializer if np.prod(each.dims) > 16}


@pytest.fixture(scope="module")
def full():
    return onnx_model(tiny_models.classifier(max_seq_len=MAX_SEQ_LEN))


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize(
    ("pooling", "sizes"),
    [*((pooling, {}) for pooling in POOLING_LAYERS), ("pooler", {"normalize_first": False, "activation": "gelu"})],
)
def test_the_probabilities_are_nearly_those_of_the_full_model(quantization, pooling, sizes):
    full = onnx_model(tiny_models.classifier(pooling=pooling, max_seq_len=MAX_SEQ_LEN, **sizes))
    smaller, ids = quantized(full, quantization), random_ids((50, MAX_SEQ_LEN))
    assert (ids == 0).any()
    for each in (ids, ids[:1, :5]):
        expected = probabilities_of(full, each)
        np.testing.assert_allclose(probabilities_of(smaller, each), expected, rtol=0, atol=TOLERANCES[quantization])
    assert probabilities_of(full, ids).std() > 0.01
    assert (probabilities_of(smaller, ids) != probabilities_of(full, ids)).any()


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_model_itself_is_not_changed(full, quantization):
    before = full.SerializeToString(deterministic=True)
    quantized(full, quantization)
    assert full.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_metadata_are_those_of_the_model_but_for_the_hash(full, quantization):
    expected = properties(full) | {WEIGHTS_SHA256: f"{properties(full)[WEIGHTS_SHA256]} {quantization}"}
    assert properties(quantized(full, quantization)) == expected


def test_int8_has_integer_matrices_and_an_integer_table(full):
    smaller = quantized(full, INT8)
    operations = [node.op_type for node in smaller.graph.node]
    assert "Gemm" not in operations
    assert operations.count("MatMulInteger") == [node.op_type for node in full.graph.node].count("Gemm")
    tables = [each for each in smaller.graph.initializer if each.dims[:1] == full_table(full).dims[:1]]
    assert [each.data_type for each in tables] == [TensorProto.UINT8]


def test_float16_embeddings_change_nothing_but_the_table(full):
    smaller = quantized(full, FLOAT16_EMBEDDINGS)
    assert types_of_weights(smaller) == {TensorProto.FLOAT, TensorProto.FLOAT16}
    (table,) = [each for each in smaller.graph.initializer if each.data_type == TensorProto.FLOAT16]
    assert table.dims == full_table(full).dims
    assert len(smaller.graph.node) == len(full.graph.node) + 1


def full_table(model: onnx.ModelProto) -> onnx.TensorProto:
    return max(model.graph.initializer, key=lambda each: np.prod(each.dims))


def test_a_text_has_the_same_probability_in_every_batch_with_float16_embeddings(full):
    smaller, ids = quantized(full, FLOAT16_EMBEDDINGS), random_ids((20, MAX_SEQ_LEN))
    alone = np.concatenate([logits_of(smaller, ids[row : row + 1]) for row in range(len(ids))])
    np.testing.assert_allclose(logits_of(smaller, ids), alone, rtol=1e-5, atol=1e-5)


def test_the_place_of_an_exact_file_is_refused(tmp_path):
    check_quantized_path(tmp_path / "model.onnx", INT8)
    (tmp_path / "model.keras").touch()
    with pytest.raises(InputError, match=r"choose another name, such as model-int8\.onnx"):
        check_quantized_path(tmp_path / "model.onnx", INT8)
    check_quantized_path(tmp_path / "model-int8.onnx", INT8)
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        check_quantized_path(tmp_path / "model-int8", INT8)
