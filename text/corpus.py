"""Unlabelled documents from files, folders and the hub, in constant memory."""

import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from system.errors import InputError
from system.files import sha256_of_file
from system.output.logs import printable_logger
from text.dataset.duplicates import leave_out
from text.hub_datasets import HubId, open_hub
from text.sources import CORPUS_SUFFIXES, SAMPLE, SAMPLE_CORPUS, TEXT_COLUMNS, hub_id_or_fail
from text.tables.input.text_file import scan
from text.tables.kinds import TABLE_SUFFIXES, open_table
from text.tables.problems import is_blank, row_problem
from text.tables.rows import Table, choose_column

logger = printable_logger(__name__)


def iter_texts(
    sources: Iterable[str | os.PathLike],
    text_column: str | None = None,
    exclude: Iterable[str | os.PathLike] = (),
    *,
    unwanted: Sequence[str] = (),
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
        unwanted: texts that are left out like those of `exclude`.
        or_usual: whether the column of a table without `text_column` is found by the usual names, as in `exclude`.
        option: the command line option of the sources, for error messages.

    Raises:
        InputError: a source does not exist (at once), or cannot be read or has no text column (when it is read).
    """
    resolved = [_resolve_corpus(str(source), option) for source in sources]
    excluded = [_resolve_corpus(str(source), "--exclude") for source in exclude]
    documents = _iter_resolved(resolved, text_column, option, or_usual)
    if not (excluded or unwanted):
        return documents
    known = itertools.chain(unwanted, _iter_resolved(excluded, text_column, "--exclude", or_usual=True))
    return leave_out(documents, known)


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


def num_lines(sources: Iterable[str | os.PathLike]) -> int | None:
    """Return the number of lines of text files, which is that of their documents and blank lines, in constant memory.

    Args:
        sources: see `iter_texts`.

    Returns:
        None if one of the sources is not a text file.

    Raises:
        InputError: a source does not exist, or cannot be read.
    """
    resolved = [_resolve_corpus(str(source), "--corpus") for source in sources]
    if any(isinstance(source, HubId) for source in resolved):
        return None
    paths = [path for source in resolved for path in source]
    if any(path.suffix.lower() in TABLE_SUFFIXES for path in paths):
        return None
    return sum(scan(path).num_lines for path in paths)


def fingerprints(sources: Iterable[str], option: str = "--corpus") -> list[str]:
    """Return the hash and the suffix of each file of the sources; the name of a source that is not a file."""
    found = []
    for source in sources:
        files = corpus_files([source], option)
        # With the suffix, because a table and a text file of the same bytes hold different documents.
        found.extend([sha256_of_file(file) + file.suffix.lower() for file in files] or [source])
    return found


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
        return hub_id_or_fail(source, option)
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
                yield from _table_texts(open_table(path, kind="txt"), "text", or_usual)


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
