"""Build the ONNX graph of a classifier: its logits are those of Keras."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_models
from arrays import random_ids

from network.bert import BertClassifier, logits_model
from network.heads import POOLING_LAYERS
from serving.export.onnx_graph import classifier_graph
from text.labels import SENTIMENT, LabelSet

MAX_SEQ_LEN = 16


def keras_logits(classifier: BertClassifier, ids: np.ndarray) -> np.ndarray:
    return np.asarray(logits_model(classifier)({"input_ids": ids, "token_type_ids": np.zeros_like(ids)}))


def graph_logits(graph: onnx.ModelProto, ids: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": ids})[0]


def check_agreement(logits, expected, labels=SENTIMENT):
    assert expected.std() > 0.01
    probabilities, expected_probabilities = map(labels.probabilities, (logits, expected))
    np.testing.assert_allclose(probabilities, expected_probabilities, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"normalize_first": False},
        {"normalize_first": False, "activation": "gelu", "epsilon": 1e-12},
        {"activation": "gelu_tanh"},
        {"num_layers": 3, "num_heads": 2, "d_model": 24},
        {"num_heads": 1},
        {"max_seq_len": 32},
    ],
)
def test_windows_with_padding(sizes):
    classifier = tiny_models.classifier(**({"max_seq_len": MAX_SEQ_LEN} | sizes))
    ids = random_ids((50, classifier.config.max_seq_len))
    assert (ids == 0).any()
    check_agreement(graph_logits(classifier_graph(classifier), ids), keras_logits(classifier, ids))


@pytest.mark.parametrize("sizes", [{}, {"normalize_first": False, "activation": "gelu"}, {"num_layers": 1}])
@pytest.mark.parametrize("pooling", POOLING_LAYERS)
def test_every_pooling(pooling, sizes):
    classifier = tiny_models.classifier(pooling=pooling, max_seq_len=MAX_SEQ_LEN, **sizes)
    one_token, empty = [2, 9, 3], [2, 3]
    short = [ids + [0] * (MAX_SEQ_LEN - len(ids)) for ids in (one_token, empty)]
    padded = np.concatenate([random_ids((50, MAX_SEQ_LEN)), np.array(short, np.int32)])
    full = np.random.default_rng(1).integers(5, 1500, (50, MAX_SEQ_LEN), np.int32)
    graph = classifier_graph(classifier)
    for ids in (padded, full):
        logits, expected = graph_logits(graph, ids), keras_logits(classifier, ids)
        check_agreement(logits, expected)
        np.testing.assert_allclose(logits[-2:], expected[-2:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("normalize_first", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_row_of_padding_has_the_logits_of_zeros(pooling, normalize_first):
    classifier = tiny_models.classifier(pooling=pooling, max_seq_len=MAX_SEQ_LEN, normalize_first=normalize_first)
    ids = random_ids((2, MAX_SEQ_LEN)) * np.array([[0], [1]], np.int32)
    logits = graph_logits(classifier_graph(classifier), ids)
    bias = np.asarray(classifier.get_layer("classification_output").bias)
    np.testing.assert_allclose(logits[0], bias, rtol=1e-6)
    np.testing.assert_allclose(logits, keras_logits(classifier, ids), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "multi_label"),
    [(("差", "中", "好"), False), (tiny_models.EMOTIONS, False), (tiny_models.ASPECTS, True), (("贵", "吵"), True)],
)
def test_an_output_per_label(names, multi_label):
    labels = LabelSet(names, multi_label)
    classifier = tiny_models.classifier(labels.to_json(), max_seq_len=MAX_SEQ_LEN)
    ids = random_ids((50, MAX_SEQ_LEN))
    logits, expected = graph_logits(classifier_graph(classifier), ids), keras_logits(classifier, ids)
    assert logits.shape == (50, len(names))
    check_agreement(logits, expected, labels)
    probabilities = np.asarray(classifier({"input_ids": ids, "token_type_ids": np.zeros_like(ids)}))
    np.testing.assert_allclose(labels.probabilities(logits), probabilities, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [2, 9, MAX_SEQ_LEN])
def test_windows_without_padding_of_any_length(length):
    classifier = tiny_models.classifier(max_seq_len=MAX_SEQ_LEN)
    ids = np.zeros((50, MAX_SEQ_LEN), np.int32)
    ids[:, :length] = np.random.default_rng(0).integers(5, 1500, (50, length))
    check_agreement(graph_logits(classifier_graph(classifier), ids[:, :length]), keras_logits(classifier, ids))
