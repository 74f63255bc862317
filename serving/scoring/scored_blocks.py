"""Blocks of rows with their predictions: made, written as parts, and summed up."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import NamedTuple

from tqdm import tqdm

from serving.predictor import Predictor
from serving.scoring.columns import PredictionColumns
from serving.scoring.parts import Parts, PartSummary, Stream
from system.errors import InputError
from system.output.display import say
from text.tables.rows import Format, Row

PROBLEMS_SHOWN = 5
NO_LABEL = "no label"  # in the summary, for a row that has none of several labels
PROGRESS_ROWS = 2000  # a shorter file has a progress bar only at a terminal


class ScoredBlock(NamedTuple):
    """Some rows with their predictions, in the format of the output.

    Attributes:
        content: a part of the output; None if an earlier run has written it.
        num_rows: the number of rows.
        labels: the number of rows with each label; a row counts for each of its labels.
        num_problems: the number of rows without a prediction.
        num_truncated: the number of rows whose text the model did not read as a whole.
        problems: why these have none; empty for a part of an earlier run.
    """

    content: bytes | None
    num_rows: int
    labels: Counter[str]
    num_problems: int
    num_truncated: int
    problems: list[str]


def score_block(
    predictor: Predictor,
    text_of: Callable[[Row], tuple[str, str | None]],
    output_format: Format,
    added: PredictionColumns,
    block: list[Row],
    is_first: bool,
) -> ScoredBlock:
    """Return the rows of a block with their predictions; `text_of` is `Source.text_of`, `block` is not empty."""
    texts, problems = zip(*map(text_of, block), strict=True)
    labels, num_truncated, described, rows = Counter(), 0, [], []
    for row, problem, prediction in zip(block, problems, predictor.predict(texts), strict=True):
        problem = problem or prediction.problem
        if problem:
            problem = f"row {row.number:,}: {problem}"
            described.append(problem)
            rows.append(row.values | added.values_without_prediction(problem))
        else:
            num_truncated += prediction.is_truncated
            labels.update(prediction.labels or [prediction.label or NO_LABEL])  # the label of an undecided text
            rows.append(row.values | added.values(prediction))
    content = output_format.encode(rows, is_first)
    return ScoredBlock(content, len(block), labels, len(described), num_truncated, described)


class Totals:
    """The counts of all blocks, which become the summary of a run."""

    def __init__(self) -> None:
        self.num_rows = self.num_rows_before = self.num_problems = self.num_truncated = 0
        self.labels: Counter[str] = Counter()
        self._problems: list[tuple[int, str]] = []
        self._started = time.monotonic()

    def add(self, number: int, block: ScoredBlock, source_name: str) -> None:
        """Add block `number` of a source. The problems shown are those of the lowest numbers."""
        self.num_rows += block.num_rows
        self.num_rows_before += block.num_rows if block.content is None else 0
        self.labels.update(block.labels)
        self.num_problems += block.num_problems
        self.num_truncated += block.num_truncated
        self._problems += [(number, f"{source_name}, {problem}") for problem in block.problems[:PROBLEMS_SHOWN]]
        self._problems = sorted(self._problems, key=itemgetter(0))[:PROBLEMS_SHOWN]

    def print_problems(self, source_name: str) -> None:
        for _, problem in self._problems:
            say(problem)
        if more := self.num_problems - len(self._problems):
            which = "more " if self._problems else ""
            say(f"{source_name}: {more:,} {which}rows have no prediction")

    def __str__(self) -> str:
        before = f" ({self.num_rows_before:,} scored before)" if self.num_rows_before else ""
        counts = [f"{self.num_rows:,} rows{before}"]
        counts += [f"{count:,} {label}" for label, count in self.labels.most_common()]
        if self.num_truncated:
            counts.append(f"{self.num_truncated:,} truncated")
        if self.num_problems:
            counts.append(f"{self.num_problems:,} without a prediction")
        speed = (self.num_rows - self.num_rows_before) / max(time.monotonic() - self._started, 1e-9)
        return f"{', '.join(counts)}; {speed:,.0f} rows per second"


def write_parts(
    results: Iterable[tuple[int, ScoredBlock]],
    parts: Stream | Parts,
    source_of: Callable[[int], str],
    line_count: int,
    strict: bool,
) -> Totals:
    """Write blocks as parts while they are scored, with a progress bar.

    Args:
        results: the number of each part, and its block.
        source_of: a function that returns the name of the source of a part.
        line_count: the approximate number of rows.

    Raises:
        InputError: `strict` is true and a row has no prediction.
    """
    totals = Totals()
    bar = tqdm(
        desc="scoring",
        total=line_count,
        unit=" rows",
        unit_scale=True,
        mininterval=0.2 if sys.stderr.isatty() else 15,
        disable=None if line_count < PROGRESS_ROWS else False,
        leave=False,
    )
    with bar:
        for number, block in results:
            if strict and block.problems:
                raise InputError(f"{source_of(number)}, {block.problems[0]}")
            if block.content is not None:
                parts.write(number, block.content, PartSummary(block.labels, block.num_problems, block.num_truncated))
            bar.update(block.num_rows)
            totals.add(number, block, source_of(number))
    return totals
