"""Splits without windows: texts and labels, which are all that the evaluation reads."""

from dataclasses import dataclass

import numpy as np

from text.dataset.labelled_texts import LabelledTexts
from text.dataset.origins import DATASET, Origins
from text.labels import LabelSet


@dataclass
class SmallSplit:
    """The part of `text.dataset.splits.Split` that the evaluation reads; `labels` are indices, (texts,)."""

    texts: list[str]
    labels: np.ndarray
    label_set: LabelSet
    groups: np.ndarray | None = None
    cleaned: list[str] | None = None
    text_weights: np.ndarray | None = None


def small_split(texts_by_label, label_set, labels, groups=None):
    """Return a split in which each text is that of its label."""
    return SmallSplit([texts_by_label[label] for label in labels], np.array(labels, np.int64), label_set, groups)


def labelled_texts(labels, label_set, groups=None):
    """Return the rows of a data set with these labels, each with a text of its own."""
    count = len(labels)
    origins = Origins({DATASET: "reviews.csv"}, np.zeros(count, np.int8), np.arange(count) + 2)
    texts = [f"文{row}" for row in range(count)]
    return LabelledTexts("reviews.csv", texts, np.array(labels, np.int8), {}, "0", groups, label_set, origins=origins)
