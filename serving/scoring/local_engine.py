"""Score a file: every row is written once, in order, with its prediction or the reason why it has none."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serving.predictor import Predictor
from serving.scoring.background import in_background
from serving.scoring.columns import PredictionColumns
from serving.scoring.parts import Parts, PartSummary, Stream
from serving.scoring.scored_blocks import ScoredBlock, Totals, score_block, write_parts
from serving.scoring.source import STANDARD_STREAM, Source, blocks, open_source
from system.errors import InputError
from system.files import check_writable
from system.locks import owned
from system.output.display import say
from system.streams import is_closed, is_standard_output, is_stream, open_stream
from text.tables.kinds import kind_of, open_format
from text.tables.rows import Format

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
        if source.note:
            say(source.note)
        kind = plan.output_kind or source.kind
        if Path(plan.output).suffix:
            kind = kind_of(plan.output, plan.output_kind, "--output-format")
        if kind == "parquet" and not to_file:
            raise InputError(
                "Parquet cannot be written to standard output, a pipe or a device; name a file with --output"
            )
        added, output_format = open_output(plan, source, kind, predictor.labels.names)
        with _open_parts(plan, source, output_format, kind) as parts:
            totals = _score(predictor, source, output_format, added, parts, plan.strict)
            totals.print_problems(source.name)
            summary = str(totals)  # before the parts are joined, which takes time too
            parts.finish()
    saved = f"; saved to {plan.output}" if to_file else ""
    say(f"{summary}{saved}")


def open_output(
    plan: ScoringPlan, source: Source, kind: str, labels: Sequence[str]
) -> tuple[PredictionColumns, Format]:
    """Return the columns that a plan adds to a source, and the writer of a kind of file for all columns.

    Raises:
        InputError: the kind of file does not fit the plan.
    """
    if plan.csv_safe and kind not in ("csv", "tsv"):
        raise InputError(
            f"--csv-safe is for CSV and TSV; the output is {kind}: leave it out, or choose --output-format csv"
        )
    added = PredictionColumns(source.table.columns, labels if plan.all_probabilities else ())
    return added, open_format(
        kind,
        source.table.columns,
        added.types,
        source.text_column,
        byte_order_mark=source.has_spreadsheet_encoding,
        csv_safe=plan.csv_safe,
        schema=source.schema,
    )


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
    parts = Parts(output, output_format, description(plan, source, kind, source.sha256()), plan.strict)
    with parts.opened(plan.resume):
        yield parts


def description(plan: ScoringPlan, source: Source, kind: str, sha256: object) -> dict[str, object]:
    """Return what a run must have in common with the run that it resumes; `sha256` is that of the source."""
    return {
        "source": sha256,
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
) -> Totals:
    """Score the blocks that are not done yet, and write them as parts."""

    def scored_blocks() -> Iterator[tuple[int, ScoredBlock]]:
        for number, block in enumerate(in_background(blocks(source))):
            if number in parts.done:
                yield number, ScoredBlock(None, len(block), *parts.done[number], [])
            else:
                yield number, score_block(predictor, source.text_of, output_format, added, block, number == 0)

    with contextlib.closing(in_background(scored_blocks())) as results:
        totals = write_parts(results, parts, lambda number: source.name, source.line_count, strict)
    if not totals.num_rows:
        parts.write(0, output_format.encode([], True), PartSummary({}, 0, 0))
    return totals
