"""The optimizer: the schedule of the learning rate, and a separate learning rate for some layers."""

import json
import math

import keras
import numpy as np
import pytest
from layer_checks import randomize

from training.engine.optimizer import (
    DiscriminativeAdamW,
    averaged_weights,
    decaying_learning_rate,
    fine_tuning_optimizer,
    use_averaged_weights,
)

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

    def test_can_fall_linearly(self):
        schedule = decaying_learning_rate(0.4, 100, warmup_fraction=0.2, decay="linear")
        steps = (0, 5, 10, 20, 40, 60, 80, 100, 101)
        assert [float(schedule(step)) for step in steps] == pytest.approx(
            [0, 0.1, 0.2, 0.4, 0.3, 0.2, 0.1, 0, 0], abs=1e-7
        )

    def test_can_stay_constant(self):
        schedule = decaying_learning_rate(0.4, 100, warmup_fraction=0.2, decay="constant")
        assert [float(schedule(step)) for step in (0, 10, 20, 60, 100)] == pytest.approx([0, 0.2, 0.4, 0.4, 0.4])

    @pytest.mark.parametrize(("decay", "middle"), [("cosine", 0.2), ("linear", 0.2)])
    def test_can_begin_at_the_peak(self, decay, middle):
        schedule = decaying_learning_rate(0.4, 10, warmup_fraction=0, decay=decay)
        assert [float(schedule(step)) for step in (0, 5, 10)] == pytest.approx([0.4, middle, 0], abs=1e-7)
        assert decaying_learning_rate(0.4, 10, warmup_fraction=0, decay="constant") == 0.4

    @pytest.mark.parametrize("decay", ["cosine", "linear", "constant"])
    def test_a_warm_up_of_all_steps(self, decay):
        schedule = decaying_learning_rate(0.4, 10, warmup_fraction=1, decay=decay)
        assert [float(schedule(step)) for step in (0, 9)] == pytest.approx([0, 0.4])


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
        assert again.factors == {"classification_output": 1.0, "state_projections": 1.0}
        assert again.other_factor == pytest.approx(5e-3)
        assert again.get_config() == optimizer.get_config()


HEAD_AND_BODY = ("bert_embedding", "transformer_encoder", "transformer_encoder_1", "classification_output")


def network(optimizer):
    """Return a compiled chain of one layer a name of `HEAD_AND_BODY`, with a normalisation inside of the first."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,))
    x = inputs
    for name in HEAD_AND_BODY[:-1]:
        x = keras.layers.Dense(4, name=name)(x)
    x = keras.layers.LayerNormalization(name="normalization")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name=HEAD_AND_BODY[-1])(x))
    randomize(model)
    model.compile(optimizer, loss="mse", run_eagerly=True)  # compilation would take longer than these few steps
    return model


FEATURES = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
TARGETS = FEATURES[:, :1]


def fit(model, batch_size=24, epochs=1):
    """Train on the rows in order; return the history."""
    return model.fit(FEATURES, TARGETS, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0).history


def optimizer_of(total_steps=1, **options):
    return fine_tuning_optimizer(1e-3, 1e-2, total_steps, **{"backbone_layers": HEAD_AND_BODY[:-1]} | options)


def test_the_learning_rate_decays_from_layer_to_layer():
    model = network(optimizer_of(layer_decay=0.5))
    before = {name: model.get_layer(name).get_weights() for name in HEAD_AND_BODY}
    fit(model)
    # The first step of Adam moves each weight by the learning rate, whatever its gradient.
    moves = {name: np.abs(model.get_layer(name).get_weights()[0] - before[name][0]).max() for name in HEAD_AND_BODY}
    assert list(moves.values()) == pytest.approx([0.25e-3, 0.5e-3, 1e-3, 1e-2], rel=0.02)


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_a_new_layer_moves_as_fast_as_the_head(layer_decay):
    model = network(optimizer_of(layer_decay=layer_decay, new_layers=["normalization"]))
    before = model.get_layer("normalization").get_weights()
    fit(model)
    moves = [
        np.abs(new - old).max() for new, old in zip(model.get_layer("normalization").get_weights(), before, strict=True)
    ]
    assert moves == pytest.approx([1e-2, 1e-2], rel=0.02)


class TestWeightDecay:
    @pytest.fixture(scope="class")
    @classmethod
    def decayed(cls):
        """The weights by path: before, and after a step with and without weight decay."""
        models = [network(optimizer_of(layer_decay=0.5, weight_decay=decay)) for decay in (0.0, 0.1)]
        before = models[0].get_weights()
        for model in models:
            fit(model)
        paths = [variable.path for variable in models[0].weights]
        return dict(zip(paths, zip(before, *(model.get_weights() for model in models), strict=True), strict=True))

    @pytest.mark.parametrize("name, rate", list(zip(HEAD_AND_BODY, (0.25e-3, 0.5e-3, 1e-3, 1e-2), strict=True)))
    def test_is_in_proportion_to_the_learning_rate_of_the_layer(self, decayed, name, rate):
        before, without, with_decay = decayed[f"{name}/kernel"]
        np.testing.assert_allclose(with_decay - without, -0.1 * rate * before, atol=1e-7)

    def test_spares_biases_and_normalisations(self, decayed):
        spared = [path for path, (_, without, with_decay) in decayed.items() if (without == with_decay).all()]
        assert spared == [path for path in decayed if path.split("/")[-1] in ("bias", "gamma", "beta")]
        assert len(spared) == 6


class TestAccumulation:
    def test_the_mean_gradient_of_several_batches_is_one_step(self):
        one = network(optimizer_of(schedule="constant", warmup=0))
        fit(one, batch_size=24)
        several = network(optimizer_of(schedule="constant", warmup=0, accumulate=3))
        fit(several, batch_size=8)
        for value, expected in zip(several.get_weights(), one.get_weights(), strict=True):
            np.testing.assert_allclose(value, expected, atol=1e-6)

    @pytest.mark.parametrize("schedule", ["cosine", "linear"])
    def test_the_learning_rate_ends_at_zero_at_the_last_batch(self, schedule):
        model = network(optimizer_of(total_steps=12, schedule=schedule, accumulate=3))
        learning_rates = []

        class Recorder(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                learning_rates.append(float(self.model.optimizer.learning_rate))

        model.fit(FEATURES, TARGETS, batch_size=8, epochs=4, verbose=0, callbacks=[Recorder()])
        assert len(learning_rates) == 12
        assert max(learning_rates) == pytest.approx(1e-2)
        assert learning_rates[-1] == pytest.approx(0, abs=1e-9) and learning_rates[-2] > 1e-5


class TestMovingAverage:
    @pytest.mark.parametrize("accumulate", [1, 3])
    def test_its_momentum_is_per_step(self, accumulate):
        model = network(optimizer_of(total_steps=12, ema=0.6, accumulate=accumulate))
        weights = []

        class Recorder(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                weights.append(self.model.get_weights())

        model.fit(FEATURES, TARGETS, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=[Recorder()])
        momentum = 0.6 ** (1 / accumulate)
        # It begins at the weights of the first step; while gradients accumulate there is none.
        expected = weights[accumulate - 1]
        for after in weights[accumulate:]:
            expected = [momentum * old + (1 - momentum) * new for old, new in zip(expected, after, strict=True)]
        with averaged_weights(model):
            for value, average in zip(model.get_weights(), expected, strict=True):
                np.testing.assert_allclose(value, average, atol=1e-6)

    def test_the_training_goes_on_with_the_weights_themselves(self):
        plain, averaging = network(optimizer_of(4)), network(optimizer_of(4, ema=0.5))
        for epoch in range(4):
            for model in (plain, averaging):
                fit(model)
            before = averaging.get_weights()
            with averaged_weights(averaging):
                differs = any((new != old).any() for new, old in zip(averaging.get_weights(), before, strict=True))
            assert differs == (epoch >= 1), "the warm-up begins with a learning rate of zero"
            for value, expected in zip(averaging.get_weights(), plain.get_weights(), strict=True):
                np.testing.assert_array_equal(value, expected)

    def test_the_weights_come_back_after_an_error(self):
        model = network(optimizer_of(2, ema=0.5))
        fit(model, epochs=2)
        before = model.get_weights()
        with pytest.raises(KeyboardInterrupt), averaged_weights(model):
            raise KeyboardInterrupt
        for value, expected in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, expected)

    @pytest.mark.parametrize("use", [averaged_weights, use_averaged_weights])
    @pytest.mark.parametrize("ema", [None, 0.5], ids=["without one", "before the first step"])
    def test_nothing_changes(self, use, ema):
        model = network(optimizer_of(2, ema=ema))
        if ema is None:
            fit(model)
        before = model.get_weights()
        use(model)
        for value, expected in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_all_options_survive_a_round_trip():
    optimizer = optimizer_of(100, layer_decay=0.9, schedule="linear", weight_decay=0.1, accumulate=2, ema=0.9)
    again = keras.optimizers.deserialize(json.loads(json.dumps(keras.optimizers.serialize(optimizer))))
    assert again.get_config() == optimizer.get_config()
    assert float(again.learning_rate) == float(optimizer.learning_rate)
