"""Labelled texts from files, folders and the hub."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from system.errors import InputError
from system.output.display import progress
from system.output.logs import printable_logger
from text.dataset.labelled_texts import LabelledTexts, LabelOptions, hash_of
from text.dataset.labels.row_labels import index_rows, row_labels
from text.dataset.origins import DATASET, OPTION_OF, TEST, VALIDATION, Origins
from text.hub_datasets import HubId, open_folder, open_hub, parse_hub_id, split_name
from text.labels import UNUSABLE
from text.tables.kinds import TABLE_SUFFIXES, TEXT_SUFFIXES, open_table
from text.tables.problems import row_problem
from text.tables.rows import Table, choose_column

SAMPLE = "sample"
DATA_FOLDER = Path(__file__).resolve().parents[1] / "data"
SAMPLE_REVIEWS = DATA_FOLDER / "sample_reviews.csv"
SAMPLE_CORPUS = DATA_FOLDER / "sample_corpus.txt"

TEXT_COLUMNS = ("text", "review", "text_a", "content", "sentence", "comment", "评论", "评价", "内容")
LABEL_COLUMNS = ("label", "labels", "sentiment", "polarity", "标签", "情感")
GROUP_COLUMN = "group"  # of a further set, where it lacks the one that an option names; saved splits have it
# The split of a folder or a hub data set that is read for each part, by its usual names.
SPLITS_OF = {DATASET: ("train",), VALIDATION: ("validation", "dev", "valid", "val"), TEST: ("test",)}
CORPUS_SUFFIXES = (*TEXT_SUFFIXES, *TABLE_SUFFIXES)

logger = printable_logger(__name__)


class Reading(NamedTuple):
    """How to read a table: its columns, None for one of the usual names or for no groups; and its labels."""

    text_column: str | None
    label_column: str | None
    group_column: str | None
    labels: LabelOptions


def read_labelled(
    source: str | os.PathLike,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    label_options: LabelOptions | None = None,
    *,
    validation_source: str | os.PathLike | None = None,
    test_source: str | os.PathLike | None = None,
    needs_groups: bool = True,
) -> LabelledTexts:
    """Read the labelled texts of a source. A row without a text or without a usable label is unusable.

    Args:
        source: a file (CSV, TSV, JSONL, Parquet), a folder, a hub id "owner/name", or "sample".
        text_column: the column of the texts; if it is None, the first of `TEXT_COLUMNS`, in any case.
        label_column: the column of the labels; if it is None, the first of `LABEL_COLUMNS`, in any case.
        group_column: the column of the groups; None for no groups.
        label_options: how to read the labels, and columns instead of `label_column`; None: one label a row, see
            `text.dataset.labelled_texts.index_labels`.
        validation_source: a source of the same kinds with the official validation split; its rows follow those of
            `source`. Its columns are found in the same way. A label that no row of `source` has is unusable.
        test_source: the same for the test split.
        needs_groups: whether a source without the column of the groups is an error.

    Raises:
        InputError: there is no such source or column, the labels cannot be used, no row of a source is usable, or two
            sources are the same.
    """
    sources = {DATASET: source, VALIDATION: validation_source, TEST: test_source}
    tables = _labelled_tables(sources)
    readings = [
        Reading(
            text_column,
            label_column,
            group_column if needs_groups or group_column in table.columns else None,
            label_options or LabelOptions(),
        )
        for table in tables.values()
    ]
    return _labelled_texts(tables, readings, _short_names(tables, sources))


def read_further(source: str, reading: Reading) -> LabelledTexts:
    """Read the labelled texts of a source as a further set, beside the data set of `read_labelled`.

    If the source has several splits, those for validation and the test are official. A column that is named but that
    the source lacks is found by its usual names, because two sources need not have the same columns; that of the groups
    is then `GROUP_COLUMN`, if there is one.

    Args:
        source: see `read_labelled`.
        reading: its columns and labels, with the label set of the data set.

    Raises:
        InputError: as `read_labelled`.
    """
    tables = {DATASET: _labelled_table(source, DATASET, "--also")}
    for part in (VALIDATION, TEST):
        if not set(SPLITS_OF[part]).isdisjoint(tables[DATASET].other_splits):
            tables[part] = _labelled_table(source, part, "--also")
    _warn_of_unread_splits(tables)
    readings = [_own_reading(table, reading) for table in tables.values()]
    return _labelled_texts(tables, readings, _short_names(tables, dict.fromkeys(tables, source)))


def read_for_model(source: str, reading: Reading, part: str, option: str) -> LabelledTexts:
    """Read the labelled texts of a source for a model that is trained already, whose labels they must have.

    Args:
        source: see `read_labelled`.
        reading: its columns and labels, with the label set of the model.
        part: which split of a folder or a hub data set with several splits is read, see `SPLITS_OF`.
        option: the option that names the source, for error messages.

    Raises:
        InputError: as `read_labelled`.
    """
    tables = {DATASET: _labelled_table(source, part, option)}
    return _labelled_texts(tables, [reading], _short_names(tables, {DATASET: source}))


def _own_reading(table: Table, reading: Reading) -> Reading:
    """Return how to read a table of a further set: a column that it lacks is found by its usual names."""
    text, label, group = (column if column in table.columns else None for column in reading[:3])
    if group is None and GROUP_COLUMN in table.columns:
        group = GROUP_COLUMN
    labels = reading.labels
    if not set(labels.columns) <= set(table.columns):
        labels = replace(labels, columns=())
    return Reading(text, label, group, labels)


def _labelled_texts(
    tables: Mapping[str, Table], readings: Sequence[Reading], short_names: Mapping[str, str]
) -> LabelledTexts:
    """Read the rows of a data set.

    Args:
        tables: its tables, by part; see `text.dataset.origins`.
        readings: how to read each of them.
        short_names: their names in messages, by part.
    """
    name, options = tables[DATASET].name, readings[0].labels
    rows = [
        (part, *row)
        for part, (table, reading) in enumerate(zip(tables.values(), readings, strict=True))
        for row in progress(_labelled_rows(table, reading), f"reading {short_names[DATASET]}", " rows")
    ]
    parts, numbers, texts, labels, groups, row_problems = map(list, zip(*rows, strict=True)) if rows else [[]] * 6
    problems = {row: f"row {numbers[row]:,}: {problem}" for row, problem in enumerate(row_problems) if problem}
    # The labels are those of the data set itself: no model can learn one that only an official file has.
    is_counted = [problem is None and not part for problem, part in zip(row_problems, parts, strict=True)]
    try:
        label_set, indices, label_problems, rare_labels = index_rows(labels, is_counted, options)
    except InputError as error:
        unusable = f"; {len(problems):,} rows are unusable, the first: {problems[min(problems)]}" if problems else ""
        raise InputError(f"{name}: {error}{unusable}") from error
    for row, problem in label_problems.items():
        problems.setdefault(row, f"row {numbers[row]:,}: {problem}")
    problems = dict(sorted(problems.items()))
    indices[list(problems)] = UNUSABLE
    origins = Origins(short_names, np.array(parts, np.int8), np.array(numbers, np.int64))
    sha256 = hash_of(texts, indices, label_set, origins)
    groups = groups if any(reading.group_column is not None for reading in readings) else None
    labelled = LabelledTexts(name, texts, indices, problems, sha256, groups, label_set, rare_labels, origins=origins)
    for part, table in tables.items():
        if not labelled.usable[origins.rows_of(part)].any():
            raise InputError(f"{table.name} has no usable rows: {labelled.explain_shortage()}")
    return labelled


def _labelled_rows(table: Table, reading: Reading) -> Iterator[tuple[int, str, list[str], str, str | None]]:
    """Yield the number, the text, the labels, the group and the problem of each row of a table."""
    options, group_column = reading.labels, reading.group_column
    text_column = choose_column(table, reading.text_column, TEXT_COLUMNS, "text")
    label_columns = [choose_column(table, name, (), "label", "--label-columns") for name in options.columns]
    label_columns = label_columns or [choose_column(table, reading.label_column, LABEL_COLUMNS, "label")]
    if group_column is not None:
        group_column = choose_column(table, group_column, (), "group")
    for row in table.rows:
        text, group = row.values.get(text_column), row.values.get(group_column)
        labels, label_problem = row_labels(row.values, label_columns, options)
        yield (
            row.number,
            text if isinstance(text, str) and not row.problem else "",
            [] if row.problem else labels,
            "" if group is None or group != group else str(group),  # NaN differs from itself
            row.problem or label_problem or row_problem(row, text_column),
        )


def _labelled_tables(sources: Mapping[str, str | os.PathLike | None]) -> dict[str, Table]:
    """Open the sources of a data set; warn of splits that are there and not read.

    Args:
        sources: the source of each part of a data set, see `text.dataset.origins`; None if it has none.

    Raises:
        InputError: a source cannot be opened, or two are the same.
    """
    tables, parts_of = {}, {}
    for part, source in sources.items():
        if source is None:
            continue
        tables[part] = _labelled_table(str(source), part, OPTION_OF[part])
        path = os.path.realpath(tables[part].name)
        if path in parts_of:
            raise InputError(
                f"{OPTION_OF[part]} {source} is the data of {OPTION_OF[parts_of[path]]}; name another source"
            )
        parts_of[path] = part
    advice = "; to use official splits, give the same source as --validation-dataset and --test-dataset"
    _warn_of_unread_splits(tables, advice)
    return tables


def _warn_of_unread_splits(tables: Mapping[str, Table], advice: str = "") -> None:
    read = {table.name for table in tables.values()}
    name = tables[DATASET].name
    if unread := [split for split in tables[DATASET].other_splits if split_name(name, split) not in read]:
        logger.warning("%s: not read: %s%s", name, ", ".join(unread), advice)


def _short_names(tables: Mapping[str, Table], sources: Mapping[str, str | os.PathLike | None]) -> dict[str, str]:
    """Return the names of tables for messages: without folders, unless two would be the same."""
    short = {}
    for part, table in tables.items():
        path = Path(sources[part])
        # The name may end with that of a split.
        short[part] = source_name(table.name.replace(str(path), source_name(path), 1))
    is_unique = len(set(short.values())) == len(short)
    return short if is_unique else {part: table.name for part, table in tables.items()}


def source_name(source: str | os.PathLike) -> str:
    """Return the name of a source in model files: a hub id unchanged, a file or folder without its parents."""
    return Path(source).name if os.path.exists(source) else str(source)


def _labelled_table(source: str, part: str, option: str) -> Table:
    if source == SAMPLE:
        return open_table(SAMPLE_REVIEWS)
    if os.path.isdir(source):
        return open_folder(Path(source), SPLITS_OF[part])
    if os.path.exists(source):
        return open_table(Path(source))
    return open_hub(hub_id_or_fail(source, option), option, splits=SPLITS_OF[part])


def hub_id_or_fail(source: str, option: str) -> HubId:
    """Parse a source that is not a local path as a hub id."""
    hub_id = parse_hub_id(source)
    if hub_id is None or source.lower().endswith(CORPUS_SUFFIXES):
        raise InputError(
            f"there is no file or folder {source}; give {option} a path, a hub id (owner/name), or {SAMPLE}"
        )
    return hub_id
