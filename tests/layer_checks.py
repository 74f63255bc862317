"""What every layer must do, checked by one helper, and weights large enough that a fault in using them shows."""

import inspect
import json

import keras
import numpy as np
from keras import ops

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


def check_layer(
    layer_class,
    init_kwargs,
    inputs,
    expected_output_shape,
    expected_weights_count,
    expected_output_dtype=None,
    prepare=lambda layer: None,
    without_gradient=(),
):
    """Checks a layer in three precisions.

    Args:
        init_kwargs: a value for each argument of the constructor.
        inputs: tuple of arrays, the call arguments.
        expected_output_dtype: None stands for the compute dtype of the precision.
        prepare: called with each new layer before it is used.
        without_gradient: ends of the paths of weights that no training step need change.
    """
    constructor = vars(layer_class).get("__init__", lambda self: None)
    names = set(inspect.signature(constructor).parameters) - {"self", "kwargs"}
    assert set(init_kwargs) == names, "init_kwargs must try every argument"
    for policy in POLICIES:
        layer = layer_class(**init_kwargs, dtype=policy)
        prepare(layer)
        for name, value in init_kwargs.items():
            assert getattr(layer, name) == layer.get_config()[name] == value
        assert {part.dtype_policy.name for part in layer._flatten_layers()} == {policy}

        output = layer(*inputs)
        assert tuple(output.shape) == expected_output_shape
        assert np.isfinite(as_array(output)).all()
        assert len(layer.weights) == expected_weights_count

        symbols = [keras.KerasTensor((None, *array.shape[1:]), str(array.dtype)) for array in inputs]
        symbolic = layer(*symbols)
        batch_shape = (None, *expected_output_shape[1:])
        assert symbolic.shape == layer.compute_output_shape(*[symbol.shape for symbol in symbols]) == batch_shape
        dtype = expected_output_dtype or layer.compute_dtype
        assert symbolic.dtype == keras.backend.standardize_dtype(output.dtype) == dtype

        config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is layer_class and again.get_config() == layer.get_config()
        prepare(again)
        again(*inputs)
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(as_array(again(*inputs)), as_array(output))
        if layer.trainable_weights:
            _check_training_step(layer, inputs, expected_output_shape, without_gradient)


def _check_training_step(layer, inputs, output_shape, without_gradient):
    arguments = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in inputs]
    model = keras.Model(arguments, layer(*arguments))
    # No scaling of the loss: it begins so high that in float16 its first steps are left out.
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True, auto_scale_loss=False)
    before = layer.get_weights()
    targets = np.random.default_rng(0).normal(size=output_shape)
    loss = model.fit(list(inputs), targets, batch_size=len(targets), verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    for variable, old, new in zip(layer.weights, before, layer.get_weights(), strict=True):
        assert np.isfinite(new).all(), variable.path
        assert (old != new).any() or variable.path.endswith(tuple(without_gradient)), variable.path


def randomize(layer, seed=0, scale=0.4):
    """Draws all weights anew: near-zero initial ones would hide what attention does with them."""
    generator = np.random.default_rng(seed)
    layer.set_weights(
        [
            scale * generator.normal(size=variable.shape) + (1 if variable.name == "gamma" else 0)
            for variable in layer.weights
        ]
    )


def as_array(tensor) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))
