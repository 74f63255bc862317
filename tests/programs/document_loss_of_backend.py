"""Trains on whole documents, on the backend of KERAS_BACKEND; prints the results for each aggregate as JSON."""

import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.libraries import without_extras_of_keras

with without_extras_of_keras():
    import keras
    import numpy as np
    from keras import layers

    from text.tokens.window_options import AGGREGATES
    from text.tokens.windows import Windows
    from training.engine.batches.document_batches import DocumentBatches
    from training.objectives.document_loss import document_model

NUM_DOCUMENTS, BATCH_SIZE, OUTPUTS, EPOCHS = 40, 8, 3, 5
# With XLA, where the backend has it; one of them, which compiles what the others do and more.
COMPILED = ("logsumexp",) if keras.backend.backend() != "torch" else ()


def window_model():
    """Return a network much smaller than BERT, which compiles in a second."""
    inputs = {name: keras.Input((6,), dtype="int32", name=name) for name in ("input_ids", "token_type_ids")}
    vectors = layers.Embedding(50, 8, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0))
    return keras.Model(inputs, layers.Dense(OUTPUTS)(layers.Flatten()(vectors(inputs["input_ids"]))))


def report(aggregate):
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    num_windows = generator.integers(1, 12, NUM_DOCUMENTS)
    num_windows[:2] = 60  # so that some batches are larger than the others
    text_index = np.repeat(np.arange(NUM_DOCUMENTS), num_windows).astype(np.int32)
    input_ids = generator.integers(1, 50, (len(text_index), 6)).astype(np.int32)
    num_tokens = generator.integers(1, 5, len(text_index)).astype(np.int32)
    windows = Windows(input_ids, num_tokens, text_index, np.zeros(NUM_DOCUMENTS, bool), aggregate)
    labels = generator.integers(0, OUTPUTS, NUM_DOCUMENTS).astype(np.int32)
    weights = generator.uniform(0.5, 2, NUM_DOCUMENTS).astype(np.float32)
    batches_of = functools.partial(DocumentBatches, windows.inputs, num_windows, windows.weights)

    model = window_model()
    whole = document_model(model, aggregate, BATCH_SIZE)
    expected = windows.document_logits(keras.ops.convert_to_numpy(model(windows.inputs)))
    numbered = batches_of(np.arange(NUM_DOCUMENTS), BATCH_SIZE, seed=1)
    batches = [numbered[index] for index in range(len(numbered))]
    logits = np.concatenate([keras.ops.convert_to_numpy(whole(inputs)) for inputs, _, _ in batches])
    numbers = np.concatenate([batch[1] for batch in batches])

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained_on = functools.partial(batches_of, labels, BATCH_SIZE, weights=weights, seed=1)
    whole.compile(keras.optimizers.SGD(0.0, momentum=0.9), loss, jit_compile=aggregate in COMPILED)
    unchanged = whole.fit(trained_on(), shuffle=False, verbose=0).history["loss"][0]
    correct = expected[np.arange(NUM_DOCUMENTS), labels] - np.log(np.exp(expected).sum(axis=1))

    whole.optimizer.learning_rate = 0.1
    losses = [
        whole.fit(trained_on(epoch=epoch), shuffle=False, verbose=0).history["loss"][0] for epoch in range(EPOCHS)
    ]
    return {
        "logits": logits.tolist(),
        "expected_logits": expected[numbers].tolist(),
        "sizes": sorted({len(inputs["window_weights"]) for inputs, _, _ in batches}),
        "loss_of_an_epoch": unchanged,
        "expected_loss_of_an_epoch": float(-(correct * weights).mean()),
        "losses": losses,
    }


if __name__ == "__main__":
    print(json.dumps({aggregate: report(aggregate) for aggregate in AGGREGATES}))
