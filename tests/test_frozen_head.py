"""The training of the head alone on few texts: until it converges, whatever the settings of the optimizer."""

import dataclasses

import keras
import numpy as np
import pytest
from layer_checks import as_array, randomize

import fine_tuning
from evaluation.assessment import validation_of
from network.backbone import BertConfig, backbone_layers
from network.bert import BertClassifier, logits_model
from text.dataset.splits import Split, Splits
from text.labels import SENTIMENT, LabelSet
from text.tokens.window_settings import NUM_SPECIAL_TOKENS
from text.tokens.windows import Windows
from training.classification import document_logits, train_classifier
from training.frozen_head import WINDOWS_AT_ONCE, feature_extractor, text_features
from training.logistic_regression import Head
from training.plans.training_options import FEW_TEXTS

CONFIG = BertConfig(vocab_size=30, max_seq_len=8, d_model=16, dff=32)
LABELS = {
    "sentiment": SENTIMENT,
    "topics": LabelSet(("低", "中", "高")),
    "aspects": LabelSet(("低", "中", "高"), multi_label=True),
}


def split_of(rows, seed, labels=SENTIMENT):
    """Return texts of four tokens whose labels depend on how high these are, and on chance."""
    generator = np.random.default_rng(seed)
    input_ids = generator.integers(5, 11, (rows, 8), "int32")
    input_ids[:, 4 + NUM_SPECIAL_TOKENS :] = 0
    height = input_ids.sum(axis=1) + generator.normal(0, 2, rows)
    number = np.digitize(height, [43, 47] if len(labels.names) == 3 else [45])
    if labels.multi_label:
        number = np.stack([number >= least for least in range(3)], axis=1)
    windows = Windows(input_ids, np.full(rows, 4), np.arange(rows), np.zeros(rows, bool))
    return Split([""] * rows, labels.targets(number), windows, label_set=labels)


def splits_of(labels=SENTIMENT, rows=60):
    return Splits(None, *(split_of(count, seed, labels) for seed, count in enumerate((rows, 200, 200))))


SPLITS = splits_of()


def classifier_of(labels=SENTIMENT, unfreeze=0):
    keras.utils.set_random_seed(0)
    classifier = BertClassifier(CONFIG, metadata=labels.to_json(), unfreeze=unfreeze)
    randomize(classifier)
    return classifier


def train(classifier, splits=SPLITS, kept=None, **settings):
    """Train with the settings of the script, and return the history."""
    settings = {"no_xla": True, "learning_rate": 1e-12, "head_learning_rate": 1e-12} | settings
    plan = dataclasses.replace(fine_tuning.PLAN, **settings)
    return train_classifier(classifier, splits, plan, validation_of(splits), kept=kept)


def head_of(classifier):
    return Head(*classifier.get_layer("classification_output").get_weights())


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_the_classifier_predicts_as_the_fitted_head(labels, capsys):
    splits, classifier = splits_of(labels), classifier_of(labels)
    backbone = [layer.get_weights() for layer in backbone_layers(classifier)]
    history = train(classifier, splits)
    printed = capsys.readouterr().out
    assert printed.startswith("Head fitted to 60 texts until it converged, held to the frequencies of the labels with")
    assert f"val_loss: {history['val_loss'][0]:.4f}" in printed
    logits = document_logits(logits_model(classifier), splits.validation)
    expected = validation_of(splits)(logits)
    assert {name.removeprefix("val_"): values[0] for name, values in history.items() if "val_" in name} == (
        pytest.approx(expected, rel=1e-4)
    )
    for layer, weights in zip(backbone_layers(classifier), backbone, strict=True):
        for value, before in zip(layer.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(value, before)


def test_the_settings_of_the_optimizer_change_nothing():
    heads = []
    for settings in ({}, {"epochs": 9, "batch_size": 7, "head_learning_rate": 0.5}):
        classifier = classifier_of()
        train(classifier, **settings)
        heads.append(head_of(classifier))
    np.testing.assert_array_equal(heads[0].kernel, heads[1].kernel)


def test_is_right_more_often_than_after_the_epochs_of_the_original():
    accuracy = {}
    for head_fit in ("auto", "epochs"):
        history = train(classifier_of(), head_fit=head_fit, head_learning_rate=fine_tuning.HEAD_LEARNING_RATE)
        accuracy[head_fit] = history["val_binary_accuracy"][-1]
    assert accuracy["auto"] > accuracy["epochs"]


def test_label_smoothing_and_class_weights_count():
    def trained(**settings):
        classifier = classifier_of()
        train(classifier, splits_of(rows=30), **settings)
        return head_of(classifier).kernel

    plain = trained()
    assert np.abs(trained(label_smoothing=0.4)).sum() < np.abs(plain).sum()
    assert not np.allclose(trained(class_weights="balanced"), plain)
    np.testing.assert_allclose(trained(class_weights="balanced"), trained(balanced_sampling=True), rtol=1e-3)


def test_a_kept_head_that_is_right_is_better_than_none():
    right = classifier_of()
    train(right, splits_of(rows=1000))
    few = splits_of(rows=10)
    losses = [train(classifier_of(), few, kept=kept)["val_loss"][0] for kept in (None, head_of(right))]
    assert losses[1] < losses[0]


@pytest.mark.slow
def test_more_of_the_network_starts_with_the_fitted_head():
    fitted, trained = classifier_of(), classifier_of(unfreeze="all")
    train(fitted)
    train(trained, epochs=1)  # with a learning rate that changes nothing
    np.testing.assert_allclose(head_of(trained).kernel, head_of(fitted).kernel, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_many_texts_are_trained_on_by_epochs():
    history = train(classifier_of(), splits_of(rows=FEW_TEXTS), epochs=2)
    assert len(history["loss"]) == 2


@pytest.mark.slow
def test_with_many_texts_the_network_starts_with_the_kept_head():
    kept = Head(as_array(np.full((16, 1), 0.25, "float32")), np.array([0.5], "float32"))
    classifier = classifier_of(unfreeze=1)
    train(classifier, splits_of(rows=FEW_TEXTS), kept=kept, epochs=1)
    np.testing.assert_allclose(head_of(classifier).kernel, kept.kernel, atol=1e-6)


def test_the_features_of_many_windows_are_those_of_few():
    split = split_of(WINDOWS_AT_ONCE + 3, seed=5)
    extractor = feature_extractor(classifier_of())
    features = text_features(extractor, split)
    few = extractor.predict({name: ids[-5:] for name, ids in split.windows.inputs.items()}, verbose=0)
    np.testing.assert_allclose(features[-5:], few, atol=1e-5)
    assert features.shape == (WINDOWS_AT_ONCE + 3, CONFIG.d_model)
