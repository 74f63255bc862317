"""Run a classifier with ONNX Runtime."""

import json
import re
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from arrays import random_ids

from serving.export.onnx_file import onnx_path
from serving.predictor import Predictor
from serving.runtimes.onnx_check import ABOUT
from serving.runtimes.onnx_runtime import OnnxRuntime
from system.errors import InputError
from text.sources import read_labelled

SHIPPED = Path(__file__).resolve().parents[1] / "mini_bert_sentiment_classifier.keras"


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_the_batch_size_changes_nothing(tiny_model, batch_size):
    runtime = OnnxRuntime(onnx_path(tiny_model))
    ids = random_ids((300, runtime.max_seq_len))
    ids[100:] = np.maximum(ids[100:], 5)  # many windows of one length
    logits = runtime.logits(ids, batch_size)
    assert (logits.shape, logits.dtype) == ((300, 1), np.float32)
    one_by_one = np.concatenate([runtime.logits(window[None]) for window in ids])
    assert one_by_one.std() > 0.01
    np.testing.assert_allclose(logits, one_by_one, rtol=1e-5, atol=1e-4)


def test_it_agrees_with_keras_on_the_sample():
    texts = read_labelled("sample").texts
    onnx, keras = (Predictor(SHIPPED, runtime=runtime).predict(texts) for runtime in ("onnx", "keras"))
    difference = max(abs(one.probability - other.probability) for one, other in zip(onnx, keras, strict=True))
    assert difference < 1e-5
    assert [one.label for one in onnx] == [other.label for other in keras]


class Reader(threading.Thread):
    """A thread that predicts texts."""

    def __init__(self, predictor, texts):
        super().__init__()
        self.predictor, self.texts, self.predictions = predictor, texts, None

    def run(self):
        self.predictions = self.predictor.predict(self.texts)


def test_several_threads_use_one_predictor(tiny_model):
    predictor = Predictor(onnx_path(tiny_model))
    texts = read_labelled("sample").texts[:200]
    expected = predictor.predict(texts)
    threads = [Reader(predictor, texts) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [thread.predictions for thread in threads] == [expected] * 4


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["差", "中", "好"], "the network's number of outputs is 6, but its 3 labels need 3; recreate it"),
        (["差", "好"], "the network's number of outputs is 6, but its 2 labels need 1; recreate it"),
    ],
)
def test_labels_that_do_not_fit_the_outputs_are_refused(tiny_emotions, tmp_path, labels, words):
    graph = onnx.load(onnx_path(tiny_emotions))
    about = next(entry for entry in graph.metadata_props if entry.key == ABOUT)
    changed = json.loads(about.value)
    changed["metadata"] |= {"labels": labels, "threshold": 0.5 if len(labels) == 2 else None}
    about.value = json.dumps(changed)
    path = tmp_path / "changed.onnx"
    onnx.save(graph, path)
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))}: {words}"):
        OnnxRuntime(path)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged.onnx: damaged, or not an ONNX file of this version of the project"):
        OnnxRuntime(path)
