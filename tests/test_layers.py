"""The layers: what every layer must do, and their arithmetic against NumPy."""

import math

import keras
import numpy as np
import pytest
from layer_checks import (
    HIDDEN,
    IDS,
    MASK,
    POLICIES,
    SEGMENTS,
    as_array,
    check_layer,
    normalize,
    randomize,
    weights_by_name,
)

from layers import BertEmbedding, TransformerEncoder


def encoder(**changes):
    layer = TransformerEncoder(**{"d_model": 16, "num_heads": 4, "dff": 32, "name": "encoder"} | changes)
    layer.build((None, None, layer.d_model))
    randomize(layer)
    return layer


def encoder_in_numpy(layer, inputs, padding_mask):
    """Return what the encoder computes, implemented again from the papers, in float64."""
    weights = weights_by_name(layer)

    def normalized(x, name):
        return normalize(x, weights[f"{name}/gamma"], weights[f"{name}/beta"])

    def attend(x):
        query, key, value = (
            np.einsum("bld,dhk->bhlk", x, weights[f"attention/{name}/kernel"])
            + weights[f"attention/{name}/bias"][:, None]
            for name in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(layer.d_model // layer.num_heads)
        scores = np.where(padding_mask[:, None, None, :], scores, -np.inf)
        weights_of_keys = np.exp(scores - scores.max(-1, keepdims=True))
        context = weights_of_keys / weights_of_keys.sum(-1, keepdims=True) @ value
        projected = np.einsum("bhlk,hkd->bld", context, weights["attention/attention_output/kernel"])
        return projected + weights["attention/attention_output/bias"]

    def feed_forward(x):
        hidden = np.maximum(x @ weights["feed_forward_hidden/kernel"] + weights["feed_forward_hidden/bias"], 0)
        return hidden @ weights["feed_forward_output/kernel"] + weights["feed_forward_output/bias"]

    if layer.normalize_first:
        x = inputs + attend(normalized(inputs, "attention_normalization"))
        return x + feed_forward(normalized(x, "feed_forward_normalization"))
    x = normalized(inputs + attend(inputs), "attention_normalization")
    return normalized(x + feed_forward(x), "feed_forward_normalization")


class TestEncoder:
    @pytest.mark.parametrize(
        "normalize_first",
        [True, False],
        ids=["normalize_first", "normalize_last"],
    )
    def test_passes_the_checks_of_every_layer(self, normalize_first):
        arguments = {
            "d_model": 16,
            "num_heads": 2,
            "dff": 24,
            "dropout_rate": 0.2,
            "normalize_first": normalize_first,
            "activation": "gelu",
            "epsilon": 1e-5,
            "gradient_checkpointing": False,
        }
        # A vector added to all keys does not change the softmax.
        check_layer(TransformerEncoder, arguments, (HIDDEN, MASK), (2, 5, 16), 16, without_gradient=["key/bias"])

    def test_parameter_count(self):
        block = TransformerEncoder(64, 4, 256)
        block.build((None, 64, 64))
        assert block.count_params() == 49_984

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_row_of_padding_stays_finite(self, policy):
        output = encoder(dtype=policy)(HIDDEN[:1], np.zeros((1, 5), bool))
        assert np.isfinite(as_array(output)).all()

    @pytest.mark.parametrize("normalize_first", [True, False])
    def test_equals_numpy(self, normalize_first):
        layer = encoder(normalize_first=normalize_first)
        expected = encoder_in_numpy(layer, 3 * HIDDEN + 1, MASK)
        output = as_array(layer(3 * HIDDEN + 1, MASK))
        np.testing.assert_allclose(output[MASK], expected[MASK], rtol=1e-5, atol=2e-5)

    @pytest.mark.parametrize(
        ("activation", "function"),
        [
            ("relu", lambda x: np.maximum(x, 0)),
            ("gelu", lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
            ("gelu_tanh", lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ],
    )
    def test_activations(self, activation, function):
        values = np.linspace(-6, 6, 50).astype("float32")
        output = as_array(encoder(activation=activation).feed_forward_hidden.activation(values))
        np.testing.assert_allclose(output, function(values.astype("float64")), atol=1e-6)

    def test_an_unknown_activation_is_refused(self):
        with pytest.raises(ValueError, match="unknown activation 'swish': use one of relu, gelu, gelu_tanh"):
            TransformerEncoder(16, 4, 32, activation="swish")

    def test_epsilon_is_that_of_every_normalisation(self):
        layer = encoder(epsilon=0.5)
        assert layer.attention_normalization.epsilon == layer.feed_forward_normalization.epsilon == 0.5
        embedding = BertEmbedding(9, 8, 16, epsilon=0.5)
        assert embedding.normalization.epsilon == 0.5

    def test_heads_that_do_not_divide_the_width_are_refused(self):
        with pytest.raises(ValueError, match="3 does not divide 16"):
            TransformerEncoder(16, 3, 32)

    def test_dropout_is_off_at_inference(self):
        with_dropout, without = (as_array(encoder(dropout_rate=rate)(HIDDEN, MASK)) for rate in (0.5, 0.0))
        np.testing.assert_allclose(with_dropout, without, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("position", ["attention", "attention_dropout", "feed_forward_dropout"])
    def test_dropout_is_on_in_training(self, position):
        layer = encoder(dropout_rate=0.5)
        for other in {"attention_dropout", "feed_forward_dropout"} - {position}:
            getattr(layer, other).rate = 0.0
        if position != "attention":
            parts = vars(layer.attention).values()
            (dropout,) = (part for part in parts if isinstance(part, keras.layers.Dropout))
            dropout.rate = 0.0
        first, second = (as_array(layer(HIDDEN, MASK, training=True)) for _ in range(2))
        assert np.abs(first - second).max() > 0.1


class TestGradientCheckpointing:
    @pytest.mark.parametrize("normalize_first", [True, False])
    @pytest.mark.parametrize("jit_compile", [True, False])
    def test_a_training_step_changes_the_weights_as_without_it(self, normalize_first, jit_compile):
        def weights_after_a_step(checkpointing):
            layer = encoder(dropout_rate=0.0, normalize_first=normalize_first, gradient_checkpointing=checkpointing)
            inputs = keras.Input((5, 16)), keras.Input((5,), dtype="bool")
            model = keras.Model(inputs, layer(*inputs))
            model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
            model.fit([HIDDEN, MASK], np.zeros((2, 5, 16)), batch_size=2, verbose=0)
            return layer.get_weights()

        before = encoder(normalize_first=normalize_first).get_weights()
        expected = weights_after_a_step(checkpointing=False)
        for found, plain in zip(weights_after_a_step(checkpointing=True), expected, strict=True):
            np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)
        assert any(np.abs(plain - old).max() > 0.01 for plain, old in zip(expected, before, strict=True))

    def test_dropout_is_refused(self):
        with pytest.raises(ValueError, match="needs a dropout rate of 0"):
            encoder(dropout_rate=0.1, gradient_checkpointing=True)

    def test_only_a_training_step_computes_twice(self):
        layer = encoder(dropout_rate=0.0, gradient_checkpointing=True)
        plain = encoder(dropout_rate=0.0)
        np.testing.assert_array_equal(as_array(layer(HIDDEN, MASK)), as_array(plain(HIDDEN, MASK)))


class TestEmbedding:
    @pytest.fixture
    def embedding(self):
        embedding = BertEmbedding(100, 8, 16)
        embedding.build((None, None))
        randomize(embedding)
        return embedding

    def test_passes_the_checks_of_every_layer(self):
        arguments = {
            "vocab_size": 30,
            "max_seq_len": 9,
            "d_model": 16,
            "type_vocab_size": 3,
            "dropout_rate": 0.2,
            "epsilon": 1e-5,
        }
        check_layer(BertEmbedding, arguments, (IDS, SEGMENTS), (2, 5, 16), expected_weights_count=5)

    def test_parameter_count(self):
        embedding = BertEmbedding(21_128, 64, 64)
        embedding.build((None, 64))
        assert embedding.count_params() == 1_356_544

    def test_equals_numpy(self, embedding):
        weights = weights_by_name(embedding)
        tokens, positions, segments = (
            weights[f"{name}_embedding/embeddings"] for name in ("token", "position", "segment")
        )
        total = tokens[IDS] + positions[: IDS.shape[1]] + segments[SEGMENTS]
        expected = normalize(total, weights["normalization/gamma"], weights["normalization/beta"])
        np.testing.assert_allclose(as_array(embedding(IDS, SEGMENTS)), expected, rtol=1e-5, atol=1e-5)

    def test_tables_are_initialized_with_different_numbers(self):
        embedding = BertEmbedding(100, 8, 16)
        embedding.build((None, None))
        tokens, positions, segments = embedding.get_weights()[:3]
        for other in (tokens[:8], np.tile(segments, (4, 1))):
            assert not np.isin(positions, other).any()
        assert not np.isin(segments, tokens).any()

    def test_without_segments_all_tokens_are_in_the_first(self, embedding):
        np.testing.assert_array_equal(as_array(embedding(IDS)), as_array(embedding(IDS, np.zeros_like(IDS))))

    def test_an_input_with_too_many_tokens_is_refused(self, embedding):
        assert embedding(np.ones((1, 8), "int32")).shape == (1, 8, 16)
        with pytest.raises(ValueError, match="9 tokens .* 8 positions"):
            embedding(np.ones((1, 9), "int32"))

    def test_dropout_is_on_only_in_training(self):
        embedding = BertEmbedding(100, 64, 64, dropout_rate=0.25)
        ids = np.ones((8, 64), "int32")
        np.testing.assert_array_equal(as_array(embedding(ids)), as_array(embedding(ids)))
        dropped = as_array(embedding(ids, training=True)) == 0
        assert 0.23 < dropped.mean() < 0.27
