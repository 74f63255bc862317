"""The script model.py: its constants, and the classes that `import model` registers."""

import subprocess
import sys
from pathlib import Path

import pytest

import fine_tuning
import model

ROOT = Path(__file__).resolve().parents[1]
OF_BOTH_SCRIPTS = {"MAX_SEQ_LEN": 64, "BATCH_SIZE": 32, "TEST_SIZE": 1 / 6, "DATASET": "XiangPan/ChnSentiCorp_htl_8k"}
OF_FINE_TUNING = {"EPOCHS": 5, "LEARNING_RATE": 5e-5, "SEED": 42, "PLOT_SAVE_PATH": "training_curves.png"}
OF_MODEL = {
    "EPOCHS": 15,
    "LEARNING_RATE": 2e-5,
    "PRETRAINED_PATH": "mini_bert_zh_hk.keras",
    "CLASSIFIER_PATH": "mini_bert_sentiment_classifier.keras",
}


@pytest.mark.parametrize(("script", "constants"), [(model, OF_MODEL), (fine_tuning, OF_FINE_TUNING)])
def test_constants(script, constants):
    expected = OF_BOTH_SCRIPTS | constants
    assert {name: getattr(script, name) for name in expected} == expected


def test_the_basic_training_has_no_seed_and_no_plot():
    assert not hasattr(model, "SEED") and not hasattr(model, "PLOT_SAVE_PATH")


@pytest.mark.slow
def test_the_classes_exist_once_whoever_imports_them():
    command = [sys.executable, str(ROOT / "tests" / "programs" / "model_as_script.py")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert run.stdout.startswith("usage: model.py"), run.stderr
    assert run.stdout.splitlines()[-1] == "0 network.bert network.bert True"
