"""The splits of a data set for others: at the terminal, as CSV files, and as what a model file says about them."""

import csv
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from system.command_line import option_name
from system.errors import InputError
from system.files import check_writable, is_part_of, write_atomically
from system.output.display import show
from text.dataset.draws.drawing import split_rows
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.options import DataOptions
from text.dataset.origins import DATASET, VALIDATION
from text.dataset.splits import Split, Splits, short_names
from text.labels import SENTIMENT, describe_labels
from text.sources import source_name
from text.tokens.windows import Windows


def print_splits(splits: Splits) -> None:
    """Print how many texts each split has, which rows are unusable, and which texts occur more than once."""
    names = short_names(splits.sets)
    for name, labelled in zip(names, splits.sets, strict=True):
        weight = f" (weight {labelled.weight:g})" if labelled.weight != 1 else ""
        show(f"{name}{weight}: {labelled.describe_problems()}")
        for part, official in list(labelled.origins.names.items())[1:]:
            show(f"{official}: {labelled.describe_problems(part=part)}")
        is_first = labelled is splits.labelled
        described = labelled.describe_rare_labels() if is_first else labelled.describe_rare_labels("other", name)
        if described:
            show(described)
    if splits.corrections:
        show(splits.corrections.line)
    everywhere, here = (" (all sets)", f" ({names[0]})") if splits.further else ("", "")
    show(f"training{everywhere}: {_described(splits.train)}")
    show(f"validation{everywhere}: {_described(splits.validation)}")
    show(f"test{here}: {_described(splits.test)}")
    for name, each in zip(names[1:], splits.further, strict=True):
        described = _described(each.test) if each.test.texts else "no texts"
        show(f"{name}: {each.num_train:,} texts for training, {each.num_validation:,} for validation")
        show(f"test ({name}): {described}")
    for line in splits.duplicates:
        show(line)


def _described(split: Split) -> str:
    """Return how many texts a split has, with their labels and windows."""
    return (
        f"{len(split.texts):,} texts, {describe_labels(split.label_set, split.labels)}, "
        f"{len(split.windows.input_ids):,} windows, {split.windows.is_truncated.sum():,} texts truncated"
        + _unread(split.windows)
        + _counted_blank(split.windows)
    )


def _counted_blank(windows: Windows) -> str:
    """Return how many texts have no token, such as those that --clean empties; "" if all have one."""
    count = (windows.num_tokens == 0).sum()
    return f", {count:,} without a token" if count else ""


def _unread(windows: Windows) -> str:
    """Return which fraction of the tokens no window holds, if there are any."""
    fraction = windows.unread_fraction
    if not fraction:
        return ""
    return (
        f", {fraction:.1%} of the tokens not read" if fraction >= 0.001 else ", less than 0.1% of the tokens not read"
    )


def save_splits(splits: Splits, options: DataOptions) -> None:
    """Write the rows of the training and the validation split to train.csv, those of the test split to test.csv.

    Labels are written as corrected. The rows of an official validation file go to validation.csv instead.

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
    refuse_changed_sources(paths, options, f"--save-splits {options.save_splits}")
    for path in paths:
        check_writable(path)
    labelled = replace(labelled, labels=splits.rows[0].labels)
    for rows, path in zip(tables.values(), paths, strict=True):
        write_rows(labelled, rows, path)
        print(f"{len(rows):,} rows saved to {path}")


def refuse_changed_sources(paths: Sequence[Path], options: DataOptions, writer: str) -> None:
    """Check that files to write neither replace a source of the data nor lie in one.

    Args:
        paths: the files to write.
        options: the options with the sources.
        writer: the option that asks for the files, with its value, for the error message.

    Raises:
        InputError: a file would change a source.
    """
    sources = [(name, getattr(options, name)) for name in ("dataset", "validation_dataset", "test_dataset")]
    sources += [("also", each.source) for each in options.further_sources]
    sources += [("exclude", source) for source in options.exclude]
    for name, source in sources:
        if source is None or not os.path.exists(source):
            continue
        # A file written into the folder of a data set becomes part of it.
        if any(is_part_of(path, source) for path in paths):
            raise InputError(f"{writer}: it would change the data of {option_name(name)}; choose another folder")


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
        for labelled in splits.sets
    ]
    data, *further = described
    if further:
        data["also"] = [
            of_set | {"weight": each.labelled.weight} for of_set, each in zip(further, splits.further, strict=True)
        ]
    if applied := splits.corrections:
        data["corrections"] = {"name": applied.name, "rows": applied.num_rows, "sha256": applied.sha256}
    return data
