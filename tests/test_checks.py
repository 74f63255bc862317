"""Look at a `.keras` file: all that we write is accepted; hostile files are in `test_hostile_files.py`."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from network.backbone import BertConfig
from network.bert import BertClassifier, BertMaskedLM
from network.checks.archive import CONFIG, WEIGHTS, check_model_file
from network.checks.config import described_model
from network.checks.weights import check_weights, num_parameters
from network.model_file import load_model, save_model

ROOT = Path(__file__).resolve().parents[1]
SIZES = BertConfig(vocab_size=30, max_seq_len=8, d_model=8, num_layers=3, num_heads=2, dff=12, type_vocab_size=3)
THREE, SEVERAL = {"labels": ["差", "中", "好"]}, {"labels": ["服务", "位置"], "multi_label": True}
MODELS = {
    "two labels": lambda: BertClassifier(SIZES),
    "three labels and a pooler": lambda: BertClassifier(SIZES, metadata=THREE, pooling="pooler", unfreeze=2),
    "several labels": lambda: BertClassifier(SIZES, metadata=SEVERAL, pooling="max", head_dropout_rate=0.5),
    "pre-training": lambda: BertMaskedLM(SIZES),
    "two tasks": lambda: BertMaskedLM(SIZES, next_sentence=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_we_write_is_accepted_and_counted(name, tmp_path):
    model = MODELS[name]()
    save_model(model, tmp_path / "a.keras")
    check_model_file(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        described = described_model(archive.read(CONFIG), "a.keras")
    assert described.config == SIZES
    assert num_parameters(described) == model.count_params()


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.keras")), ids=lambda path: path.name)
def test_the_included_files_are_accepted(path):
    check_model_file(path)


def test_a_file_that_keras_wrote_during_training_is_accepted(tmp_path, quickly):
    classifier = BertClassifier(SIZES, unfreeze="all")
    classifier.compile(keras.optimizers.Adam(), "binary_crossentropy")
    inputs = {name: np.ones((2, 8), "int32") for name in ("input_ids", "token_type_ids")}
    classifier.fit(inputs, np.array([0, 1]), verbose=0)
    classifier.save(tmp_path / "a.keras")
    loaded = load_model(tmp_path / "a.keras", BertClassifier)
    np.testing.assert_array_equal(loaded.get_weights()[0], classifier.get_weights()[0])


def test_a_file_from_before_pooling_and_activation_is_accepted(tmp_path):
    save_model(BertClassifier(SIZES), tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        values, weights = json.loads(archive.read(CONFIG)), archive.read(WEIGHTS)
    values["module"] = "model"
    for name in ("pooling", "head_dropout_rate"):
        del values["config"][name]
    for name in ("activation", "epsilon"):
        del values["config"]["config"][name]
    check_weights(weights, described_model(json.dumps(values).encode(), "a.keras"))
