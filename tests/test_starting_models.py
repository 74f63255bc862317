"""What a fine-tuning starts from: its data, and the head that it keeps of a classifier with the same labels."""

import dataclasses

import numpy as np
import pytest
import tiny_models

import fine_tuning
from network.pretrained import with_next_sentence
from recipes.runs.starting_models import kept_head, new_classifier, new_layers, pooling_of
from text.labels import SENTIMENT, LabelSet

TOPICS = LabelSet(("经济", "体育", "科技"))
FEATURES = np.random.default_rng(0).normal(size=(5, 16)).astype("float32")


def kept(model, labels, **changes):
    return kept_head(dataclasses.replace(fine_tuning.PLAN, **changes), model, labels)


def head_of(model):
    return model.get_layer("classification_output").get_weights()


@pytest.mark.parametrize("labels", [SENTIMENT, TOPICS, LabelSet(TOPICS.names, multi_label=True)])
def test_a_classifier_with_the_same_labels_keeps_its_head(labels):
    model = tiny_models.classifier(labels.to_json())
    for value, expected in zip(kept(model, labels), head_of(model), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("labels", [SENTIMENT, TOPICS])
def test_labels_in_another_order_keep_their_probabilities(labels):
    model, turned = tiny_models.classifier(labels.to_json()), LabelSet(labels.names[::-1])
    kernel, bias = head_of(model)
    expected = labels.probabilities(FEATURES @ kernel + bias)
    np.testing.assert_allclose(turned.probabilities(kept(model, turned).logits(FEATURES)), expected[:, ::-1])


@pytest.mark.parametrize(
    "labels", [LabelSet(("差", "好")), TOPICS, LabelSet(SENTIMENT.names, multi_label=True)], ids=lambda each: each.names
)
def test_other_labels_get_a_new_head(labels):
    assert kept(tiny_models.classifier(), labels) is None


def test_another_pooling_gets_a_new_head():
    assert kept(tiny_models.classifier(pooling="max"), SENTIMENT) is None
    assert kept(tiny_models.classifier(pooling="max"), SENTIMENT, pooling="max") is not None


@pytest.mark.parametrize(
    ("pooling", "sizes", "expected"),
    [
        ("pooler", {}, "pooler"),
        ("pooler", {"normalize_first": False}, "pooler"),
        ("max", {}, "mean"),
        ("mean", {}, "mean"),
    ],
)
def test_a_classifier_with_a_pooler_keeps_it(pooling, sizes, expected):
    assert pooling_of(fine_tuning.PLAN, tiny_models.classifier(pooling=pooling, **sizes)) == expected


@pytest.mark.parametrize(("normalize_first", "expected"), [(True, "mean"), (False, "pooler")])
def test_of_pre_training_models_only_a_bert_has_a_pooler_to_read(normalize_first, expected):
    model = with_next_sentence(tiny_models.masked_lm(normalize_first=normalize_first))
    assert pooling_of(fine_tuning.PLAN, model) == expected
    assert pooling_of(dataclasses.replace(fine_tuning.PLAN, pooling="max"), model) == "max"


@pytest.mark.parametrize(
    ("pretrained", "pooling", "expected"),
    [
        (tiny_models.masked_lm, "pooler", ["pooled_output"]),
        (lambda: with_next_sentence(tiny_models.masked_lm()), "pooler", []),
        (tiny_models.classifier, "pooler", ["pooled_output"]),
        (lambda: tiny_models.classifier(pooling="pooler"), "pooler", []),
        (tiny_models.masked_lm, "mean", []),
    ],
    ids=["language model", "with a pooler", "classifier", "classifier with a pooler", "pooling without weights"],
)
def test_a_pooler_is_new_if_the_pre_trained_model_has_none(pretrained, pooling, expected):
    model = pretrained()
    plan = dataclasses.replace(fine_tuning.PLAN, pooling=pooling, unfreeze=1)
    assert new_layers(new_classifier(plan, model, SENTIMENT), model) == expected


def test_a_pre_training_model_has_no_head_to_keep():
    assert kept(tiny_models.masked_lm(), SENTIMENT) is None
