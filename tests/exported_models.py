"""Small models with the layers of BERT, to export, and what `transformers` answers with their folders."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tiny_models
import transformers
from layer_checks import randomize

from network.backbone import AS_IN_BERT
from network.bert import BertClassifier, BertMaskedLM, logits_model
from network.model_file import save_model
from text.corpus import iter_texts
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import encode_windows

TWO = {
    "labels": ["负面", "正面"],
    "temperature": 1.25,
    "threshold": 0.4,
    "windows": {"stride": 20, "aggregate": "mean"},
    "data": {"name": "reviews.csv", "rows": 504, "sha256": "ab12", "also": [{"name": "more.csv", "weight": 0.5}]},
    "test": {"thresholds": {"0.5": {"count": 84, "accuracy": 0.8125, "macro_f1": 0.75, "f1": {"positive": 0.7}}}},
}
THREE = {
    "labels": ["差", "一般|还行", "好"],
    "temperature": 0.5,
    "test": {"count": 1295, "accuracy": 0.5, "f1": {"差": 0.25}},
}
ASPECTS = {"labels": ["服务", "早餐"], "multi_label": True, "threshold": [0.3, 0.625], "temperature": 2.0}
METADATA = {"two": TWO, "three": THREE, "several": ASPECTS}
OTHER_SIZES = {"d_model": 24, "dff": 40, "num_heads": 2, "num_layers": 3}


def bert_classifier(metadata: dict, pooling: str = "pooler", **sizes) -> BertClassifier:
    """Return a small classifier with the layers of BERT, which reads 64 tokens at once."""
    return tiny_models.classifier(metadata, pooling, **AS_IN_BERT | sizes)


def bert_masked_lm(next_sentence: bool = False) -> BertMaskedLM:
    """Return a small pre-training model with the layers of BERT, which reads 64 tokens at once."""
    small = tiny_models.masked_lm(**AS_IN_BERT)
    metadata = {"corpus": {"sources": ["sample"], "documents": 615}, "held_out": {"loss": 5.25, "perplexity": 190.5}}
    keras.utils.set_random_seed(0)
    model = BertMaskedLM(small.config, small.tokenizer_json, metadata, next_sentence)
    randomize(model)
    return model


def saved(model: keras.Model, folder: Path) -> Path:
    """Save a model to a `.keras` file in a folder; return its path."""
    save_model(model, folder / "model.keras")
    return folder / "model.keras"


def short_texts(classifier: BertClassifier, count: int = 30) -> list[str]:
    """Return texts of the sample corpus that fit in one window."""
    tokenizer = tokenizer_from_json(classifier.tokenizer_json)
    texts = [text for text in iter_texts(["sample"]) if len(tokenizer.encode(text)) <= classifier.config.max_seq_len]
    return texts[:count]


def probabilities_here(
    classifier: BertClassifier, texts: Sequence[str], temperature: float = 1.0, window: int | None = None
) -> np.ndarray:
    """Return the probabilities of the first window of each text, (texts, labels)."""
    tokenizer = tokenizer_from_json(classifier.tokenizer_json)
    settings = WindowSettings(window, max_windows=1)
    windows = encode_windows(tokenizer, texts, classifier.config.max_seq_len, settings)
    logits = keras.ops.convert_to_numpy(logits_model(classifier)(windows.inputs))
    return classifier.label_set.probabilities(logits / temperature)


def probabilities_there(folder: Path, texts: Sequence[str], names: Sequence[str], **options: bool) -> np.ndarray:
    """Return the probabilities of the pipeline of `transformers`, (texts, labels), in the order of the names."""
    classify = transformers.pipeline("text-classification", str(folder), top_k=None)
    answers = [{each["label"]: each["score"] for each in answer} for answer in classify(list(texts), **options)]
    assert all(set(answer) == set(names) for answer in answers)
    return np.array([[answer[name] for name in names] for answer in answers])


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of a folder, by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
