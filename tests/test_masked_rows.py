"""Masked language modelling beside the labels: its batches, its model, and whole runs with --corpus."""

import dataclasses
import functools
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_models
from interrupted_runs import progress_of
from layer_checks import as_array
from opinions import write_opinions
from scripts import assert_one_error
from small_runs import Killed, KillingCheckpoint

import fine_tuning
import recipes.runs.resumption
from network.backbone import backbone_layers
from network.bert import BertClassifier, BertMaskedLM, classifier_from_pretrained, logits_model
from network.heads import MASKED_LM_HEAD
from network.model_file import load_model
from recipes.runs.run_data import masker_of
from text.corpus import iter_texts
from text.packing.packing import pack_corpus
from text.sources import read_labelled
from text.tokens.tokenizer import tokenizer_from_json
from training.engine.batches.epoch_batches import LabelledBatches, LengthGroupedBatches
from training.masked_lm import masked_lm_loss
from training.objectives.losses import classification_accuracy, classification_loss
from training.objectives.masked_rows import PREFIX, MaskedText, joint_batches, joint_model, keep_language_model

WINDOWS, LENGTH, BATCH_SIZE = 36, 32, 8
SMALL_RUN = ["--dataset", "opinions.csv", "--batch-size", "4", "--epochs", "1", "--head-fit", "epochs"]
CLASSIFIER, BACKBONE = "mini_bert_sentiment_classifier.keras", "with_labels.keras"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    model = tiny_models.masked_lm(max_seq_len=LENGTH)
    cache = tmp_path_factory.mktemp("cache")
    corpus = pack_corpus(["sample"], tokenizer_from_json(model.tokenizer_json), LENGTH, cache, held_out_fraction=0.05)
    return MaskedText(model, corpus, masker_of(model, 0.2))


@pytest.fixture
def classifier(text):
    return classifier_from_pretrained(text.model, "all", dropout_rate=0.0)


def labelled_of(grouped=False, **options):
    """Return batches of labelled windows; if `grouped`, of two lengths."""
    generator = np.random.default_rng(0)
    ids = generator.integers(5, 30, (WINDOWS, LENGTH), "int32")
    lengths = np.where(np.arange(WINDOWS) % 2, LENGTH, LENGTH // 2)
    ids[np.arange(LENGTH) >= lengths[:, None]] = 0
    inputs = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
    labels = generator.integers(0, 2, (WINDOWS, 1)).astype(np.float32)
    if grouped:
        return LengthGroupedBatches(inputs, labels, BATCH_SIZE, padded_lengths=lengths, seed=1, **options)
    return LabelledBatches(inputs, labels, BATCH_SIZE, seed=1, **options)


def batches_of(text, labelled=labelled_of, masked_rows=0.25, **options):
    plan = dataclasses.replace(fine_tuning.PLAN, masked_rows=masked_rows)
    return joint_batches(labelled, text, plan)(**options)


def assert_same_batch(batch, expected):
    keras.tree.map_structure(np.testing.assert_array_equal, batch, expected)


def without_masks(batch):
    """Return the masked rows of a batch with their original tokens."""
    inputs = {name.removeprefix(PREFIX): values for name, values in batch[0].items()}
    original = inputs["input_ids"].copy()
    np.put_along_axis(original, inputs["masked_positions"], inputs["targets"], axis=1)
    return original


class TestBatches:
    def test_the_labelled_windows_are_those_of_the_labelled_batches(self, text):
        batches, labelled = batches_of(text), labelled_of()
        assert (len(batches), batches.batch_size) == (len(labelled), BATCH_SIZE)
        for (inputs, targets, weights), expected in zip(batches, labelled, strict=True):
            own = {name: values for name, values in inputs.items() if not name.startswith(PREFIX)}
            assert_same_batch((own, targets["classification"], weights["classification"]), expected)

    def test_the_masked_rows_are_a_fraction_of_them_and_change(self, text):
        first, second = batches_of(text)[0], batches_of(text)[1]
        for inputs, targets, weights in (first, second):
            assert inputs[f"{PREFIX}input_ids"].shape == (BATCH_SIZE // 4, LENGTH)
            assert targets["masked_lm"].shape == weights["masked_lm"].shape
        assert (first[0][f"{PREFIX}input_ids"] != second[0][f"{PREFIX}input_ids"]).any()

    def test_there_is_at_least_one_masked_row(self, text):
        assert len(batches_of(text, masked_rows=0.01)[0][0][f"{PREFIX}input_ids"]) == 1

    def test_few_rows_come_again_with_other_masks(self, text):
        num_rows = len(text.corpus.train.input_ids)
        batches = batches_of(text, masked_rows=0.99)
        per_batch = len(batches[0][0][f"{PREFIX}input_ids"])
        assert per_batch == BATCH_SIZE
        batches.masked.last_batch = 2
        first, third = batches[0], batches[2]
        assert num_rows > 2 * per_batch
        assert (third[0][f"{PREFIX}input_ids"] != first[0][f"{PREFIX}input_ids"]).any()
        assert_same_batch(without_masks(third), without_masks(first))

    def test_a_resumed_epoch_has_the_same_batches(self, text):
        whole = list(batches_of(text, epoch=1))
        for batch, expected in zip(batches_of(text, epoch=1, first_batch=2), whole[2:], strict=True):
            assert_same_batch(batch, expected)

    def test_each_epoch_has_others(self, text):
        first, second = (batches_of(text, epoch=epoch)[0][0][f"{PREFIX}input_ids"] for epoch in (0, 1))
        assert (first != second).any()


class TestModel:
    def test_its_loss_is_the_weighted_sum_of_both(self, text, classifier):
        model = joint_model(logits_model(classifier), classifier, text, weight=0.3)
        inputs, targets, weights = batches_of(text)[0]
        outputs = model(inputs)
        labels = classifier.label_set
        losses = classification_loss(labels), masked_lm_loss()
        model.compile("sgd", **model.objectives(losses[0], classification_accuracy(labels)))
        expected = float(losses[0](targets["classification"], outputs["classification"], weights["classification"]))
        expected += 0.3 * float(losses[1](targets["masked_lm"], outputs["masked_lm"], weights["masked_lm"]))
        assert float(model.compute_loss(inputs, targets, outputs, weights)) == pytest.approx(expected, rel=1e-5)

    def test_it_starts_as_the_two_models(self, text, classifier):
        model = joint_model(logits_model(classifier), classifier, text, weight=1.0)
        inputs, _, _ = batches_of(text)[0]
        outputs = model(inputs)
        labelled = {name: values for name, values in inputs.items() if not name.startswith(PREFIX)}
        np.testing.assert_allclose(as_array(outputs["classification"]), as_array(logits_model(classifier)(labelled)))
        masked = {name.removeprefix(PREFIX): values for name, values in inputs.items() if name.startswith(PREFIX)}
        whole = as_array(text.model({name: masked[name] for name in text.model.input}))
        of_targets = np.take_along_axis(whole, masked["targets"][..., None], -1)
        np.testing.assert_allclose(as_array(outputs["masked_lm"])[..., :1], of_targets, atol=1e-4)

    def test_its_head_is_that_of_a_bert(self, text):
        """Another activation, or another epsilon, would train a head that the pre-trained model reads differently."""
        bert = tiny_models.masked_lm(max_seq_len=LENGTH, normalize_first=False, activation="gelu", epsilon=1e-3)
        classifier = classifier_from_pretrained(bert, "all", dropout_rate=0.0)
        model = joint_model(logits_model(classifier), classifier, dataclasses.replace(text, model=bert), 0.5)
        head, expected = (each.get_layer(MASKED_LM_HEAD).get_config() for each in (model, bert))
        assert (head["activation"], head["epsilon"]) == ("gelu", 1e-3)
        assert head == expected

    def test_the_pretrained_model_gets_what_was_trained(self, text, classifier):
        model = joint_model(logits_model(classifier), classifier, text, weight=1.0)
        before = text.model.get_weights()
        model.set_weights([values + 0.5 for values in model.get_weights()])
        for value, unchanged in zip(text.model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, unchanged)
        keep_language_model(model, classifier, text)
        for value, old in zip(text.model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, old + np.float32(0.5))
        text.model.set_weights(before)

    def test_its_metrics_of_the_labels_have_their_usual_names(self, text, classifier, quickly):
        model = joint_model(logits_model(classifier), classifier, text, weight=1.0)
        labels = classifier.label_set
        model.compile("sgd", **model.objectives(classification_loss(labels), classification_accuracy(labels)))
        logs = model.fit(batches_of(text).for_fit(), verbose=0).history
        assert sorted(logs) == ["binary_accuracy", "loss", "masked_accuracy", "masked_lm_loss"]

    def test_windows_of_several_lengths(self, text, classifier, quickly):
        model = joint_model(logits_model(classifier, any_length=True), classifier, text, weight=1.0)
        labels = classifier.label_set
        model.compile("sgd", **model.objectives(classification_loss(labels), classification_accuracy(labels)))
        batches = batches_of(text, lambda **options: labelled_of(grouped=True, **options))
        assert {batch[0]["input_ids"].shape[1] for batch in batches} == {LENGTH // 2, LENGTH}
        logs = model.fit(batches.for_fit(), verbose=0).history
        assert np.isfinite([logs["loss"], logs["masked_lm_loss"]]).all()


@pytest.fixture
def options(tmp_path, monkeypatch, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", "sample", "--corpus", "sample", "--pretrained", str(tiny_pretrained), "--unfreeze", "all"]
    return [*options, "--no-xla", "--learning-rate", "2e-3", "--backbone-output", BACKBONE]


@pytest.mark.slow
def test_the_language_model_is_trained_and_evaluated(options, tiny_pretrained, capsys):
    assert fine_tuning.main([*options, "--epochs", "2", "--masked-lm-weight", "1"]) == 0
    printed = capsys.readouterr().out
    model, before = load_model(BACKBONE, BertMaskedLM), load_model(tiny_pretrained, BertMaskedLM)
    held_out = model.metadata["held_out"]
    assert f"held out: loss: {held_out['loss']:.4f} - " in printed
    classifier = load_model(CLASSIFIER, BertClassifier)
    for layer, trained in zip(backbone_layers(model), backbone_layers(classifier), strict=True):
        for value, expected in zip(layer.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
    heads = (model.get_layer(MASKED_LM_HEAD).get_weights(), before.get_layer(MASKED_LM_HEAD).get_weights())
    assert all((value != old).any() for value, old in zip(*heads, strict=True))
    metrics = json.loads(Path("metrics.json").read_text(encoding="utf-8"))
    assert metrics["masked_lm"] == held_out
    history = metrics["history"]
    assert history["masked_lm_loss"][1] < history["masked_lm_loss"][0]


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_killed_run_is_resumed_as_if_nothing_had_happened(options, monkeypatch):
    write_opinions(Path("opinions.csv"))
    options = [*options, *SMALL_RUN, "--epochs", "2"]
    assert fine_tuning.main(options) == 0
    expected = load_model(BACKBONE, BertMaskedLM).get_weights()
    with monkeypatch.context() as patch:
        patch.setattr(recipes.runs.resumption, "Checkpoint", functools.partial(KillingCheckpoint, batches=3))
        with pytest.raises(Killed):
            fine_tuning.main([*options, "--output", "other.keras"])
    assert progress_of("runs/fine_tuning/checkpoint.npz") == (0, 3)
    assert fine_tuning.main(["--resume"]) == 0
    for value, whole in zip(load_model(BACKBONE, BertMaskedLM).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(value, whole)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_grid_compares_the_language_models(options, capsys):
    """With soft labels, and without the texts of --exclude."""
    write_opinions(Path("opinions.csv"))
    columns = "text,probability_好,probability_差,probability_中"
    Path("soft.csv").write_text(f"{columns}\n很好,1,0,0\n差,0,1,0\n", encoding="utf-8")
    Path("excluded.txt").write_text("差！\n", encoding="utf-8")
    options = [*options[:-2], *SMALL_RUN, "--soft-labels", "soft.csv", "--exclude", "excluded.txt"]
    options += ["--grid", "masked_lm_weight=0.1,0.9"]
    assert fine_tuning.main(options) == 0
    printed = capsys.readouterr().out
    assert "soft.csv: 1 text with probabilities" in printed
    grid = json.loads(Path("runs/fine_tuning/study.json").read_text(encoding="utf-8"))["grid"]
    losses = [entry["masked_lm"]["loss"] for entry in grid]
    assert losses[0] != losses[1]
    rows = [line.strip("|").split("|") for line in printed.splitlines() if line.startswith("|")]
    header, _, *of_runs = (row[-1].strip() for row in rows)
    assert [header, *of_runs] == ["masked-LM loss", *map("{:.4f}".format, losses)]


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_one_document_is_enough_to_train_on(options, capsys):
    write_opinions(Path("opinions.csv"))
    Path("corpus.txt").write_text("位置不错，离地铁站很近。\n", encoding="utf-8")
    options = [*options, *SMALL_RUN, "--corpus", "corpus.txt"]
    assert fine_tuning.main(options) == 0
    assert "masked_lm" not in json.loads(Path("metrics.json").read_text(encoding="utf-8"))
    assert "held_out" not in load_model(BACKBONE, BertMaskedLM).metadata


class TestDryRun:
    def documents(self, options, capsys):
        """Return the number of documents to train on and to hold out that a dry run prints."""
        assert fine_tuning.main([*options, "--dry-run"]) == 0
        printed = capsys.readouterr().out
        assert "beside 0.125 masked rows of --corpus for each window, validate on" in printed
        return sum(int(count.replace(",", "")) for count in re.findall(r"^\S.*: ([\d,]+) documents", printed, re.M))

    def test_it_reads_the_corpus(self, options, capsys):
        assert self.documents(options, capsys) == len(list(iter_texts(["sample"])))

    def test_texts_to_evaluate_on_or_exclude_are_left_out(self, options, capsys):
        texts = read_labelled("sample").texts
        Path("corpus.txt").write_text("\n".join([*texts, "没看过的评论", "也没看过"]), encoding="utf-8")
        Path("excluded.txt").write_text("没看过的评论！\n", encoding="utf-8")
        options = [*options, "--corpus", "corpus.txt", "--exclude", "excluded.txt"]
        assert self.documents(options, capsys) == 378 + 1  # the training texts, and one that is not labelled

    def test_the_text_column_may_be_that_of_the_labelled_texts_alone(self, options, capsys):
        rows = write_opinions(Path("opinions.csv")).read_text(encoding="utf-8")
        Path("opinions.csv").write_text(rows.replace("text,", "words,"), encoding="utf-8")
        Path("corpus.csv").write_text("content\n很好\n很差\n", encoding="utf-8")
        options = [*options, "--dataset", "opinions.csv", "--text-column", "words", "--corpus", "corpus.csv"]
        assert self.documents(options, capsys) == 2

    def test_a_corpus_of_which_nothing_remains(self, options, capsys):
        Path("corpus.txt").write_text("很好\n", encoding="utf-8")
        assert fine_tuning.main([*options, "--corpus", "corpus.txt", "--exclude", "corpus.txt", "--dry-run"]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: --corpus corpus.txt: too little text to train on")


def test_only_a_pretraining_model_has_a_head_to_train(options, capsys, tiny_model):
    assert fine_tuning.main([*options[:-2], "--pretrained", str(tiny_model)]) == 1
    assert_one_error(capsys.readouterr().err, "tiny.keras")
