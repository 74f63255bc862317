"""The labels of rows: one in a cell, several in a cell, or a column of 0 and 1 for each label."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from system.errors import InputError
from text.dataset.labelled_texts import (
    MIN_ROWS_OF_LABEL,
    NO_LABEL,
    LabelOptions,
    frequent_labels,
    index_labels,
    label_order,
    label_text,
    listed_labels,
    read_label_map,
    require_labels,
)
from text.dataset.options import DataOptions
from text.labels import LABEL_CHARACTERS_SHOWN, SENTIMENT, SEPARATOR, UNUSABLE, LabelSet, parse_sentiment

CELLS = {"1": True, "true": True, "0": False, "false": False}
NOT_ONE_VALUE = "the label is not a single value"
SEVERAL_VALUES = f"{NOT_ONE_VALUE} but a list; --multi-label reads lists"
NESTED_LABELS = "a label in the list of labels is not a single value"
NOT_A_LIST = "the labels are neither a text nor a list"


def label_options_of(options: DataOptions, label_set: LabelSet | None = None) -> LabelOptions:
    """Return how to read the labels of a data set.

    Args:
        options: the options of the data set.
        label_set: for a further set, the labels of the data set itself.

    Raises:
        InputError: the file of `label_map` cannot be used.
    """
    return LabelOptions(
        tuple(label_text(name) or "" for name in options.labels),
        read_label_map(options.label_map) if options.label_map else {},
        options.multi_label,
        SEPARATOR if options.label_separator is None else options.label_separator,
        tuple(options.label_columns),
        label_set,
    )


def row_labels(
    values: Mapping[str, object], columns: Sequence[str], options: LabelOptions
) -> tuple[list[str], str | None]:
    """Return the labels of a row, each once, and why they cannot be used, or None if they can.

    With `options.multi_label` a row may have no label, which is not a problem.

    Args:
        values: the values of the row by column.
        columns: the label column, or with `options.columns` these.
        options: how to read the labels.
    """
    if options.columns:
        return _labels_of_columns(values, columns)
    value = values.get(columns[0])
    if options.multi_label:
        return labels_in_cell(value, options.separator)
    if isinstance(value, list | dict):
        return [], SEVERAL_VALUES if isinstance(value, list) else NOT_ONE_VALUE
    label = label_text(value)
    return ([], NO_LABEL) if label is None else ([label], None)


def _labels_of_columns(values: Mapping[str, object], columns: Sequence[str]) -> tuple[list[str], str | None]:
    labels = []
    for column in columns:
        cell = label_text(values.get(column))
        has_label = False if cell is None else CELLS.get(cell.lower())
        if has_label is None:
            return [], f"column {column!r} has {cell[:LABEL_CHARACTERS_SHOWN]!r}, which is neither 0 nor 1"
        if has_label:
            labels.append(label_text(column) or column)
    return labels, None


def labels_in_cell(value: object, separator: str) -> tuple[list[str], str | None]:
    """Return the labels of a cell, each once, and why they cannot be used, or None if they can.

    Args:
        value: labels joined by the separator, or a list of labels.
        separator: what separates them.
    """
    if isinstance(value, dict):
        return [], NOT_A_LIST
    if not isinstance(value, list | tuple):
        text = label_text(value)
        value = [] if text is None else text.split(separator)
    elif any(isinstance(each, list | tuple | dict) for each in value):
        return [], NESTED_LABELS
    return list(dict.fromkeys(filter(None, map(label_text, value)))), None


def index_rows(
    labels: Sequence[Sequence[str]], is_counted: Sequence[bool], options: LabelOptions
) -> tuple[LabelSet, np.ndarray, dict[int, str], dict[str, int]]:
    """Find the label set of a data set, and the labels of each row.

    Args:
        labels: the labels of each row, as `row_labels` returns them.
        is_counted: whether a row is usable apart from its labels, and the label set is that of such rows.
        options: how to read the labels.

    Returns:
        The label set; `LabelledTexts.labels`; why the label of a row is unusable, by row index; the number of rows of
        each label that is left out because it is rare, or because a further set alone has it. With
        `options.multi_label` it may be 0, for a label of a column or of an official file.

    Raises:
        InputError: see `index_labels`, whose rules for rare labels hold for several labels too: a row loses the rare
            ones and keeps the others. Or the numbers that are the labels of a further set would be mistaken for
            sentiment.
    """
    if options.multi_label:
        label_set, indicators, rare = _index_several(labels, is_counted, options)
        return label_set, indicators, {}, rare
    label_set, indices, problems = index_labels([next(iter(of_row), None) for of_row in labels], is_counted, options)
    is_sentiment = label_set == SENTIMENT
    if options.label_set is None and (options.names or is_sentiment):
        return label_set, indices, problems, {}
    counts = _count(_renamed(labels, options), is_counted)
    if is_sentiment:
        _refuse_other_numbers(counts, options.owner)
    rare = {label: count for label, count in counts.items() if not _is_known(label, label_set)}
    return label_set, indices, problems, {} if options.names else rare


def _is_known(label: str, label_set: LabelSet) -> bool:
    return parse_sentiment(label) != UNUSABLE if label_set == SENTIMENT else label in label_set.names


def _refuse_other_numbers(counts: Counter[str], owner: str) -> None:
    """Refuse labels such as 0, 1 and 2, of which 0 and 1 need not mean negative and positive."""
    if any(_is_number(label) and parse_sentiment(label) == UNUSABLE for label in frequent_labels(counts)):
        remedy = "rename labels, or leave out those of other rows, with --label-map"
        if owner == LabelOptions.owner:
            remedy = (
                "make a copy with two labels (--dataset SOURCE --label-map FILE --save-splits FOLDER --dry-run), and "
                "use its folder instead"
            )
        raise InputError(
            f"the labels are {listed_labels(counts)}, so 0 and 1 may not mean negative and positive as in {owner}; "
            f"{remedy}"
        )


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _index_several(
    labels: Sequence[Sequence[str]], is_counted: Sequence[bool], options: LabelOptions
) -> tuple[LabelSet, np.ndarray, dict[str, int]]:
    """Return the label set; 1 where a row has a label, else 0, int8, (rows, labels); the rows of each rare label."""
    labels = _renamed(labels, options)
    counts = _count(labels, is_counted)
    names, rare = options.names, {}
    if options.label_set is not None:
        if not names:  # else the user knows what is left out
            rare = {label: count for label, count in counts.items() if label not in options.label_set.names}
        names = options.label_set.names
        if not any(counts[name] for name in names):
            raise InputError(f"no row has one of the labels of {options.owner}; the labels are {listed_labels(counts)}")
    elif names:
        require_labels(names, counts)
    else:
        (columns,) = _renamed([[label_text(column) or column for column in options.columns]], options)
        # Those of official files and of columns are named even if no counted row has them.
        everywhere = dict.fromkeys(itertools.chain(counts, *labels, columns))
        rare = {label: counts[label] for label in everywhere if counts[label] < MIN_ROWS_OF_LABEL}
        frequent = [label for label in counts if label not in rare]
        if len(frequent) < 2:
            known = listed_labels(counts)
            raise InputError(f"fewer than two labels have {MIN_ROWS_OF_LABEL} rows; the labels are {known}")
        # Columns have an order of their own.
        ordered = columns or sorted(frequent, key=label_order(frequent))
        names = tuple(label for label in ordered if label not in rare)
    index_of = {name: index for index, name in enumerate(names)}
    indicators = np.zeros((len(labels), len(names)), np.int8)
    for row, of_row in enumerate(labels):
        indicators[row, [index_of[label] for label in of_row if label in index_of]] = 1
    return LabelSet(names, multi_label=True), indicators, rare


def _renamed(labels: Sequence[Sequence[str]], options: LabelOptions) -> list[dict[str, None]]:
    """Return the labels of each row under their new names, each once."""
    return [dict.fromkeys(filter(None, (options.new_labels.get(label, label) for label in row))) for row in labels]


def _count(labels: Sequence[dict[str, None]], is_counted: Sequence[bool]) -> Counter[str]:
    """Return the number of rows of each label, of those that are counted."""
    return Counter(itertools.chain.from_iterable(itertools.compress(labels, is_counted)))
