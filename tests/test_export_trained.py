"""From text to `transformers`: pre-training, fine-tuning, export, and back to another fine-tuning."""

import json

import numpy as np
import pytest
import transformers
from exported_models import probabilities_here, probabilities_there, short_texts
from opinions import OPINIONS, write_opinions
from scripts import call
from small_runs import step_by_step
from tiny import sample_tokenizer

import fine_tuning
import pretrain
from network.model_file import load_model
from recipes import export

pytestmark = pytest.mark.slow

SIZES = ["--num-layers", "1", "--d-model", "16", "--dff", "32", "--max-seq-len", "32"]
FINE_TUNING = ["--unfreeze", "all", "--no-xla", "--epochs", "2", "--learning-rate", "1e-3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a pre-trained and a fine-tuned model, and both as folders for `transformers`."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tokenizer.json").write_text(sample_tokenizer().to_str(), encoding="utf-8")
    write_opinions(folder / "opinions.csv", count=20)
    commands = [
        (
            pretrain,
            ["--corpus", "sample", "--tokenizer", "tokenizer.json", "--post-norm", "--next-sentence", "--no-xla"]
            + ["--max-steps", "3", "--output", "pretrained.keras", *SIZES],
        ),
        (
            fine_tuning,
            ["--dataset", "opinions.csv", "--pretrained", "pretrained.keras", "--pooling", "pooler", *FINE_TUNING]
            + ["--output", "opinions.keras"],
        ),
        (export, ["pretrained.keras", "--to", "huggingface", "pretrained"]),
        (export, ["opinions.keras", "--to", "huggingface", "opinions"]),
        (
            fine_tuning,
            ["--dataset", "opinions.csv", "--pretrained", "opinions", *FINE_TUNING, "--output", "again.keras"],
        ),
    ]
    with step_by_step():
        for script, arguments in commands:
            done = call(script.main, arguments, folder)
            assert done.returncode == 0, done.stderr
    return folder


def test_the_pipeline_answers_as_our_classifier(folder):
    classifier = load_model(folder / "opinions.keras")
    assert set(classifier.label_set.names) == set(OPINIONS)
    texts = [*OPINIONS.values(), *short_texts(classifier, 10)]
    found = probabilities_there(folder / "opinions", texts, classifier.label_set.names)
    np.testing.assert_allclose(found, probabilities_here(classifier, texts), rtol=0, atol=1e-5)


def test_the_card_has_the_metrics_and_the_data(folder):
    card = (folder / "opinions" / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert f"{metrics['test']['accuracy']:.4g}" in card and "opinions.csv" in card


def test_the_pre_trained_model_fills_blanks(folder):
    fill = transformers.pipeline("fill-mask", str(folder / "pretrained"))
    assert len(fill("房间很[MASK]，下次还会来。")) == 5
    card = (folder / "pretrained" / "README.md").read_text(encoding="utf-8")
    assert "perplexity" in card and "sample" in card


def test_a_fine_tuning_starts_from_the_folder(folder):
    again = load_model(folder / "again.keras")
    assert (again.pooling, again.config.normalize_first) == ("pooler", False)
    assert again.label_set == load_model(folder / "opinions.keras").label_set
