"""Fine-tuning with each pooling and with dropout of the head: the file answers in another process as it was trained."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from scripts import ENVIRONMENT, ROOT, call
from small_runs import step_by_step

import fine_tuning
from network.model_file import load_model
from serving.predictor import Predictor
from training.plans.network_options import POOLINGS

pytestmark = pytest.mark.slow

LABELS = {"天气": "今天下雨，出门带伞", "足球": "主队进球，三比一赢了", "菜谱": "先切葱姜，再下锅炒"}
# The last one is a single token.
TEXTS = ["明天还下雨吗", "又进球了，赢了", "下锅炒一会儿" * 30, "雨"]
OPTIONS = ["--unfreeze", "1", "--no-xla", "--epochs", "2", "--learning-rate", "1e-3", "--head-dropout-rate", "0.2"]
# A head that starts fitted to these texts would be certain of all of them, whatever the pooling.
OPTIONS += ["--head-fit", "epochs"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_pretrained):
    """A folder with a trained classifier of each pooling, such as mean.keras and mean.onnx."""
    folder = tmp_path_factory.mktemp("poolings")
    with open(folder / "topics.tsv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["label", "text"])
        for number in range(20):
            writer.writerows((label, f"{text}，{number}") for label, text in LABELS.items())
    for pooling in POOLINGS:
        files = ["--pretrained", str(tiny_pretrained), "--output", f"{pooling}.keras", "--run-folder", pooling]
        with step_by_step():
            done = call(fine_tuning.main, ["--dataset", "topics.tsv", "--pooling", pooling, *files, *OPTIONS], folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    """The probabilities that another process computes, (texts, labels), by model file."""
    files = [f"{pooling}.{suffix}" for pooling in POOLINGS for suffix in ("keras", "onnx")]
    command = [sys.executable, str(ROOT / "tests" / "programs" / "predict_probabilities.py"), *files, "--", *TEXTS]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return {path: np.array(values) for path, values in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_file_keeps_pooling_and_head_dropout(folder, pooling):
    classifier = load_model(folder / f"{pooling}.keras")
    assert (classifier.pooling, classifier.head_dropout_rate) == (pooling, 0.2)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_another_process_answers_the_same_with_both_runtimes(folder, answers, pooling):
    here = Predictor(folder / f"{pooling}.keras", runtime="keras").predict_proba(TEXTS)
    assert here.shape == (len(TEXTS), len(LABELS)) and here.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(answers[f"{pooling}.keras"], here, rtol=0, atol=1e-5)
    np.testing.assert_allclose(answers[f"{pooling}.onnx"], here, rtol=0, atol=1e-5)


def test_the_poolings_differ(answers):
    assert np.abs(answers["mean.onnx"] - answers["cls.onnx"]).max() > 1e-3
    assert np.abs(answers["mean.onnx"] - answers["max.onnx"]).max() > 1e-3
