"""The optimizer: the schedule of the learning rate, and a separate learning rate for some layers."""

import json
import math

import keras
import numpy as np
import pytest
from layer_checks import randomize

from training.engine.optimizer import DiscriminativeAdamW, decaying_learning_rate, fine_tuning_optimizer

LAYER_NAMES = ("transformer_encoder", "classification_output", "old")


class TestLearningRate:
    @pytest.mark.parametrize("total_steps", [2, 3, 10, 100])
    def test_rises_to_the_peak_and_falls_to_zero(self, total_steps):
        schedule = decaying_learning_rate(0.5, total_steps)
        learning_rates = [float(schedule(step)) for step in range(total_steps + 1)]
        peak = int(np.argmax(learning_rates))
        assert peak == max(1, round(0.06 * total_steps))
        assert learning_rates[peak] == 0.5
        assert (np.diff(learning_rates[: peak + 1]) > 0).all()
        assert (np.diff(learning_rates[peak:]) < 0).all()
        assert learning_rates[0] == 0
        assert learning_rates[total_steps] == pytest.approx(0, abs=1e-7)

    def test_rises_linearly_and_falls_along_a_cosine(self):
        schedule = decaying_learning_rate(1.0, 100)
        assert [float(schedule(step)) for step in (1, 3, 6)] == pytest.approx([1 / 6, 1 / 2, 1])
        assert float(schedule(6 + 47)) == pytest.approx(0.5)
        assert float(schedule(6 + 94 // 3)) == pytest.approx((1 + math.cos(math.pi * 31 / 94)) / 2)

    def test_a_single_step_has_the_peak(self):
        assert decaying_learning_rate(0.5, 1) == 0.5


class TestDiscriminativeAdamW:
    def trained_layers(self, optimizer, steps=4):
        """Return three layers after a few steps on random gradients, the same ones for every optimizer."""
        layers = [keras.layers.Dense(3, name=name) for name in LAYER_NAMES]
        for number, layer in enumerate(layers):
            layer.build((None, 2))
            randomize(layer, seed=number)
        variables = [variable for layer in layers for variable in layer.trainable_variables]
        generator = np.random.default_rng(1)
        for _ in range(steps):
            gradients = [generator.normal(size=variable.shape).astype("float32") for variable in variables]
            optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)
        return {layer.name: layer for layer in layers}

    def test_each_layer_moves_as_with_an_optimizer_of_its_own(self):
        factors = {"classification_output": 1.0, "old": 0.5}
        together = self.trained_layers(DiscriminativeAdamW(0.02, factors, other_factor=0.1, weight_decay=0.0))
        for name, learning_rate in zip(LAYER_NAMES, (0.002, 0.02, 0.01), strict=True):
            alone = self.trained_layers(keras.optimizers.Adam(learning_rate))
            for value, expected in zip(together[name].get_weights(), alone[name].get_weights(), strict=True):
                np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_fine_tuning_moves_head_and_backbone_by_their_learning_rates(self, jit_compile):
        keras.utils.set_random_seed(1)  # with some weights a gradient is small even beside epsilon
        features = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
        labels = (features[:, 0] > 0).astype("float32")
        inputs = keras.Input((5,))
        hidden = keras.layers.Dense(4, name="bert_embedding")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid", name="classification_output")(hidden))
        model.compile(fine_tuning_optimizer(5e-5, 1e-2, 1), loss="binary_crossentropy", jit_compile=jit_compile)
        before = model.get_weights()
        model.fit(features, labels, batch_size=24, verbose=0)
        # The first step of Adam moves each weight by the learning rate, whatever its gradient.
        moves = [np.abs(new - old).max() for new, old in zip(model.get_weights(), before, strict=True)]
        assert moves == pytest.approx([5e-5, 5e-5, 1e-2, 1e-2], rel=0.02)

    def test_config_round_trip(self):
        optimizer = fine_tuning_optimizer(5e-5, 1e-2, 100)
        again = keras.optimizers.deserialize(json.loads(json.dumps(keras.optimizers.serialize(optimizer))))
        assert type(again) is DiscriminativeAdamW
        assert again.factors == {"classification_output": 1.0}
        assert again.other_factor == pytest.approx(5e-3)
        assert again.get_config() == optimizer.get_config()
