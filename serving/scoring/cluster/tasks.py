"""What the workers of a cluster do: survey a file, read it in blocks, and score a block.

Ray Data passes tables between them. Ours have one column of pickled Python objects, one a row, so that a block keeps
its values as the reader of its file has made them.
"""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow

from serving.predictor import Predictor
from serving.scoring.cluster.attempts import MOST_ATTEMPTS, Attempts, RemoteAttempts
from serving.scoring.cluster.storage import InputFile
from serving.scoring.columns import PredictionColumns
from serving.scoring.parts import PartSummary
from serving.scoring.scored_blocks import ScoredBlock, score_block
from serving.scoring.source import Source, blocks, open_source, text_of
from system.errors import InputError
from text.tables.rows import Format, Row

ITEM = "item"
# The parts of a file have consecutive numbers, and those of the next file follow in order, though nobody knows how many
# parts a file has before it is read.
PARTS_OF_A_FILE = 100_000_000
BLOCKS_OF_AN_OUTPUT_FILE = 64  # in a folder, about 260,000 rows: files that are quick to open, and not too many


@dataclass(frozen=True)
class ReadingPlan:
    """How workers read the files.

    Attributes:
        files: the files, in order.
        kind: see `serving.scoring.local_engine.ScoringPlan.source_kind`.
        text_column: the column of the texts, or None.
        strict: whether bytes that no known encoding can decode are an error.
    """

    files: list[InputFile]
    kind: str | None
    text_column: str | None
    strict: bool


class Survey(NamedTuple):
    """What must be known of a file before the first row is written.

    Attributes:
        number: the number of the file, from 0.
        source: the file, without its rows.
        sha256: the hash of its bytes.
    """

    number: int
    source: Source
    sha256: str


class Block(NamedTuple):
    """Part `number` of all rows, before it is scored."""

    number: int
    rows: list[Row]


class Scored(NamedTuple):
    """Part `number` of all rows, after it is scored."""

    number: int
    block: ScoredBlock


class End(NamedTuple):
    """The end of a file, and the number of its parts."""

    file: int
    num_parts: int


class Deadly(NamedTuple):
    """Part `number`, during which so many workers have died that no other one tries it, and its rows in the file."""

    number: int
    first_row: int
    last_row: int

    @property
    def problem(self) -> str:
        """What to tell the user, after the name of the file."""
        return (
            f"rows {self.first_row:,} to {self.last_row:,}: {MOST_ATTEMPTS} workers have died while they predicted "
            "these rows, as when the memory is full; give each worker more memory, with fewer --actors, or correct the "
            "rows"
        )


class Failure(NamedTuple):
    """The error of a file that cannot be used. As an exception it would come back as a traceback of the worker."""

    file: int
    message: str


def table_of(item: object) -> pyarrow.Table:
    """Return a table with an item."""
    return pyarrow.table({ITEM: pyarrow.array([pickle.dumps(item)], pyarrow.large_binary())})


def item_of(table: pyarrow.Table) -> object:
    """Return the item of a table."""
    return pickle.loads(table[ITEM][0].as_py())


def survey_file(batch: pyarrow.Table, *, plan: ReadingPlan) -> pyarrow.Table:
    """Return the `Survey` of the file whose number is in a table, or a `Failure`."""
    number = item_of(batch)
    try:
        with plan.files[number].local_path() as path, _open(path, plan) as source:
            table = dataclasses.replace(source.table, rows=iter(()))
            found = dataclasses.replace(source, name=plan.files[number].name, table=table)
            return table_of(Survey(number, found, source.sha256()))
    except InputError as error:
        return table_of(Failure(number, str(error)))


def joint_source(sources: list[Source], name: str) -> Source:
    """Return the files as one source without rows.

    Raises:
        InputError: the files do not fit together.
    """
    first = sources[0]
    for other in sources[1:]:
        if other.kind != first.kind:
            raise InputError(f"{first.name} is {first.kind}, but {other.name} is {other.kind}; score them separately")
        if other.text_column != first.text_column:
            raise InputError(
                f"{first.name} has its texts in {first.text_column!r}, but {other.name} in {other.text_column!r}; name "
                "one column with --text-column, or score the files separately"
            )
        if first.kind != "jsonl" and not _has_same_columns(first, other):
            raise InputError(f"{other.name} has other columns than {first.name}; score them separately")
    columns = list(dict.fromkeys(itertools.chain.from_iterable(source.table.columns for source in sources)))
    return dataclasses.replace(
        first,
        name=first.name if len(sources) == 1 else name,
        table=dataclasses.replace(first.table, columns=columns),
        line_count=sum(source.line_count for source in sources),
    )


def _has_same_columns(first: Source, other: Source) -> bool:
    same_types = first.schema is None or first.schema.equals(other.schema)
    return same_types and first.table.columns == other.table.columns


def read_file(
    batch: pyarrow.Table, *, plan: ReadingPlan, done: dict[int, PartSummary], hashes: list[str]
) -> Iterator[pyarrow.Table]:
    """Yield the blocks of the file whose number is in a table, then its `End`, or a `Failure`.

    Args:
        done: the parts that an earlier run has scored. They are counted only.
        hashes: the hash of each file.
    """
    file = item_of(batch)
    first = file * PARTS_OF_A_FILE
    try:
        with plan.files[file].local_path() as path, _open(path, plan) as source:
            if source.sha256() != hashes[file]:
                raise InputError(f"{plan.files[file].name} has changed during the run; start over without --resume")
            number = first - 1
            for number, rows in enumerate(blocks(source), start=first):
                if number in done:
                    yield table_of(Scored(number, ScoredBlock(None, len(rows), *done[number], [])))
                else:
                    yield table_of(Block(number, rows))
            if number < first:
                yield table_of(Block(first, []))  # of a file without rows, which may begin the output with its header
            yield table_of(End(file, max(1, number + 1 - first)))
    except InputError as error:
        yield table_of(Failure(file, str(error)))


def _open(path: Path, plan: ReadingPlan) -> AbstractContextManager[Source]:
    return open_source(str(path), plan.kind, plan.text_column, strict=plan.strict)


class Scorer:
    """A worker that scores blocks, with a predictor of its own.

    Args:
        model: the bytes of the `.onnx` file.
        settings: the other arguments of `Predictor`.
        text_column: the column of the texts.
        added: the columns to add.
        output_format: encodes the rows.
        to_folder: whether the parts are joined to many files, each of which begins with a header.
        attempts: counts the attempts at each part.
    """

    def __init__(
        self,
        *,
        model: bytes,
        settings: dict[str, object],
        text_column: str,
        added: PredictionColumns,
        output_format: Format,
        to_folder: bool,
        attempts: Attempts | RemoteAttempts,
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(model)
            self._predictor = Predictor(path, **settings)
        self._text_of = partial(text_of, text_column=text_column)
        self._added = added
        self._format = output_format
        self._to_folder = to_folder
        self._attempts = attempts

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Return the `Scored` of a `Block`, or that it is `Deadly`, and everything else unchanged."""
        item = item_of(batch)
        if not isinstance(item, Block):
            return batch
        number, rows = item
        is_first = begins_file(number) if self._to_folder else number == 0
        if not rows:
            return table_of(Scored(number, ScoredBlock(self._format.encode([], is_first), 0, Counter(), 0, 0, [])))
        if self._attempts.begin(number) > MOST_ATTEMPTS:
            return table_of(Deadly(number, rows[0].number, rows[-1].number))
        return table_of(
            Scored(number, score_block(self._predictor, self._text_of, self._format, self._added, rows, is_first))
        )


def begins_file(number: int) -> bool:
    """Return whether part `number` is the first one of a file in an output folder."""
    return number % PARTS_OF_A_FILE % BLOCKS_OF_AN_OUTPUT_FILE == 0
