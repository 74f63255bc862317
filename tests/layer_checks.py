"""The checks that every layer must pass, example inputs, and arithmetic in NumPy to compare with."""

import inspect
import json
from collections.abc import Callable, Collection

import keras
import numpy as np
from keras import ops

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
# Two rows of five positions: token ids, segments, real tokens, and hidden states of width 16.
IDS = np.array([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]], "int32")
SEGMENTS = np.array([[0, 0, 1, 0, 0], [0, 1, 1, 1, 1]], "int32")
MASK = IDS != 0
HIDDEN = np.random.default_rng(1).normal(size=(2, 5, 16)).astype("float32")


def check_layer(
    layer_class: type[keras.layers.Layer],
    init_kwargs: dict,
    inputs: tuple[np.ndarray, ...],
    expected_output_shape: tuple[int, ...],
    expected_weights_count: int,
    expected_output_dtype: str | None = None,
    prepare: Callable[[keras.layers.Layer], None] | None = None,
    without_gradient: Collection[str] = (),
) -> None:
    """Check attributes, outputs, config round trip and a training step of a layer, in three precisions.

    Args:
        layer_class: the class of the layer.
        init_kwargs: a value for each argument of the constructor.
        inputs: the call arguments.
        expected_output_shape: the shape of the output for `inputs`.
        expected_weights_count: the number of weights.
        expected_output_dtype: the type of the output; None means the compute dtype of the precision.
        prepare: called with each new layer before its first use.
        without_gradient: ends of the paths of weights that a training step need not change.
    """
    constructor = vars(layer_class).get("__init__", lambda self: None)
    names = set(inspect.signature(constructor).parameters) - {"self", "kwargs"}
    assert set(init_kwargs) == names, "init_kwargs must have every argument"
    for policy in POLICIES:
        layer = layer_class(**init_kwargs, dtype=policy)
        if prepare:
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
        if prepare:
            prepare(again)
        again(*inputs)
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(as_array(again(*inputs)), as_array(output))
        if layer.trainable_weights:
            check_training_step(layer, inputs, expected_output_shape, without_gradient)


def check_training_step(
    layer: keras.layers.Layer,
    inputs: tuple[np.ndarray, ...],
    output_shape: tuple[int, ...],
    without_gradient: Collection[str],
) -> None:
    """Check that a training step changes all weights but those of `without_gradient`."""
    arguments = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in inputs]
    model = keras.Model(arguments, layer(*arguments))
    # Without loss scaling, which is so high at first that the first steps in float16 are skipped.
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True, auto_scale_loss=False)
    before = layer.get_weights()
    targets = np.random.default_rng(0).normal(size=output_shape)
    loss = model.fit(list(inputs), targets, batch_size=len(targets), verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    for variable, old, new in zip(layer.weights, before, layer.get_weights(), strict=True):
        assert np.isfinite(new).all(), variable.path
        assert (old != new).any() or variable.path.endswith(tuple(without_gradient)), variable.path


def randomize(layer: keras.layers.Layer, seed: int = 0, scale: float = 0.4) -> None:
    """Set all weights to random values, because initial weights near zero would hide the effect of attention."""
    generator = np.random.default_rng(seed)
    layer.set_weights(
        [
            scale * generator.normal(size=variable.shape) + (1 if variable.name == "gamma" else 0)
            for variable in layer.weights
        ]
    )


def as_array(tensor: keras.KerasTensor) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def weights_by_name(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Return the weights of a layer in float64, by their paths inside the layer."""
    return {
        variable.path.split(f"{layer.name}/", 1)[-1]: np.asarray(value, "float64")
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True)
    }


def normalize(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return what layer normalisation computes."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta
