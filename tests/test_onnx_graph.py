"""Build the ONNX graph of a classifier: its logits are those of Keras."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_models
from arrays import random_ids

from network.bert import BertClassifier, logits_model
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
    "sizes", [{}, {"normalize_first": False}, {"num_layers": 3, "num_heads": 2, "d_model": 24}, {"max_seq_len": 32}]
)
def test_windows_with_padding(sizes):
    classifier = tiny_models.classifier(**({"max_seq_len": MAX_SEQ_LEN} | sizes))
    ids = random_ids((50, classifier.config.max_seq_len))
    assert (ids == 0).any()
    check_agreement(graph_logits(classifier_graph(classifier), ids), keras_logits(classifier, ids))


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
