"""Small tested models for the report page, with texts, logits and groups drawn at random."""

import numpy as np

from evaluation.baseline import TestedBaseline
from evaluation.report.page.contents import Contents
from text.labels import SENTIMENT, LabelSet

TOPICS = LabelSet(("体育", "财经", "科技", "a label with a name that is much longer than the others & <b>bold</b>"))
ASPECTS = LabelSet(("服务", "位置", "早餐", "隔音", "卫生"), multi_label=True)
MANY = LabelSet(tuple(f"label {number}" for number in range(30)))
HISTORY = {"loss": [1.1, 0.8, 0.6], "val_loss": [1.0, float("nan"), 0.9], "accuracy": [0.5, 0.7, 0.8]}
TEMPERATURE = 1.3


def small_contents(label_set: LabelSet = SENTIMENT, count: int = 120, **changes) -> Contents:
    """Return a model that is often right, beside a baseline that is right less often."""
    rng = np.random.default_rng(len(label_set.names))
    num_labels = len(label_set.names)
    if label_set.multi_label:
        labels = (rng.random((count, num_labels)) < 0.3).astype(np.int64)
        signal, threshold = 4.0 * labels - 2, (0.5,) * num_labels
    elif label_set.is_binary:
        labels = (rng.random(count) < 0.6).astype(np.int64)
        signal, threshold = (4.0 * labels - 2)[:, None], label_set.default_threshold
    else:
        labels = np.concatenate([np.arange(num_labels), rng.integers(0, num_labels, count - num_labels)])
        signal, threshold = 4.0 * np.eye(num_labels)[labels], None
    fields = {
        "model_name": "classifier.keras",
        "data_name": "reviews.csv",
        "label_set": label_set,
        "texts": ["房间很干净，<b>" * int(times) for times in rng.integers(1, 40, count)],
        "labels": labels,
        "logits": signal + 2 * rng.normal(size=signal.shape),
        "temperature": TEMPERATURE,
        "threshold": threshold,
        "num_windows": rng.integers(1, 9, count),
        "groups": rng.choice(["酒店", "film", "an unbroken_name_" + "x" * 60], count),
        "baseline": TestedBaseline(signal / 2 + 2 * rng.normal(size=signal.shape), None),
        "num_training_texts": 400,
        "history": HISTORY,
    }
    return Contents(**fields | changes)
