"""`pretrain.py --next-sentence`: it learns what can be learnt, resumes, and its model can be used as any other."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from interrupted_runs import progress_of, run_until_killed
from scripts import assert_same_weights, call
from tiny import WORDS, sample_tokenizer

import fine_tuning
import pretrain
from network.bert import BertMaskedLM
from network.model_file import load_model
from recipes.pretraining import SENTENCES
from recipes.runs.run_folder import CHECKPOINT_NAME

pytestmark = pytest.mark.slow

MODEL = "mini_bert_zh_hk.keras"
# One encoder without XLA learns to compare two texts in 224 steps, a quarter of a minute.
OPTIONS = ["--num-layers", "1", "--d-model", "32", "--dff", "64", "--max-seq-len", "16", "--no-xla"]
OPTIONS += ["--batch-size", "32", "--epochs", "8", "--learning-rate", "1e-2", "--mask-rate", "0.1"]
OPTIONS += ["--held-out-fraction", "0.1", "--next-sentence", "--checkpoint-seconds", "0.0001"]
NUM_TOPICS = len(WORDS) // 2


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Options of a corpus of documents with one topic each: two words, in two sentences of four words."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    documents = set()
    while len(documents) < 1000:
        topic = WORDS[generator.integers(NUM_TOPICS) :: NUM_TOPICS]
        documents.add("".join(f"{''.join(generator.choice(topic, 4))}。" for _ in range(2)))
    (folder / "corpus.txt").write_text("\n".join(sorted(documents)), encoding="utf-8")
    (folder / "tokenizer.json").write_text(sample_tokenizer().to_str(), encoding="utf-8", newline="\n")
    return ["--corpus", str(folder / "corpus.txt"), "--tokenizer", str(folder / "tokenizer.json")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus):
    """The folder and the process of an undisturbed run."""
    folder = tmp_path_factory.mktemp("finished")
    process = call(pretrain.main, [*corpus, *OPTIONS], folder)
    assert process.returncode == 0, process.stderr
    return folder, process


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def metrics_of(folder):
    return json.loads((folder / "runs/pretraining/metrics.json").read_text(encoding="utf-8"))


def assert_same_layer(model, other, name):
    for value, expected in zip(model.get_layer(name).get_weights(), other.get_layer(name).get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_next_sentences_are_learnt_beside_masked_tokens(finished):
    history = metrics_of(finished[0])["history"]
    # By chance 0.5; at most 0.93, because a text of another document may have the same topic.
    assert history["val_next_sentence_accuracy"][-1] > 0.75
    assert history["val_next_sentence_loss"][-1] < 0.6 < 0.67 < history["val_next_sentence_loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0] - 1


def test_metrics_of_masked_tokens_keep_their_names(finished):
    folder, process = finished
    metrics = metrics_of(folder)
    names = ["loss", "masked_accuracy", "next_sentence_accuracy", "next_sentence_loss"]
    assert list(metrics["history"]) == [*names, *(f"val_{name}" for name in names), "val_perplexity"]
    last = {name: values[-1] for name, values in metrics["history"].items()}
    assert last["val_perplexity"] == pytest.approx(np.exp(last["val_loss"]))
    held_out = ("loss", "perplexity", "masked_accuracy", "next_sentence_accuracy")
    assert metrics["held_out"] == {name: last[f"val_{name}"] for name in held_out}
    assert load_model(folder / MODEL, BertMaskedLM).metadata["held_out"] == metrics["held_out"]
    lines = process.stdout.splitlines()
    pairs = [int(line.rsplit(", ", 1)[1].removesuffix(" of them pairs of texts")) for line in lines[:2]]
    assert pairs[0] > 800 and sum(pairs) == 1000
    assert f"val_next_sentence_accuracy: {last['val_next_sentence_accuracy']:.4f}" in process.stdout
    assert all(sentence in process.stdout for sentence in SENTENCES)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_ends_as_if_it_had_never_been_killed(finished, here, corpus, capsys):
    run_until_killed("pretrain", 1, 5, [*corpus, *OPTIONS], here)
    assert progress_of(here / "runs/pretraining" / CHECKPOINT_NAME) == (1, 5)
    assert pretrain.main(["--resume"]) == 0
    assert metrics_of(here)["history"] == metrics_of(finished[0])["history"]
    assert_same_weights(MODEL, finished[0] / MODEL)


@pytest.mark.usefixtures("quickly")
class TestContinued:
    STEP = ["--batch-size", "32", "--no-xla", "--max-steps", "1", "--held-out-fraction", "0.1"]

    def test_on_pairs_both_heads_continue(self, finished, here, corpus):
        pretrained = str(finished[0] / MODEL)
        options = [*corpus[:2], *self.STEP, "--next-sentence", "--learning-rate", "1e-9", "--pretrained", pretrained]
        assert pretrain.main(options) == 0
        before, after = (metrics_of(folder)["held_out"] for folder in (finished[0], here))
        assert after["next_sentence_accuracy"] == pytest.approx(before["next_sentence_accuracy"], abs=0.05)
        assert after["loss"] == pytest.approx(before["loss"], rel=0.05)

    def test_on_other_rows_the_second_head_is_kept(self, finished, here, corpus):
        pretrained = finished[0] / MODEL
        assert pretrain.main([*corpus[:2], *self.STEP, "--pretrained", str(pretrained)]) == 0
        model, before = (load_model(path, BertMaskedLM) for path in (MODEL, pretrained))
        assert_same_layer(model, before, "next_sentence_head")
        assert (model.get_weights()[0] != before.get_weights()[0]).any()
        assert "next_sentence_accuracy" not in model.metadata["held_out"]

    def test_a_model_without_the_second_head_gets_one(self, here, corpus, tiny_pretrained):
        options = [*corpus[:2], *self.STEP, "--next-sentence", "--learning-rate", "1e-9"]
        assert pretrain.main([*options, "--pretrained", str(tiny_pretrained)]) == 0
        model, before = (load_model(path, BertMaskedLM) for path in (MODEL, tiny_pretrained))
        assert model.next_sentence and not before.next_sentence
        for name in ("bert_embedding", "transformer_encoder_1", "masked_lm_head"):
            for value, expected in zip(
                model.get_layer(name).get_weights(), before.get_layer(name).get_weights(), strict=True
            ):
                np.testing.assert_allclose(value, expected, atol=1e-6)


@pytest.mark.usefixtures("quickly")
def test_the_backbone_can_be_fine_tuned_and_saved_with_both_heads(finished, here):
    options = ["--dataset", "sample", "--pretrained", str(finished[0] / MODEL), "--unfreeze", "1", "--epochs", "1"]
    options += ["--no-xla", "--max-windows", "1", "--backbone-output", "backbone.keras"]
    assert fine_tuning.main(options) == 0
    backbone, before = (load_model(path, BertMaskedLM) for path in ("backbone.keras", finished[0] / MODEL))
    for name in ("masked_lm_head", "next_sentence_head"):
        assert_same_layer(backbone, before, name)
    changed = backbone.get_layer("transformer_encoder").get_weights()
    assert any(
        (one != other).any()
        for one, other in zip(changed, before.get_layer("transformer_encoder").get_weights(), strict=True)
    )
    assert Path(fine_tuning.PLAN.output).is_file()


def test_a_corpus_of_single_sentences_is_refused(here, corpus, capsys):
    Path("short.txt").write_text("\n".join(word * 3 for word in WORDS), encoding="utf-8")
    options = ["--corpus", "short.txt", *corpus[2:], "--held-out-fraction", "0.3", "--next-sentence"]
    assert pretrain.main(options) == 1
    assert "leave out --next-sentence" in capsys.readouterr().err.splitlines()[-1]
