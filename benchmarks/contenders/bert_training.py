"""The contenders of `benchmarks.bert_training`: each trains some steps, and prints their seconds as one line of JSON.

All train a whole BERT with the pooler and a head for two labels, without dropout, on the same random rows, of which at
most half is padding. A step is the forward pass, the backward pass and the update of AdamW, which clips the norm of the
gradient, as is usual for BERT.

- This project, as `training.classification` does it, with its schedule and two learning rates. XLA compiles the step,
  except on torch.
- transformers: `BertForSequenceClassification` on PyTorch in a plain loop with its default attention (sdpa) and torch's
  AdamW; as it is, and with `torch.compile`.
- keras_hub: `BertTextClassifier` with XLA. It computes the approximate GELU, the others BERT's exact one.
"""

import argparse
import json
import sys
import time
from typing import NamedTuple

import numpy as np

from system.command_line import exits_with_status
from system.libraries import keep_freed_memory, quiet_imports, without_extras_of_keras

LEARNING_RATE = 2e-5
CLIP_NORM = 1.0
WARM_UP_STEPS = 2  # the first one compiles


class Rows(NamedTuple):
    """The rows of all steps.

    Attributes:
        input_ids: int32, (rows, length); 0 is padding.
        labels: int32, (rows,).
    """

    input_ids: np.ndarray
    labels: np.ndarray


def measure_ours(settings: argparse.Namespace) -> dict:
    """Measure the seconds of a step of this project."""
    with quiet_imports(), without_extras_of_keras():
        import keras

        from network.backbone import AS_IN_BERT, BertConfig, checkpoint_gradients
        from network.bert import BertClassifier, logits_model
        from text.labels import SENTIMENT
        from training.engine.batches.epoch_batches import LabelledBatches
        from training.engine.optimizer import fine_tuning_optimizer
        from training.objectives.losses import classification_accuracy, classification_loss

    keep_freed_memory()
    config = BertConfig(
        vocab_size=settings.vocab_size,
        max_seq_len=settings.length,
        d_model=settings.width,
        num_layers=settings.layers,
        num_heads=settings.heads,
        dff=4 * settings.width,
        dropout_rate=0.0,
        **AS_IN_BERT,
    )
    classifier = BertClassifier(config, unfreeze="all", pooling="pooler")
    if settings.gradient_checkpointing:
        checkpoint_gradients(classifier)
    model = logits_model(classifier)
    model.compile(
        fine_tuning_optimizer(LEARNING_RATE, LEARNING_RATE, WARM_UP_STEPS + settings.steps, clip_norm=CLIP_NORM),
        classification_loss(SENTIMENT),
        weighted_metrics=[classification_accuracy(SENTIMENT)],
        jit_compile=keras.backend.backend() != "torch",
    )
    rows = _rows(settings)
    inputs = {"input_ids": rows.input_ids, "token_type_ids": np.zeros_like(rows.input_ids)}
    batches = LabelledBatches(inputs, SENTIMENT.targets(rows.labels), settings.batch_size, seed=0)
    return _seconds_of_fit(model, batches)


def measure_transformers(settings: argparse.Namespace, *, compiled: bool = False) -> dict:
    """Measure the seconds of a step of transformers on PyTorch."""
    with quiet_imports():
        import torch
        from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=settings.vocab_size,
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.width,
        max_position_embeddings=settings.length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    forward = torch.compile(model) if compiled else model
    rows = _rows(settings)
    input_ids, labels = (torch.tensor(values, dtype=torch.long) for values in rows)
    step_ends = [time.perf_counter()]
    for start in range(0, len(labels), settings.batch_size):
        batch = slice(start, start + settings.batch_size)
        optimizer.zero_grad()
        loss = forward(
            input_ids=input_ids[batch], attention_mask=(input_ids[batch] != 0).long(), labels=labels[batch]
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        step_ends.append(time.perf_counter())
    return _durations(step_ends)


def measure_compiled_transformers(settings: argparse.Namespace) -> dict:
    """Measure the seconds of a step of transformers with `torch.compile`."""
    return measure_transformers(settings, compiled=True)


def measure_keras_hub(settings: argparse.Namespace) -> dict:
    """Measure the seconds of a step of keras_hub."""
    with quiet_imports():
        import keras
        import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=settings.vocab_size,
        num_layers=settings.layers,
        num_heads=settings.heads,
        hidden_dim=settings.width,
        intermediate_dim=4 * settings.width,
        dropout=0.0,
        max_sequence_length=settings.length,
    )
    model = keras_hub.models.BertTextClassifier(backbone, num_classes=2, dropout=0.0)
    model.compile(keras.optimizers.AdamW(LEARNING_RATE, global_clipnorm=CLIP_NORM), jit_compile=True)
    rows = _rows(settings)
    inputs = {
        "token_ids": rows.input_ids,
        "segment_ids": np.zeros_like(rows.input_ids),
        "padding_mask": rows.input_ids != 0,
    }
    return _seconds_of_fit(model, inputs, rows.labels, batch_size=settings.batch_size)


MEASURES = {
    "ours": measure_ours,
    "transformers": measure_transformers,
    "compiled_transformers": measure_compiled_transformers,
    "keras_hub": measure_keras_hub,
}


def _rows(settings: argparse.Namespace) -> Rows:
    """Return random rows of at least half as many tokens as they have positions."""
    generator = np.random.default_rng(0)
    count = (WARM_UP_STEPS + settings.steps) * settings.batch_size
    input_ids = generator.integers(1, settings.vocab_size, (count, settings.length), dtype=np.int32)
    num_tokens = generator.integers(settings.length // 2, settings.length + 1, (count, 1))
    return Rows(
        np.where(np.arange(settings.length) < num_tokens, input_ids, 0), generator.integers(0, 2, count, dtype=np.int32)
    )


def _seconds_of_fit(model: object, *data: object, **options: object) -> dict:
    import keras

    step_ends = []

    def on_train_batch_end(batch: int, logs: dict) -> None:
        float(logs["loss"])  # waits for the end of the step, which JAX runs in the background
        step_ends.append(time.perf_counter())

    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: step_ends.append(time.perf_counter()), on_train_batch_end=on_train_batch_end
    )
    # Keras' own `fit`: that of keras_hub only adds the preparation of text, done already.
    keras.Model.fit(model, *data, shuffle=False, verbose=0, callbacks=[callback], **options)
    return _durations(step_ends)


def _durations(step_ends: list[float]) -> dict:
    """Return the seconds of the measured steps and of the first one.

    Args:
        step_ends: the start of the first step, then the end of each.
    """
    seconds = np.diff(step_ends)
    return {"seconds": seconds[WARM_UP_STEPS:].tolist(), "first": float(seconds[0])}


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    name, settings = sys.argv[1:] if argv is None else argv
    print(json.dumps(MEASURES[name](argparse.Namespace(**json.loads(settings)))))


if __name__ == "__main__":
    sys.exit(main())
