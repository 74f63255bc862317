"""The splits of a data set for others: as CSV files, and as what a model file says about them."""

import csv
import os
from pathlib import Path

import numpy as np

from system.command_line import option_name
from system.errors import InputError
from system.files import check_writable, write_atomically
from text.dataset.draws import split_rows
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.options import DataOptions
from text.dataset.origins import DATASET, VALIDATION
from text.dataset.splits import Splits
from text.labels import SENTIMENT
from text.sources import source_name


def save_splits(splits: Splits, options: DataOptions) -> None:
    """Write the rows of the training and the validation split to train.csv, those of the test split to test.csv.

    The rows of an official validation file go to validation.csv instead.

    Raises:
        InputError: a file would overwrite a source of the data.
        OutputError: a file cannot be written.
    """
    labelled, train = splits.labelled, splits.train.rows
    tables = {"train.csv": train}
    if VALIDATION in labelled.origins.names:
        tables["validation.csv"] = splits.validation.rows
    else:
        drawn, _ = split_rows(labelled, options.test_size, stratify=options.stratify)
        tables["train.csv"] = drawn[np.isin(drawn, np.concatenate([train, splits.validation.rows]))]
    tables["test.csv"] = splits.test.rows
    paths = [Path(options.save_splits, name) for name in tables]
    for name in ("dataset", "validation_dataset", "test_dataset"):
        source = getattr(options, name)
        if source is None or not os.path.exists(source):
            continue
        # A file written into the folder of a data set becomes part of it.
        if any(Path(source).resolve() in (path.resolve(), *path.resolve().parents) for path in paths):
            raise InputError(
                f"--save-splits {options.save_splits}: it would change the data of {option_name(name)}; choose another "
                "folder"
            )
    for path in paths:
        check_writable(path)
    for rows, path in zip(tables.values(), paths, strict=True):
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


def described_data(splits: Splits) -> dict:
    """Return what the model file says about its training data."""
    described = [
        {"name": source_name(labelled.name), "rows": len(labelled.texts), "sha256": labelled.sha256}
        | {part: name for part, name in labelled.origins.names.items() if part != DATASET}
        for labelled in (splits.labelled, *(each.labelled for each in splits.further))
    ]
    data, *further = described
    if further:
        data["also"] = [
            of_set | {"weight": each.labelled.weight} for of_set, each in zip(further, splits.further, strict=True)
        ]
    return data
