"""Labelled texts and unlabelled documents from files, folders and the hub."""

import glob
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from system.errors import InputError
from text.dataset.duplicates import leave_out
from text.dataset.labelled_texts import (
    NO_LABEL,
    SEVERAL_VALUES,
    LabelledTexts,
    LabelOptions,
    hash_of,
    index_labels,
    label_text,
)
from text.dataset.origins import DATASET, OPTION_OF, TEST, VALIDATION, Origins
from text.hub_datasets import HubId, open_folder, open_hub, parse_hub_id, split_name
from text.labels import UNUSABLE
from text.problems import is_blank, row_problem
from text.tables.column_choice import choose_column
from text.tables.kinds import TABLE_SUFFIXES, TEXT_SUFFIXES, open_table
from text.tables.rows import Table
from text.tables.text_file import scan

SAMPLE = "sample"
DATA_FOLDER = Path(__file__).resolve().parents[1] / "data"
SAMPLE_REVIEWS = DATA_FOLDER / "sample_reviews.csv"
SAMPLE_CORPUS = DATA_FOLDER / "sample_corpus.txt"

TEXT_COLUMNS = ("text", "review", "text_a", "content", "sentence", "comment", "评论", "评价", "内容")
LABEL_COLUMNS = ("label", "labels", "sentiment", "polarity", "标签", "情感")
# The split of a folder or a hub data set that is read for each part, by its usual names.
SPLITS_OF = {DATASET: ("train",), VALIDATION: ("validation", "dev", "valid", "val"), TEST: ("test",)}
CORPUS_SUFFIXES = (*TEXT_SUFFIXES, *TABLE_SUFFIXES)

logger = logging.getLogger(__name__)


def read_labelled(
    source: str | os.PathLike,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    label_options: LabelOptions | None = None,
    *,
    validation_source: str | os.PathLike | None = None,
    test_source: str | os.PathLike | None = None,
) -> LabelledTexts:
    """Read the labelled texts of a source. A row without a text or without a usable label is unusable.

    Args:
        source: a file (CSV, TSV, JSONL, Parquet), a folder, a hub id "owner/name", or "sample".
        text_column: the column of the texts; if it is None, the first of `TEXT_COLUMNS`, in any case.
        label_column: the column of the labels; if it is None, the first of `LABEL_COLUMNS`, in any case.
        group_column: the column of the groups; None for no groups.
        label_options: how to read the labels; None: as they are, see `text.dataset.labelled_texts.index_labels`.
        validation_source: a source of the same kinds with the official validation split; its rows follow those of
            `source`. Its columns are found in the same way. A label that no row of `source` has is unusable.
        test_source: the same for the test split.

    Raises:
        InputError: there is no such source or column, the labels cannot be used, no row of a source is usable, or two
            sources are the same.
    """
    sources = {DATASET: source, VALIDATION: validation_source, TEST: test_source}
    tables = _labelled_tables(sources)
    texts, labels, groups, row_problems, numbers, parts = [], [], [], [], [], []
    for part, table in enumerate(tables.values()):
        for number, text, label, group, problem in _labelled_rows(table, text_column, label_column, group_column):
            texts.append(text)
            labels.append(label)
            groups.append(group)
            row_problems.append(problem)
            numbers.append(number)
            parts.append(part)
    name = tables[DATASET].name
    # The labels are those of the data set itself: no model can learn one that only an official file has.
    counts = [problem is None and not part for problem, part in zip(row_problems, parts, strict=True)]
    try:
        label_set, indices, label_problems = index_labels(labels, counts, label_options or LabelOptions())
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    problems = {}
    for row, (number, problem) in enumerate(zip(numbers, row_problems, strict=True)):
        if problem := problem or label_problems.get(row):
            problems[row] = f"row {number:,}: {problem}"
    indices[list(problems)] = UNUSABLE
    origins = Origins(_short_names(tables, sources), np.array(parts, np.int8), np.array(numbers, np.int64))
    sha256 = hash_of(texts, indices, label_set, origins)
    groups = groups if group_column else None
    labelled = LabelledTexts(name, texts, indices, problems, sha256, groups, label_set, origins=origins)
    for part, table in tables.items():
        if not labelled.usable[origins.rows_of(part)].any():
            raise InputError(f"{table.name} has no usable rows: {labelled.explain_shortage()}")
    return labelled


def _labelled_rows(
    table: Table, text_column: str | None, label_column: str | None, group_column: str | None
) -> Iterator[tuple[int, str, str | None, str, str | None]]:
    """Yield the number, the text, the label, the group and the problem of each row of a table."""
    text_column = choose_column(table, text_column, TEXT_COLUMNS, "text")
    label_column = choose_column(table, label_column, LABEL_COLUMNS, "label")
    if group_column is not None:
        group_column = choose_column(table, group_column, (), "group")
    for row in table.rows:
        text, value, group = (row.values.get(column) for column in (text_column, label_column, group_column))
        yield (
            row.number,
            text if isinstance(text, str) and not row.problem else "",
            label_text(value),
            "" if group is None or group != group else str(group),  # NaN differs from itself
            row.problem or _label_problem(value) or row_problem(row, text_column),
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
        tables[part] = _labelled_table(str(source), part)
        path = os.path.realpath(tables[part].name)
        if path in parts_of:
            raise InputError(
                f"{OPTION_OF[part]} {source} is the data of {OPTION_OF[parts_of[path]]}; name another source"
            )
        parts_of[path] = part
    read = {table.name for table in tables.values()}
    name = tables[DATASET].name
    if unread := [split for split in tables[DATASET].other_splits if split_name(name, split) not in read]:
        logger.warning(
            "%s: not read: %s; to use official splits, give the same source as --validation-dataset and --test-dataset",
            name,
            ", ".join(unread),
        )
    return tables


def _short_names(tables: Mapping[str, Table], sources: Mapping[str, str | os.PathLike | None]) -> dict[str, str]:
    """Return the names of tables for messages: without folders, unless two would be the same."""
    short = {}
    for part, table in tables.items():
        path = Path(sources[part])
        # The name may end with that of a split.
        short[part] = source_name(table.name.replace(str(path), source_name(path), 1))
    is_unique = len(set(short.values())) == len(short)
    return short if is_unique else {part: table.name for part, table in tables.items()}


def _label_problem(value: object) -> str | None:
    if isinstance(value, list | dict):
        return SEVERAL_VALUES
    return NO_LABEL if label_text(value) is None else None


def iter_texts(
    sources: Iterable[str | os.PathLike],
    text_column: str | None = None,
    exclude: Iterable[str | os.PathLike] = (),
    *,
    or_usual: bool = False,
    option: str = "--corpus",
) -> Iterator[str]:
    """Yield the documents of all sources in turn, in constant memory.

    Blank documents are left out. Rows that cannot be read are left out too, with a warning.

    Args:
        sources: text files (a document a line), CSV, TSV, JSONL or Parquet files (their text column), folders of such
            files, globs, "sample", or hub ids (owner/name or owner/name:configuration).
        text_column: the column of the texts; if it is None, the first of `TEXT_COLUMNS`, in any case.
        exclude: sources whose documents are left out, such as the texts of the test split. Documents are compared by
            their letters and digits only.
        or_usual: whether the column of a table without `text_column` is found by the usual names, as in `exclude`.
        option: the command line option of the sources, for error messages.

    Raises:
        InputError: a source does not exist (at once), or cannot be read or has no text column (when it is read).
    """
    resolved = [_resolve_corpus(str(source), option) for source in sources]
    excluded = [_resolve_corpus(str(source), "--exclude") for source in exclude]
    documents = _iter_resolved(resolved, text_column, option, or_usual)
    if not excluded:
        return documents
    return leave_out(documents, _iter_resolved(excluded, text_column, "--exclude", or_usual=True))


def corpus_files(sources: Iterable[str | os.PathLike], option: str = "--corpus") -> list[Path]:
    """Return the local files that `iter_texts` reads for these sources, in the same order. Hub ids have none.

    Args:
        sources: see `iter_texts`.
        option: the command line option of the sources, for the error message.

    Raises:
        InputError: a source does not exist.
    """
    resolved = [_resolve_corpus(str(source), option) for source in sources]
    return [path for source in resolved if not isinstance(source, HubId) for path in source]


def source_name(source: str | os.PathLike) -> str:
    """Return the name of a source in model files: a hub id unchanged, a file or folder without its parents."""
    return Path(source).name if os.path.exists(source) else str(source)


def _labelled_table(source: str, part: str) -> Table:
    if source == SAMPLE:
        return open_table(SAMPLE_REVIEWS)
    if os.path.isdir(source):
        return open_folder(Path(source), SPLITS_OF[part])
    if os.path.exists(source):
        return open_table(Path(source))
    option = OPTION_OF[part]
    return open_hub(_hub_id_or_fail(source, option), option, splits=SPLITS_OF[part])


def _hub_id_or_fail(source: str, option: str) -> HubId:
    """Parse a source that is not a local path as a hub id."""
    hub_id = parse_hub_id(source)
    if hub_id is None or source.lower().endswith(CORPUS_SUFFIXES):
        raise InputError(
            f"there is no file or folder {source}; give {option} a path, a hub id (owner/name), or {SAMPLE}"
        )
    return hub_id


def _resolve_corpus(source: str, option: str) -> list[Path] | HubId:
    """Return the files of a corpus source, or its hub id."""
    if source == SAMPLE:
        return [SAMPLE_CORPUS]
    if os.path.isdir(source):
        files = (path for path in Path(source).rglob("*") if path.is_file())
        found = sorted(path for path in files if path.suffix.lower() in CORPUS_SUFFIXES)
    elif os.path.exists(source):
        found = [Path(source)]
    elif glob.has_magic(source):
        found = sorted(Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file())
    else:
        return _hub_id_or_fail(source, option)
    if not found:
        raise InputError(f"{source} has no file to read; the names of corpus files end in {', '.join(CORPUS_SUFFIXES)}")
    return found


def _iter_resolved(
    resolved: list[list[Path] | HubId], text_column: str | None, option: str, or_usual: bool = False
) -> Iterator[str]:
    for source in resolved:
        if isinstance(source, HubId):
            yield from _table_texts(open_hub(source, option, streaming=True), text_column, or_usual)
            continue
        for path in source:
            if path.suffix.lower() in TABLE_SUFFIXES:
                yield from _table_texts(open_table(path), text_column, or_usual)
            else:
                yield from (line for line in scan(path).lines() if line.strip())


def _table_texts(table: Table, text_column: str | None, or_usual: bool) -> Iterator[str]:
    if or_usual and text_column not in table.columns:
        text_column = None
    column = choose_column(table, text_column, TEXT_COLUMNS, "text")
    unreadable, first_problem = 0, ""
    for row in table.rows:
        problem = row_problem(row, column)
        if problem is None:
            yield row.values[column]
        elif row.problem or not is_blank(row.values.get(column)):
            unreadable += 1
            first_problem = first_problem or f"row {row.number:,}: {problem}"
    if unreadable:
        logger.warning("%s: %d rows left out, first: %s", table.name, unreadable, first_problem)
