"""Training in another precision: a copy computes in it, and nothing of it remains afterwards."""

import keras
import numpy as np
import pytest

from network.backbone import BertConfig, backbone_layers
from network.bert import BertClassifier, logits_model
from training.engine.precision import LossScaling, global_precision, in_precision, with_loss_scaling

CONFIG = BertConfig(vocab_size=30, max_seq_len=8, d_model=16, dff=32)
IDS = np.array([[5, 6, 7, 0, 0, 0, 0, 0]], "int32")
INPUTS = {"input_ids": IDS, "token_type_ids": np.zeros_like(IDS)}


@pytest.fixture
def classifier():
    keras.utils.set_random_seed(0)
    return BertClassifier(CONFIG, metadata={"labels": ["低", "中", "高"]}, unfreeze=1)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_copy_computes_in_the_precision(classifier, precision):
    with in_precision(classifier, precision) as trained:
        assert trained is not classifier
        assert {layer.dtype_policy.name for layer in backbone_layers(trained)} == {precision}
        assert {variable.dtype for variable in trained.trainable_variables} == {"float32"}
        assert [variable.path for variable in trained.trainable_variables] == [
            variable.path for variable in classifier.trainable_variables
        ]
        model = logits_model(trained)
        logits = model(INPUTS)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert model.dtype_policy.name == precision, "Keras would not scale the loss of float16"
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(logits), keras.ops.convert_to_numpy(logits_model(classifier)(INPUTS)), atol=0.05
        )


def test_the_classifier_gets_the_weights_and_keeps_its_own_precision(classifier):
    with in_precision(classifier, "mixed_bfloat16") as trained:
        changed = [weights + 0.25 for weights in trained.get_weights()]
        trained.set_weights(changed)
    for value, expected in zip(classifier.get_weights(), changed, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert {layer.dtype_policy.name for layer in backbone_layers(classifier)} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_an_error_leaves_the_global_precision_as_it_was(classifier):
    before = classifier.get_weights()
    with pytest.raises(KeyboardInterrupt), in_precision(classifier, "mixed_float16") as trained:
        trained.set_weights([weights + 1 for weights in trained.get_weights()])
        raise KeyboardInterrupt
    assert keras.config.dtype_policy().name == "float32"
    for value, expected in zip(classifier.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_the_copy_has_the_same_head():
    classifier = BertClassifier(
        CONFIG, metadata={"labels": ["甲", "乙"], "multi_label": True}, pooling="max", head_dropout_rate=0.3
    )
    with in_precision(classifier, "mixed_bfloat16") as trained:
        assert trained.get_config() == classifier.get_config()
        assert [layer.name for layer in trained.layers] == [layer.name for layer in classifier.layers]


def test_the_global_precision_ends_with_the_block():
    with pytest.raises(KeyboardInterrupt), global_precision("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise KeyboardInterrupt
    assert keras.config.dtype_policy().name == "float32"


class TestLossScaling:
    @pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
    def test_is_for_float16_alone(self, precision):
        optimizer = keras.optimizers.SGD()
        with global_precision(precision):
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(with_loss_scaling(optimizer, model))
        is_scaled = precision == "mixed_float16"
        assert type(model.optimizer) is (LossScaling if is_scaled else keras.optimizers.SGD)
        assert (model.optimizer.inner_optimizer if is_scaled else model.optimizer) is optimizer

    @pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has such gradients")
    @pytest.mark.parametrize("values", [[np.inf, 1.0, 2.0], [1.0, np.nan, 2.0], [1.0, 2.0, np.inf]])
    def test_an_overflow_at_any_occurrence_of_a_token_is_found(self, values):
        import tensorflow as tf

        def gradient_of(values):
            return tf.IndexedSlices(tf.constant(values)[:, None], tf.constant([1, 1, 1]), tf.constant([3, 1]))

        optimizer = LossScaling(keras.optimizers.SGD())
        dense = tf.constant([1.0])
        assert not optimizer.check_finite([dense, gradient_of(values)])
        assert optimizer.check_finite([dense, gradient_of([1.0, 2.0, 3.0])])
        assert not optimizer.check_finite([tf.constant([np.inf]), gradient_of([1.0, 2.0, 3.0])])


def test_its_own_precision_needs_no_copy(classifier):
    with in_precision(classifier, "float32") as trained:
        assert trained is classifier
