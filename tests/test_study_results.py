"""The results of the runs of a study, where they are measured anew."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from evaluation.metrics import classification_metrics
from recipes.fine_tuning import METRICS_NAME
from recipes.studies import results
from recipes.studies.results import UnseenTexts
from text.labels import SENTIMENT, LabelSet

THREE = LabelSet(("负面", "中性", "正面"))
ASPECTS = LabelSet(("服务", "位置", "早餐"), multi_label=True)


class BlankPredictor:
    """Takes the place of a predictor that knows no token of any text."""

    def __init__(self, *arguments, **options):
        pass

    def predict_proba(self, texts):
        return np.full((len(texts), self.num_labels), np.nan)


@pytest.mark.parametrize(
    ("label_set", "labels", "guess"),
    [(SENTIMENT, [0, 1], 1 / 2), (THREE, [0, 2], 1 / 3), (ASPECTS, [[1, 0, 1], [0, 0, 0]], 0)],
)
def test_a_text_without_a_known_token_has_even_probabilities_but_none_of_several_labels(
    tmp_path, monkeypatch, label_set, labels, guess
):
    monkeypatch.setattr(BlankPredictor, "num_labels", len(label_set.names), raising=False)
    monkeypatch.setattr(results, "Predictor", BlankPredictor)
    threshold = [0.1, 0.2, 0.3] if label_set.multi_label else None
    (tmp_path / METRICS_NAME).write_text(json.dumps({"application_threshold": threshold}), encoding="utf-8")
    measured = UnseenTexts(["☃", "☂"], np.array(labels), label_set).measure(SimpleNamespace(folder=tmp_path))
    probabilities = np.full((2, len(label_set.names)), guess)
    assert measured == classification_metrics(label_set, np.array(labels), probabilities, threshold)
