"""Score a file: every row is written once, in order, with its prediction or the reason why it has none."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from serving.predictor import Predictor
from serving.scoring.background import in_background
from serving.scoring.columns import PredictionColumns
from serving.scoring.parts import Parts, PartSummary, Stream
from serving.scoring.source import STANDARD_STREAM, Source, blocks, open_source
from system.errors import InputError, OutputError
from system.files import check_writable
from system.locks import owned
from system.output.display import say
from system.streams import is_closed, is_standard_output, is_stream, open_stream
from text.tables.kinds import kind_of, open_format
from text.tables.rows import Format, Row

PROBLEMS_SHOWN = 5
NO_LABEL = "no label"  # in the summary, for a row that has none of several labels
PROGRESS_ROWS = 2000  # a shorter file has a progress bar only at a terminal
REMEDY = "wait for it to finish, or give --output another name"  # if another run writes the same file


@dataclass(frozen=True)
class ScoringPlan:
    """The input, the output and the options of a scoring run.

    Attributes:
        source: a file, or "-" for standard input.
        output: a file, a pipe or a device, or "-" for standard output.
        text_column: the column of the texts; None: the usual names.
        source_kind: one of `text.tables.kinds.KIND_NAMES`; None: by the suffix.
        output_kind: likewise; None: by the suffix, and without a suffix the kind of the source.
        strict: whether to stop at the first row without a prediction.
        resume: whether to continue an interrupted run.
        all_probabilities: whether to add a column per label with its probability.
        csv_safe: whether no text of a CSV or TSV output may be a formula of a spreadsheet.
        settings: whatever else the predictions depend on, as JSON values; only a run with equal settings is resumed.
    """

    source: str
    output: str = STANDARD_STREAM
    text_column: str | None = None
    source_kind: str | None = None
    output_kind: str | None = None
    strict: bool = False
    resume: bool = False
    all_probabilities: bool = False
    csv_safe: bool = False
    settings: dict[str, object] = field(default_factory=dict)


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


class _Totals:
    """The counts of all blocks, which become the summary of a run."""

    def __init__(self) -> None:
        self.num_rows = self.num_rows_before = self.num_problems = self.num_truncated = 0
        self.labels: Counter[str] = Counter()
        self.problems: list[str] = []
        self._started = time.monotonic()

    def add(self, block: ScoredBlock) -> None:
        self.num_rows += block.num_rows
        self.num_rows_before += block.num_rows if block.content is None else 0
        self.labels.update(block.labels)
        self.num_problems += block.num_problems
        self.num_truncated += block.num_truncated
        self.problems += block.problems[: PROBLEMS_SHOWN - len(self.problems)]

    def print_problems(self, source_name: str) -> None:
        for problem in self.problems:
            say(f"{source_name}, {problem}")
        if more := self.num_problems - len(self.problems):
            say(f"{source_name}: {more:,} {'more ' if self.problems else ''}rows have no prediction")

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


def score_file(predictor: Predictor, plan: ScoringPlan) -> None:
    """Write the rows of a file with their predictions, and a summary to standard error.

    The output file appears when it is complete. Until then the scored rows are in a folder beside it, part by part, and
    a killed run can be resumed. No second run may write the same output meanwhile. Standard output, a pipe or a device
    gets the rows at once.

    Raises:
        InputError: the file cannot be read or written, or the plan is strict and a row has no prediction.
    """
    to_file = not is_stream(plan.output)
    _check_output(plan, to_file)
    with (
        owned(plan.output, REMEDY) if to_file else contextlib.nullcontext(),
        open_source(plan.source, plan.source_kind, plan.text_column, strict=plan.strict) as source,
    ):
        labels = predictor.labels.names if plan.all_probabilities else ()
        added = PredictionColumns(source.table.columns, labels)
        kind = plan.output_kind or source.kind
        if Path(plan.output).suffix:
            kind = kind_of(plan.output, plan.output_kind, "--output-format")
        if kind == "parquet" and not to_file:
            raise InputError(
                "Parquet cannot be written to standard output, a pipe or a device; name a file with --output"
            )
        if plan.csv_safe and kind not in ("csv", "tsv"):
            raise InputError(
                f"--csv-safe is for CSV and TSV; the output is {kind}: leave it out, or choose --output-format csv"
            )
        output_format = open_format(
            kind,
            source.table.columns,
            added.types,
            source.text_column,
            byte_order_mark=source.has_spreadsheet_encoding,
            csv_safe=plan.csv_safe,
            schema=source.schema,
        )
        with _open_parts(plan, source, output_format, kind) as parts:
            totals = _score(predictor, source, output_format, added, parts, plan.strict)
            totals.print_problems(source.name)
            summary = str(totals)  # before the parts are joined, which takes time too
            parts.finish()
    saved = f"; saved to {plan.output}" if to_file else ""
    say(f"{summary}{saved}")


def _check_output(plan: ScoringPlan, to_file: bool) -> None:
    """Raise an InputError if the output cannot be written, before anything is read."""
    if to_file:
        check_writable(plan.output)
        if plan.source != STANDARD_STREAM and os.path.realpath(plan.source) == os.path.realpath(plan.output):
            raise InputError(f"{plan.output} is also the input; give --output another name")
    elif plan.resume:
        raise InputError("--resume needs an output file; name it with --output")
    elif is_standard_output(plan.output):
        if is_closed(sys.stdout):
            raise InputError("standard output is closed; name a file with --output")
    else:
        check_writable(plan.output, allow_stream=True)


@contextlib.contextmanager
def _open_parts(plan: ScoringPlan, source: Source, output_format: Format, kind: str) -> Iterator[Stream | Parts]:
    """Open the destination; if the block fails, keep the parts of a file that are scored."""
    if is_stream(plan.output):
        with open_stream(plan.output) as stream:
            yield Stream(stream)
        return
    # A symbolic link stays, and its target is written.
    output = Path(os.path.realpath(plan.output))
    parts = Parts(output, output_format, _description(plan, source, kind), plan.strict)
    parts.open(plan.resume)
    try:
        yield parts
    except BaseException as error:
        if not parts.num_parts:
            parts.discard()
        elif isinstance(error, KeyboardInterrupt | OutputError):
            say("the scored rows are kept; run the same command with --resume to continue")
        raise


def _description(plan: ScoringPlan, source: Source, kind: str) -> dict[str, object]:
    """Return what a run must have in common with the run that it resumes."""
    return {
        "source": source.sha256(),
        "source kind": source.kind,
        "output kind": kind,
        "text column": source.text_column,
        **({"--all-probabilities": True} if plan.all_probabilities else {}),
        **({"--csv-safe": True} if plan.csv_safe else {}),
        **plan.settings,
    }


def _score(
    predictor: Predictor,
    source: Source,
    output_format: Format,
    added: PredictionColumns,
    parts: Stream | Parts,
    strict: bool,
) -> _Totals:
    """Score the blocks that are not done yet, and write them as parts."""
    totals = _Totals()
    bar = tqdm(
        desc="scoring",
        total=source.line_count,
        unit=" rows",
        unit_scale=True,
        mininterval=0.2 if sys.stderr.isatty() else 15,
        disable=None if source.line_count < PROGRESS_ROWS else False,
        leave=False,
    )

    def scored_blocks() -> Iterator[ScoredBlock]:
        for number, block in enumerate(in_background(blocks(source))):
            if number < len(parts.done):
                yield ScoredBlock(None, len(block), *parts.done[number], [])
            else:
                yield _score_block(predictor, source, output_format, added, block, number == 0)

    with bar, contextlib.closing(in_background(scored_blocks())) as results:
        for number, block in enumerate(results):
            if strict and block.problems:
                raise InputError(f"{source.name}, {block.problems[0]}")
            if block.content is not None:
                parts.write(number, block.content, PartSummary(block.labels, block.num_problems, block.num_truncated))
            bar.update(block.num_rows)
            totals.add(block)
    if not totals.num_rows:
        parts.write(0, output_format.encode([], True), PartSummary({}, 0, 0))
    return totals


def _score_block(
    predictor: Predictor,
    source: Source,
    output_format: Format,
    added: PredictionColumns,
    block: list[Row],
    is_first: bool,
) -> ScoredBlock:
    texts, problems = zip(*(source.text_of(row) for row in block), strict=True)
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
