"""Small models with random weights, for the tokenizer that knows the sample corpus."""

import keras
from layer_checks import randomize
from tiny import sample_tokenizer

from network.bert import BertClassifier, BertConfig, BertMaskedLM


def config(**sizes) -> BertConfig:
    """Return the sizes of a small network for `tiny.sample_tokenizer`."""
    return BertConfig(**{"vocab_size": sample_tokenizer().get_vocab_size(), "d_model": 16, "dff": 32} | sizes)


def masked_lm(**sizes) -> BertMaskedLM:
    """Return a small pre-training model."""
    keras.utils.set_random_seed(0)
    model = BertMaskedLM(config(**sizes), sample_tokenizer().to_str())
    randomize(model)
    return model


def classifier(metadata: dict | None = None, **sizes) -> BertClassifier:
    """Return a small classifier."""
    keras.utils.set_random_seed(0)
    model = BertClassifier(config(**sizes), sample_tokenizer().to_str(), metadata)
    randomize(model)
    return model
