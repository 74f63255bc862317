"""The contenders of `benchmarks.serving`, each run as a script that prints its measurements as one line of JSON.

- `one_shot` predicts one text without this project's `serving`: Keras loads the file and calls the network once, which
  is faster than `predict`; transformers' fast tokenizer reads the `tokenizer.json` inside.
- `running` is this project: one text after the other.
- The others read a CSV file, predict its texts, and write them with a label and a probability. The clock runs from the
  first byte read to the last one written; loading and training do not count.

transformers' network has the sizes of `BertConfig` and random weights, which are as fast as trained ones.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from system.command_line import exits_with_status
from system.libraries import quiet_imports

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH_SIZE = 64
MAX_TOKENS = 64
WARM_UP_TEXTS = 50

Predictions = Iterable[tuple[str | int, float]]  # the label and the probability of each text


def measure_one_shot(settings: argparse.Namespace) -> dict:
    """Predict one text; return its probability. The caller measures the time."""
    with quiet_imports():
        import numpy as np
        from transformers import PreTrainedTokenizerFast

        from network.bert import BertClassifier
        from network.metadata import Metadata
        from network.model_file import load_model

    classifier = load_model(settings.model, BertClassifier)
    tokenizer = _transformers_tokenizer(PreTrainedTokenizerFast, classifier.tokenizer_json.encode())
    length = classifier.config.max_seq_len
    encoded = tokenizer(settings.text, truncation=True, max_length=length, padding="max_length", return_tensors="np")
    input_ids = encoded["input_ids"].astype("int32")
    inputs = {"input_ids": input_ids, "token_type_ids": np.zeros_like(input_ids)}
    metadata = Metadata.from_json(classifier.metadata, settings.model)
    probability = float(classifier(inputs, training=False)[0, 0])
    logit = np.log(probability) - np.log1p(-probability)
    return {"probability": float(1 / (1 + np.exp(-logit / metadata.temperature)))}


def measure_running(settings: argparse.Namespace) -> dict:
    """Measure the median milliseconds of a prediction, with tokenizing, over the texts of the data set."""
    from serving.predictor import Predictor

    predictor = Predictor(settings.model)
    texts = _reviews(settings.reviews)["texts"]
    for text in texts[:WARM_UP_TEXTS]:
        predictor.predict([text])
    durations = []
    for text in texts:
        started = time.perf_counter()
        predictor.predict([text])
        durations.append(time.perf_counter() - started)
    return {"milliseconds": 1000 * statistics.median(durations), "texts": len(texts), "runtime": predictor.runtime}


def measure_transformers(settings: argparse.Namespace) -> dict:
    """Measure the seconds of transformers' pipeline on PyTorch."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # it needs nothing from the hub
    with quiet_imports():
        from transformers import (
            BertConfig,
            BertForSequenceClassification,
            PreTrainedTokenizerFast,
            TextClassificationPipeline,
        )
        from transformers.utils import logging

        from serving.runtimes.selection import open_runtime

    logging.set_verbosity_error()
    config = BertConfig(
        vocab_size=21_128,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=MAX_TOKENS,
    )
    classify = TextClassificationPipeline(
        model=BertForSequenceClassification(config).eval(),
        tokenizer=_transformers_tokenizer(PreTrainedTokenizerFast, open_runtime(settings.model).tokenizer_file),
        device=-1,
        batch_size=BATCH_SIZE,
        truncation=True,
        max_length=MAX_TOKENS,
    )

    def predict(texts: list[str]) -> Predictions:
        return ((answer["label"], answer["score"]) for answer in classify(texts))

    return _seconds_of_file(predict, settings)


def measure_tfidf(settings: argparse.Namespace) -> dict:
    """Measure the seconds of the baseline, TF-IDF with logistic regression."""
    from evaluation.baseline import fit_tfidf_baseline

    reviews = _reviews(settings.reviews)
    baseline = fit_tfidf_baseline(reviews["texts"], reviews["labels"])

    def predict(texts: list[str]) -> Predictions:
        return ((int(positive >= 0.5), positive) for positive in baseline.predict_proba(texts)[:, 1])

    return _seconds_of_file(predict, settings)


def measure_snownlp(settings: argparse.Namespace) -> dict:
    """Measure the seconds of SnowNLP with its own model."""
    from snownlp import SnowNLP

    def predict(texts: list[str]) -> Predictions:
        positives = (SnowNLP(text).sentiments for text in texts)
        return ((int(positive >= 0.5), positive) for positive in positives)

    return _seconds_of_file(predict, settings)


MEASURES = {
    "one_shot": measure_one_shot,
    "running": measure_running,
    "transformers": measure_transformers,
    "TF-IDF": measure_tfidf,
    "SnowNLP": measure_snownlp,
}


def repeat_to_file(reviews: str | os.PathLike, num_rows: int, path: str | os.PathLike) -> None:
    """Write a CSV file of `num_rows` texts, repeating those of a data set.

    Args:
        reviews: a JSON file with the list "texts".
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        texts = itertools.islice(itertools.cycle(_reviews(reviews)["texts"]), num_rows)
        writer.writerows([text] for text in texts)


def _reviews(path: str | os.PathLike) -> dict[str, list]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _transformers_tokenizer(tokenizer_class: type, tokenizer_file: bytes) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer

    from text.tokens.tokenizer import CLASSIFY, MASK, PAD, SEPARATE, UNKNOWN

    return tokenizer_class(
        tokenizer_object=Tokenizer.from_buffer(tokenizer_file),
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLASSIFY,
        sep_token=SEPARATE,
        mask_token=MASK,
    )


def _seconds_of_file(predict: Callable[[list[str]], Predictions], settings: argparse.Namespace) -> dict[str, float]:
    """Measure the seconds of reading the file, predicting its texts and writing the predictions."""
    list(predict(["很好"]))  # the first call may load something
    started = time.perf_counter()
    with open(settings.source, encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    with open(settings.output, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "probability"])
        writer.writerows((text, *prediction) for text, prediction in zip(texts, predict(texts), strict=True))
    return {"seconds": time.perf_counter() - started}


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    name, settings = sys.argv[1:] if argv is None else argv
    print(json.dumps(MEASURES[name](argparse.Namespace(**json.loads(settings)))))


if __name__ == "__main__":
    sys.exit(main())
