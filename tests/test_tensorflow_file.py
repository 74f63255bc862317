"""TensorFlow 1 checkpoints: their variables without those of the optimizer, and damage."""

import sys

import numpy as np
import pytest

from network.checkpoints.formats import read_tensors
from system.errors import InputError

QUERY = "bert/encoder/layer_0/attention/self/query/kernel"
VARIABLES = {
    QUERY: np.arange(6, dtype=np.float32).reshape(2, 3),
    f"{QUERY}/adam_m": np.ones((2, 3), np.float32),
    f"{QUERY}/adam_v": np.ones((2, 3), np.float32),
    "cls/predictions/output_bias": np.array([0.5, 1.5]),
    "global_step": np.array(1000),
    "count": np.array([3], np.int32),
    "note": np.array([b"text"], object),
}


def write(prefix, variables=VARIABLES):
    import tensorflow as tf

    values = [tf.constant(value) for value in variables.values()]
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=list(variables), shape_and_slices=[""] * len(values), tensors=values
    )


@pytest.mark.parametrize("name", ["bert_model.ckpt", "model.ckpt-1000"])
def test_the_variables_without_those_of_the_optimizer(tmp_path, name):
    write(tmp_path / name)
    found = read_tensors(tmp_path)
    assert found.keys() == {QUERY, "cls/predictions/output_bias", "count"}
    assert found["cls/predictions/output_bias"].dtype == np.float32 and found["count"].dtype == np.int32
    np.testing.assert_array_equal(found[QUERY], VARIABLES[QUERY])


def test_floats_of_sixteen_bits(tmp_path):
    import tensorflow as tf

    values = tf.constant([1, -2.5])
    variables = {"half": tf.cast(values, tf.float16), "brain": tf.cast(values, tf.bfloat16)}
    write(tmp_path / "bert_model.ckpt", variables)
    for tensor in read_tensors(tmp_path).values():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, [1, -2.5])


def test_damaged_checkpoints_are_refused(tmp_path):
    write(tmp_path / "bert_model.ckpt")
    index, data = tmp_path / "bert_model.ckpt.index", tmp_path / "bert_model.ckpt.data-00000-of-00001"
    whole_index, whole_data = index.read_bytes(), data.read_bytes()
    damage = [
        (b"", whole_data),
        (whole_index[:-9], whole_data),
        (b"a" * 200, whole_data),
        (whole_index, b""),
        (whole_index, whole_data[:8]),
        (whole_index, bytes(len(whole_data))),
    ]
    for changed_index, changed_data in damage:
        index.write_bytes(changed_index)
        data.write_bytes(changed_data)
        with pytest.raises(InputError, match=r"bert_model\.ckpt\.index: damaged"):
            read_tensors(tmp_path)
    data.unlink()
    index.write_bytes(whole_index)
    with pytest.raises(InputError, match=r"bert_model\.ckpt\.index: damaged"):
        read_tensors(tmp_path)


def test_without_tensorflow(tmp_path, monkeypatch):
    (tmp_path / "bert_model.ckpt.index").write_bytes(b"a")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match="only TensorFlow can read; run `pip install"):
        read_tensors(tmp_path)
