"""The splits of a data set as CSV files, for other programs."""

import csv
import os
from pathlib import Path

import numpy as np

from system.errors import InputError
from system.files import check_writable, write_atomically
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.options import DataOptions
from text.dataset.splits import split_rows
from text.labels import SENTIMENT

SPLIT_NAMES = ("train.csv", "test.csv")


def save_splits(labelled: LabelledTexts, options: DataOptions) -> None:
    """Write the rows of the training and the validation split to train.csv, those of the test split to test.csv.

    Raises:
        InputError: a file would overwrite that of --dataset.
        OutputError: a file cannot be written.
    """
    paths = [Path(options.save_splits, name) for name in SPLIT_NAMES]
    if Path(options.dataset).resolve() in [path.resolve() for path in paths]:
        raise InputError(
            f"--save-splits {options.save_splits}: it would overwrite the file of --dataset; choose another folder"
        )
    for path in paths:
        check_writable(path)
    for rows, path in zip(split_rows(labelled, options.test_size, stratify=options.stratify), paths, strict=True):
        write_rows(labelled, rows, path)
        print(f"{len(rows):,} rows saved to {path}")


def write_rows(labelled: LabelledTexts, rows: np.ndarray, path: str | os.PathLike) -> None:
    """Write some rows to a CSV file with the columns text and label, and group if there are groups.

    Raises:
        OutputError: the file cannot be written.
    """
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label", *(["group"] if labelled.groups else [])])
        is_sentiment = labelled.label_set == SENTIMENT  # written as 0 and 1
        for row in rows:
            group = [labelled.groups[row]] if labelled.groups else []
            label = labelled.labels[row] if is_sentiment else labelled.label_set.name(labelled.labels[row])
            writer.writerow([labelled.texts[row], label, *group])
