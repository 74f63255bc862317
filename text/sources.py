"""Labelled texts and unlabelled documents from files, folders and the hub."""

import glob
import logging
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from system.errors import InputError
from text.dataset.labelled_texts import LabelledTexts, LabelOptions, hash_of
from text.dataset.row_labels import index_rows, row_labels
from text.hub_datasets import HubId, open_folder, open_hub, parse_hub_id
from text.labels import UNUSABLE
from text.problems import is_blank, row_problem
from text.tables.kinds import TABLE_SUFFIXES, TEXT_SUFFIXES, open_table
from text.tables.rows import Table
from text.tables.text_file import scan

SAMPLE = "sample"
DATA_FOLDER = Path(__file__).resolve().parents[1] / "data"
SAMPLE_REVIEWS = DATA_FOLDER / "sample_reviews.csv"
SAMPLE_CORPUS = DATA_FOLDER / "sample_corpus.txt"

TEXT_COLUMNS = ("text", "review", "text_a", "content", "sentence", "comment", "评论", "评价", "内容")
LABEL_COLUMNS = ("label", "labels", "sentiment", "polarity", "标签", "情感")
CORPUS_SUFFIXES = (*TEXT_SUFFIXES, *TABLE_SUFFIXES)
SHORTEST_LINE = 12  # letters; shorter lines, such as "很好", occur in many texts
COLUMNS_SHOWN = 20
COLUMN_CHARACTERS_SHOWN = 40

logger = logging.getLogger(__name__)


def read_labelled(
    source: str | os.PathLike,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    label_options: LabelOptions | None = None,
) -> LabelledTexts:
    """Read the labelled texts of a source. A row without a text or without a usable label is unusable.

    Args:
        source: a file (CSV, TSV, JSONL, Parquet), a folder, a hub id "owner/name", or "sample".
        text_column: the column of the texts; if it is None, the first of `TEXT_COLUMNS`, in any case.
        label_column: the column of the labels; if it is None, the first of `LABEL_COLUMNS`, in any case.
        group_column: the column of the groups; None for no groups.
        label_options: how to read the labels, and columns instead of `label_column`; None: one label a row, see
            `text.dataset.labelled_texts.index_labels`.

    Raises:
        InputError: there is no such source or column, the labels cannot be used, or no row is usable.
    """
    table = _labelled_table(str(source))
    text_column = choose_column(table, text_column, TEXT_COLUMNS, "text")
    options = label_options or LabelOptions()
    label_columns = [choose_column(table, name, (), "label", "--label-columns") for name in options.columns]
    label_columns = label_columns or [choose_column(table, label_column, LABEL_COLUMNS, "label")]
    if group_column is not None:
        group_column = choose_column(table, group_column, (), "group")
    texts, labels, groups, row_problems, numbers = [], [], [], [], []
    for row in table.rows:
        text = row.values.get(text_column)
        texts.append(text if isinstance(text, str) and not row.problem else "")
        of_row, label_problem = row_labels(row.values, label_columns, options)
        labels.append(of_row)
        row_problems.append(row.problem or label_problem or row_problem(row, text_column))
        numbers.append(row.number)
        group = row.values.get(group_column)
        groups.append("" if group is None or group != group else str(group))  # NaN differs from itself
    is_usable = [problem is None for problem in row_problems]
    problems = {row: f"row {numbers[row]:,}: {problem}" for row, problem in enumerate(row_problems) if problem}
    try:
        label_set, indices, label_problems, rare_labels = index_rows(labels, is_usable, options)
    except InputError as error:
        unusable = f"; {len(problems):,} rows are unusable, the first: {problems[min(problems)]}" if problems else ""
        raise InputError(f"{table.name}: {error}{unusable}") from error
    for row, problem in label_problems.items():
        problems.setdefault(row, f"row {numbers[row]:,}: {problem}")
    problems = dict(sorted(problems.items()))
    indices[list(problems)] = UNUSABLE
    sha256 = hash_of(texts, indices, label_set)
    groups = groups if group_column else None
    labelled = LabelledTexts(table.name, texts, indices, problems, sha256, groups, label_set, rare_labels)
    if not labelled.usable.any():
        raise InputError(f"{table.name} has no usable rows: {labelled.explain_shortage()}")
    return labelled


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


def leave_out(documents: Iterable[str], known_texts: Iterable[str]) -> Iterator[str]:
    """Yield the documents that are neither one of `known_texts` nor a line of one, unless the line is short.

    Documents are compared by their letters and digits only.
    """
    known = set()
    for text in known_texts:
        lines = (_letters(line) for line in text.splitlines())
        known |= {_letters(text), *(line for line in lines if len(line) >= SHORTEST_LINE)}
    return (text for text in documents if _letters(text) not in known)


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


def _labelled_table(source: str) -> Table:
    if source == SAMPLE:
        return open_table(SAMPLE_REVIEWS)
    if os.path.isdir(source):
        return open_folder(Path(source))
    if os.path.exists(source):
        return open_table(Path(source))
    return open_hub(_hub_id_or_fail(source, "--dataset"), "--dataset")


def _hub_id_or_fail(source: str, option: str) -> HubId:
    """Parse a source that is not a local path as a hub id."""
    hub_id = parse_hub_id(source)
    if hub_id is None or source.lower().endswith(CORPUS_SUFFIXES):
        raise InputError(
            f"there is no file or folder {source}; give {option} a path, a hub id (owner/name), or {SAMPLE}"
        )
    return hub_id


def choose_column(
    table: Table, wanted: str | None, usual_names: tuple[str, ...], kind: str, option: str | None = None
) -> str:
    """Return the name of a column: the wanted one, or the first of the usual ones.

    Args:
        wanted: the name of the column, or None.
        usual_names: the names to look for, in any case, if `wanted` is None.
        kind: "text", "label" or "group", for the error message.
        option: the option that names the column, for the error message; None: "--text-column" for the kind "text".

    Raises:
        InputError: there is no such column, or there are several of that name.
    """
    if wanted is None:
        by_name = {column.strip().lower(): column for column in reversed(table.columns)}
        chosen = next((by_name[name] for name in usual_names if name in by_name), None)
    else:
        chosen = wanted if wanted in table.columns else None
    if chosen is not None and f"{chosen} (2)" not in table.columns:
        return chosen
    if _looks_binary(table):
        raise InputError(f"{table.name} does not look like a text file: it has NUL bytes; save it as text in UTF-8")
    number = "no" if chosen is None else "more than one"
    described = f"column {wanted!r}" if wanted is not None else f"{kind} column (usual names: {', '.join(usual_names)})"
    columns = ", ".join(repr(column[:COLUMN_CHARACTERS_SHOWN]) for column in table.columns[:COLUMNS_SHOWN])
    option = option or f"--{kind}-column"
    raise InputError(f"{table.name} has {number} {described}; its columns are {columns}; name one with {option}")


def _looks_binary(table: Table) -> bool:
    """Return whether a table was read from a file with NUL bytes whose header is not readable either."""
    if table.file is None or not table.file.has_nul:
        return False
    return table.file.undecodable is not None or not "".join(table.columns).isprintable()


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


def _letters(text: str) -> str:
    """Return the letters and digits of a text, because copies often differ in whitespace, case and punctuation.

    A text without letters and digits is returned without outer whitespace.
    """
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower()) or text.strip()


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
