"""Predicts with a classifier, and trains for a few steps, on the backend of KERAS_BACKEND; prints the results as JSON.

Argument: the model file.
"""

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.libraries import without_extras_of_keras

with without_extras_of_keras():
    import keras
    import numpy as np

    from network.bert import BertClassifier, BertMaskedLM, classifier_from_pretrained
    from network.heads import POOLING_LAYERS
    from network.model_file import load_model
    from training.engine.optimizer import fine_tuning_optimizer, pretraining_optimizer
    from training.masked_lm import compile_for_pretraining, masked_accuracy, masked_lm_loss, sampled_masked_lm

TRAINING_BACKENDS = ("tensorflow", "jax", "torch")
STEPS = 12
# Rows without padding, with some, and of padding only.
HIDDEN = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32") - 2
MASK = np.arange(5) < np.array([[5], [2], [0]])


def example_inputs():
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 13, (64, 1))
    input_ids = np.where(np.arange(12) < lengths, generator.integers(1, 100, (64, 12)), 0)
    segments = np.where(np.arange(12) < lengths // 2, 0, 1)
    return {"input_ids": input_ids.astype("int32"), "token_type_ids": segments.astype("int32")}


def report(path):
    """Return the predictions of a model file, and the results of a few steps of training."""
    classifier = load_model(path, BertClassifier)
    result = {
        "backend": keras.backend.backend(),
        "probabilities": keras.ops.convert_to_numpy(classifier(example_inputs()))[:, 0].tolist(),
        "predictions": classifier.predict(example_inputs(), batch_size=16, verbose=0)[:, 0].tolist(),
        "predicts_in_bfloat16": False,
        "pooled": {pooling: pooled(pooling) for pooling in POOLING_LAYERS},
    }
    if result["backend"] == "openvino":
        import openvino

        abilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        result["predicts_in_bfloat16"] = "BF16" in abilities
    if result["backend"] in TRAINING_BACKENDS:
        keras.utils.set_random_seed(1)
        result["training"] = {
            "masked_lm": train_masked_lm(classifier.config),
            "two_tasks": train_two_tasks(classifier.config),
            "classifier": train_classifier(classifier),
        }
        result["kernel_below_poolings"] = train_below_poolings()
    return result


def pooled(pooling):
    """Return what a pooling makes of `HIDDEN`, in two precisions."""
    layers = [pooling_layer(pooling, dtype=dtype) for dtype in ("float32", "float16")]
    return [keras.ops.convert_to_numpy(layer(HIDDEN, MASK)).tolist() for layer in layers]


def pooling_layer(pooling, **options):
    """Return a pooling, whose weights, if it has any, are the same on every backend."""
    layer = POOLING_LAYERS[pooling](**options)
    layer.build(HIDDEN.shape)
    generator = np.random.default_rng(1)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return layer


def train_below_poolings():
    """Return a kernel after one step of training with the gradients of all poolings."""
    inputs, mask = keras.Input((5, 4)), keras.Input((5,), dtype="bool")
    dense = keras.layers.Dense(4, kernel_initializer="identity")
    hidden = dense(inputs)
    outputs = keras.layers.Concatenate()([pooling_layer(pooling)(hidden, mask) for pooling in POOLING_LAYERS])
    model = keras.Model([inputs, mask], outputs)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit([HIDDEN, MASK], np.zeros((3, 4 * len(POOLING_LAYERS))), verbose=0)
    return keras.ops.convert_to_numpy(dense.kernel).tolist()


def train_masked_lm(config):
    model = BertMaskedLM(dataclasses.replace(config, num_layers=1))
    model.compile(pretraining_optimizer(0.03, STEPS), masked_lm_loss(), weighted_metrics=[masked_accuracy])
    inputs = example_inputs() | {"masked_positions": np.tile(np.array([0, 1, 5], "int32"), (64, 1))}
    targets = np.tile(np.array([7, 8, 9], "int32"), (64, 1))
    weights = np.tile(np.array([1, 1, 0], "float32"), (64, 1))
    return fit(model, inputs, targets, weights)


def train_two_tasks(config):
    """Train as `pretrain.py --next-sentence` does, with XLA where the backend has it."""
    model = sampled_masked_lm(
        BertMaskedLM(dataclasses.replace(config, num_layers=1), next_sentence=True), next_sentence=True
    )
    compile_for_pretraining(model, 0.03, STEPS, jit_compile=keras.backend.backend() != "torch")
    masked_tokens = np.tile(np.array([7, 8, 9], "int32"), (64, 1))
    inputs = example_inputs() | {
        "masked_positions": np.tile(np.array([0, 1, 5], "int32"), (64, 1)),
        "targets": masked_tokens,
    }
    # The head reads the first position, so it can learn whether the token there is odd.
    targets = {"masked_lm": 0 * masked_tokens, "next_sentence": (inputs["input_ids"][:, :1] % 2).astype("float32")}
    weights = {"masked_lm": np.ones((64, 3), "float32"), "next_sentence": np.ones(64, "float32")}
    return fit(model, inputs, targets, weights)


def train_classifier(pretrained):
    model = classifier_from_pretrained(pretrained, unfreeze="all", dropout_rate=0.0)
    head = [variable.path for variable in model.get_layer("classification_output").weights]
    model.compile(fine_tuning_optimizer(1e-3, 0.1, 2 + STEPS), "binary_crossentropy")
    inputs = example_inputs()
    # The opposite of the predictions, so that the loss can fall far.
    scores = pretrained.predict(inputs, batch_size=16, verbose=0)[:, 0]
    labels = (scores < np.median(scores)).astype("float32")
    model.get_layer("classification_output").set_weights(pretrained.get_layer("classification_output").get_weights())
    before = model.get_weights()
    # The warm-up begins with a learning rate of zero, so only the second step changes the weights.
    model.fit(inputs, labels, batch_size=64, epochs=2, verbose=0)
    moved = {"head": [], "backbone": []}
    for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        moved["head" if variable.path in head else "backbone"].append(float(np.abs(new - old).max()))
    return fit(model, inputs, labels) | {"first_steps": moved}


def fit(model, inputs, targets, sample_weight=None):
    """Train on one batch; return the loss before each step and the weights that no step changed."""
    before = model.get_weights()
    history = model.fit(inputs, targets, sample_weight=sample_weight, batch_size=64, epochs=STEPS, verbose=0).history
    unchanged = [
        variable.path
        for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if (old == new).all()
    ]
    return {"losses": history["loss"], "unchanged": unchanged}


if __name__ == "__main__":
    print(json.dumps(report(sys.argv[1])))
