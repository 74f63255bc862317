"""Trains a small classifier with each group of training choices, on the backend of KERAS_BACKEND; prints JSON.

The numbers of each group: the losses of the epochs, the logits of the validation split in the end, and the fraction of
the trained weights that have changed.
"""

import contextlib
import dataclasses
import io
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.libraries import without_extras_of_keras

with without_extras_of_keras():
    import keras
    import numpy as np
    from layer_checks import randomize

    import fine_tuning
    from evaluation.assessment import validation_of
    from network.bert import BertClassifier, BertConfig, BertMaskedLM, logits_model
    from text.dataset.splits import Split, Splits
    from text.labels import LabelSet
    from text.packing.packed_rows import PackedCorpus, PackedRows
    from text.tokens.masking import Masker
    from text.tokens.window_settings import NUM_SPECIAL_TOKENS
    from text.tokens.windows import Windows
    from training.classification import document_logits, train_classifier
    from training.engine.batches import epoch_batches
    from training.objectives import hidden_states
    from training.objectives.masked_rows import MaskedText

LABELS = LabelSet(("低", "中", "高"))
# Without dropout all of these are deterministic.
CHOICES = {
    "loss and sampling": {
        "loss": "focal",
        "focal_gamma": 1.5,
        "label_smoothing": 0.1,
        "balanced_sampling": True,
        "fgm": 0.3,
        "clip_norm": 0.5,
        "warmup": 0.2,
    },
    "weights and averages": {
        "class_weights": "effective",
        "layer_decay": 0.7,
        "weight_decay": 0.1,
        "schedule": "linear",
        "ema": 0.7,
        "accumulate": 2,
        "monitor": "macro_f1",
    },
    "teachers": {"teacher_temperature": 2.0, "hard_label_weight": 0.5},
    # Not clipped: TensorFlow takes the gradients of a token that occurs twice for two, so that their norm differs.
    "hidden states": {"teachers": ["random"], "hidden_loss_weight": 2.0, "clip_norm": 1000.0},
    "masked rows": {"corpus": ["rows_of_text"], "masked_rows": 0.5, "masked_lm_weight": 0.5, "clip_norm": 1000.0},
}
RANDOM_CHOICES = {"r_drop": {"r_drop": 1.0, "fgm": 0.3, "dropout_rate": 0.2, "precision": "mixed_bfloat16"}}
# Each length is compiled, or traced, anew. These have a loss, a model or batches of their own.
GROUPED_BY_LENGTH = ("loss and sampling", "teachers", "hidden states", "masked rows")
epoch_batches.LENGTH_STEP = 4


def split_of(rows: int, seed: int) -> Split:
    """Return texts of several lengths whose label depends on their first token; the last label is rare."""
    generator = np.random.default_rng(seed)
    num_tokens = generator.integers(1, 5, rows)
    input_ids = generator.integers(1, 30, (rows, 6), "int32")
    input_ids[np.arange(6) >= num_tokens[:, None] + NUM_SPECIAL_TOKENS] = 0
    targets = LABELS.targets(np.digitize(input_ids[:, 0], [14, 26]))
    windows = Windows(input_ids, num_tokens, np.arange(rows), np.zeros(rows, bool))
    return Split([""] * rows, targets, windows, label_set=LABELS)


def rows_of_text(config: BertConfig) -> MaskedText:
    """Return few rows of tokens, and a model for masked language modelling; its vocabulary is always scored whole."""
    ids = np.random.default_rng(3).integers(5, 30, (9, 6), "int32")
    rows = PackedRows(ids, None, documents=9, characters=54, tokens=54)
    model = BertMaskedLM(config)
    randomize(model)
    return MaskedText(model, PackedCorpus(rows, rows, ""), Masker(30, np.arange(5), 4, 6, 0.4))


class FixedProjections(hidden_states.StateDistance):
    """Projections that start with the same weights on every backend."""

    def build(self, states_shape: list, targets_shape: list, padding_mask_shape: tuple) -> None:
        super().build(states_shape, targets_shape, padding_mask_shape)
        randomize(self)


hidden_states.StateDistance = FixedProjections


def random_teacher(config: BertConfig) -> BertMaskedLM:
    """Return a deeper and wider model with the tokens of another; its dropout must not matter."""
    model = BertMaskedLM(dataclasses.replace(config, d_model=12, num_layers=2, dropout_rate=0.5))
    randomize(model)
    return model


def train(name: str, changes: dict) -> dict:
    """Train with some choices; return the numbers of the run."""
    splits = Splits(None, split_of(48, 0), split_of(24, 1), split_of(24, 2))
    if "hard_label_weight" in changes:
        soft_targets = np.random.default_rng(4).dirichlet([1, 1, 1], 48).astype(np.float32)
        taught = dataclasses.replace(splits.train, soft_targets=soft_targets, label_weight=changes["hard_label_weight"])
        splits = dataclasses.replace(splits, train=taught)
    settings = {"dropout_rate": 0.0, "batch_size": 8, "epochs": 2, "learning_rate": 1e-3, "seed": 1, "unfreeze": "all"}
    # JAX compiles each operation for itself where it does not compile the step; TensorFlow takes ten times as long.
    settings["no_xla"] = keras.backend.backend() != "jax"
    # So that even these few texts are grouped by their length, or none.
    epoch_batches.MIN_POSITIONS_SAVED = 1 if name in GROUPED_BY_LENGTH else 1000
    plan = dataclasses.replace(fine_tuning.PLAN, **settings | changes)
    keras.utils.set_random_seed(0)
    config = BertConfig(30, 6, d_model=8, num_layers=1, num_heads=2, dff=16, dropout_rate=plan.dropout_rate)
    classifier = BertClassifier(config, metadata=LABELS.to_json(), unfreeze="all")
    randomize(classifier)
    before = classifier.get_weights()
    with contextlib.redirect_stdout(io.StringIO()):
        second_task = {
            "masked_text": rows_of_text(config) if plan.corpus else None,
            "state_teacher": random_teacher(config) if plan.hidden_loss_weight else None,
        }
        history = train_classifier(classifier, splits, plan, validation_of(splits, plan.monitor), **second_task)
    changed = [(new != old).mean() for new, old in zip(classifier.get_weights(), before, strict=True)]
    return {
        "losses": [loss for metric, losses in history.items() if metric.endswith("loss") for loss in losses],
        "logits": document_logits(logits_model(classifier), splits.validation).tolist(),
        "changed": min(changed),
    }


if __name__ == "__main__":
    results = {name: train(name, changes) for name, changes in (CHOICES | RANDOM_CHOICES).items()}
    print(json.dumps({"backend": keras.backend.backend(), "results": results}))
