"""Small models with random weights, for the tokenizer that knows the sample corpus."""

from pathlib import Path

import keras
import numpy as np
from layer_checks import randomize
from tiny import sample_tokenizer

from network.backbone import BertConfig
from network.bert import BertClassifier, BertMaskedLM, logits_model
from network.model_file import load_model, save_model
from serving.export.onnx_file import export_onnx
from text.corpus import iter_texts
from text.tokens.windows import encode_windows

EMOTIONS = ("愤怒", "悲伤", "喜悦", "惊讶", "恐惧", "平静")
ASPECTS = ("服务", "位置", "早餐", "隔音")
ASPECT_THRESHOLDS = (0.35, 0.5, 0.625, 0.45)


def config(**sizes) -> BertConfig:
    """Return the sizes of a small network for `tiny.sample_tokenizer`."""
    return BertConfig(**{"vocab_size": sample_tokenizer().get_vocab_size(), "d_model": 16, "dff": 32} | sizes)


def masked_lm(**sizes) -> BertMaskedLM:
    """Return a small pre-training model."""
    keras.utils.set_random_seed(0)
    model = BertMaskedLM(config(**sizes), sample_tokenizer().to_str())
    randomize(model)
    return model


def classifier(metadata: dict | None = None, pooling: str = "mean", **sizes) -> BertClassifier:
    """Return a small classifier, which is about as likely to say positive as negative, or any of more labels."""
    keras.utils.set_random_seed(0)
    model = BertClassifier(config(**sizes), sample_tokenizer().to_str(), metadata, pooling=pooling)
    randomize(model)
    bias = model.get_layer("classification_output").bias
    windows = encode_windows(sample_tokenizer(), list(iter_texts(["sample"]))[:50], model.config.max_seq_len)
    logits = keras.ops.convert_to_numpy(logits_model(model)(windows.inputs))
    bias.assign(bias - np.median(windows.document_logits(logits), axis=0))
    return model


def save_classifier(path: Path, **metadata: object) -> Path:
    """Save a small classifier that reads 16 tokens at once, with its `.onnx` file; return `path`."""
    save_model(classifier(metadata, max_seq_len=16), path)
    export_onnx(path)
    return path


def save_with_metadata(model_path: Path, target: Path, metadata: dict) -> Path:
    """Save the classifier of `model_path` with other metadata, as a `.keras` and an `.onnx` file; return `target`."""
    model = load_model(model_path)
    model.metadata |= metadata
    save_model(model, target)
    export_onnx(target)
    return target
