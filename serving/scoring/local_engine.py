"""Scores a file: every row comes out once, in its place, with a verdict or the reason why it has none."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from serving.predictor import Predictor
from serving.scoring.parts import Parts, Stream
from serving.scoring.source import STANDARD_STREAM, Source, blocks, open_source
from system.errors import InputError, OutputError
from system.files import check_writable
from system.locks import owned
from system.streams import is_closed, is_standard_output, is_stream, open_stream
from text.tables.kinds import kind_of, open_format
from text.tables.rows import Format, Row

VERDICT_TYPES = {"label": "string", "probability": "double", "confidence": "double", "problem": "string"}
DECIMALS = 6
PROBLEMS_SHOWN = 5
BLOCKS_AHEAD = 2
SCORED_BEFORE = "scored before"
REMEDY = "wait until it has ended, or give --output another name"  # where another run writes the same file


@dataclass(frozen=True)
class ScoringPlan:
    """What to score and where to put it.

    Attributes:
        source: a file, or "-" for standard input.
        output: a file, a pipe or a device, or "-" for standard output.
        text_column: found by its usual names where None.
        source_kind: of `text.tables.kinds.KIND_NAMES`; by the suffix where None.
        output_kind: the same; that of the source where the file has no suffix.
        strict: whether the first row without a verdict ends the run.
        resume: whether to go on with a run that was ended before its end.
        settings: whatever else the verdicts depend on, as JSON values; a run goes on with the same only.
    """

    source: str
    output: str = STANDARD_STREAM
    text_column: str | None = None
    source_kind: str | None = None
    output_kind: str | None = None
    strict: bool = False
    resume: bool = False
    settings: dict = field(default_factory=dict)


class ScoredBlock(NamedTuple):
    """Some rows with their verdicts, as they are written, and what there is to say of them.

    Attributes:
        content: a part of the output; None where an earlier run has written it.
        num_rows: how many there are.
        verdicts: how many rows have each.
        problems: why the others have none.
    """

    content: bytes | None
    num_rows: int
    verdicts: Counter
    problems: list[str]


def score_file(predictor: Predictor, plan: ScoringPlan) -> None:
    """Write the rows of a file with their verdicts, and a summary to standard error.

    A file appears whole or not at all: until its end the scored rows lie in a folder beside it, part by part, and a run
    that is killed goes on from there. A second run with the same output is refused meanwhile. Standard output, a pipe
    or a device gets the rows as they come.

    Raises:
        InputError: the file cannot be read or written, or, if the plan is strict, a row cannot be judged.
    """
    to_file = not is_stream(plan.output)
    _check_output(plan, to_file)
    with (
        owned(plan.output, REMEDY) if to_file else contextlib.nullcontext(),
        open_source(plan.source, plan.source_kind, plan.text_column, strict=plan.strict) as source,
    ):
        names = verdict_columns(source.table.columns)
        kind = plan.output_kind or source.kind
        if Path(plan.output).suffix:
            kind = kind_of(plan.output, plan.output_kind, "--output-format")
        if kind == "parquet" and not to_file:
            raise InputError("Parquet is no text for standard output, a pipe or a device: name a file with --output")
        output_format = open_format(
            kind,
            source.table.columns,
            dict(zip(names, VERDICT_TYPES.values(), strict=True)),
            source.text_column,
            byte_order_mark=source.has_spreadsheet_encoding,
            schema=source.schema,
        )
        with _open_parts(plan, source, output_format, kind) as parts:
            try:
                summary = _score(predictor, source, output_format, names, parts, plan.strict)
                parts.finish()
            except (KeyboardInterrupt, OutputError):
                if to_file:
                    print("what is scored is kept: the same command with --resume goes on with it", file=sys.stderr)
                raise
    print(summary + (f"; saved to {plan.output}" if to_file else ""), file=sys.stderr)


def _check_output(plan: ScoringPlan, to_file: bool) -> None:
    """Raise an InputError where the output cannot be written, before anything is read."""
    if to_file:
        check_writable(plan.output)
        if plan.source != STANDARD_STREAM and os.path.realpath(plan.source) == os.path.realpath(plan.output):
            raise InputError(f"{plan.output} is the file that is to be scored: give --output another name")
    elif plan.resume:
        raise InputError("--resume goes on with a file: name it with --output")
    elif is_standard_output(plan.output):
        if is_closed(sys.stdout):
            raise InputError("there is no standard output, it is closed: name a file with --output")
    else:
        check_writable(plan.output, allow_stream=True)


@contextlib.contextmanager
def _open_parts(plan: ScoringPlan, source: Source, output_format: Format, kind: str) -> Iterator[Stream | Parts]:
    if is_stream(plan.output):
        with open_stream(plan.output) as stream:
            yield Stream(stream)
        return
    # A link stays a link: the file that it leads to is written.
    output = Path(os.path.realpath(plan.output))
    parts = Parts(output, output_format, _description(plan, source, kind), plan.strict)
    parts.open(plan.resume)
    yield parts


def _description(plan: ScoringPlan, source: Source, kind: str) -> dict:
    """Returns what a run must have in common with the one that it goes on with."""
    return {
        "source": source.sha256(),
        "source kind": source.kind,
        "output kind": kind,
        "text column": source.text_column,
        **plan.settings,
    }


def verdict_columns(columns: Iterable[str]) -> list[str]:
    """Returns the names of the four columns that are added; one that is taken already gets "predicted_" before it."""
    taken, names = set(columns), []
    for name in VERDICT_TYPES:
        while name in taken:
            name = f"predicted_{name}"
        names.append(name)
        taken.add(name)
    return names


def _score(predictor, source: Source, output_format: Format, names: list[str], parts, strict: bool) -> str:
    num_rows, verdicts, problems, started = 0, Counter(), [], time.monotonic()
    bar = tqdm(
        desc="scoring",
        total=source.line_count,
        unit=" rows",
        unit_scale=True,
        mininterval=0.2 if sys.stderr.isatty() else 15,
        disable=None if source.line_count < BLOCKS_AHEAD * 1000 else False,
        leave=False,
    )

    def scored():
        for number, block in enumerate(in_background(blocks(source))):
            if number < parts.num_done:
                yield ScoredBlock(None, len(block), Counter({SCORED_BEFORE: len(block)}), [])
            else:
                yield _score_block(predictor, source, output_format, names, block, number == 0)

    with bar, contextlib.closing(in_background(scored())) as results:
        for number, block in enumerate(results):
            if strict and block.problems:
                raise InputError(f"{source.name}, {block.problems[0]}")
            if block.content is not None:
                parts.write(number, block.content)
            bar.update(block.num_rows)
            num_rows += block.num_rows
            verdicts.update(block.verdicts)
            verdicts["without a verdict"] += len(block.problems)
            problems += block.problems[: PROBLEMS_SHOWN - len(problems)]
    if not num_rows:
        parts.write(0, output_format.encode([], True))
    for problem in problems:
        print(f"{source.name}, {problem}", file=sys.stderr)
    if more := verdicts["without a verdict"] - len(problems):
        print(f"{source.name}: {more:,} rows more are without a verdict", file=sys.stderr)
    speed = (num_rows - verdicts[SCORED_BEFORE]) / max(time.monotonic() - started, 1e-9)
    described = "".join(f", {count:,} {name}" for name, count in verdicts.most_common() if count)
    return f"{num_rows:,} rows{described}; {speed:,.0f} a second"


def _score_block(
    predictor: Predictor, source: Source, output_format: Format, names: list[str], block: list[Row], is_first: bool
) -> ScoredBlock:
    texts, problems = zip(*(source.text_of(row) for row in block), strict=True)
    verdicts, described, rows = Counter(), [], []
    for row, problem, prediction in zip(block, problems, predictor.predict(texts), strict=True):
        problem = problem or prediction.problem
        if problem:
            problem = f"row {row.number:,}: {problem}"
            described.append(problem)
            added = (None, None, None, problem)
        else:
            verdicts[prediction.label] += 1
            added = (
                prediction.label,
                round(prediction.probability, DECIMALS),
                round(prediction.confidence, DECIMALS),
                None,
            )
        rows.append(row.values | dict(zip(names, added, strict=True)))
    return ScoredBlock(output_format.encode(rows, is_first), len(block), verdicts, described)


def in_background(items: Iterable) -> Iterator:
    """Yields the items, which a thread fetches ahead: reading, judging and writing take place side by side."""
    fetched, is_wanted = queue.Queue(BLOCKS_AHEAD), threading.Event()
    is_wanted.set()

    def fetch():
        error = None
        try:
            for item in items:
                while is_wanted.is_set():
                    with contextlib.suppress(queue.Full):
                        fetched.put((item, None), timeout=0.1)
                        break
                if not is_wanted.is_set():
                    return
        except BaseException as raised:  # goes on in the thread that asked
            error = raised
        while is_wanted.is_set():
            with contextlib.suppress(queue.Full):
                fetched.put((None, error or StopIteration()), timeout=0.1)
                return

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while True:
            item, end = fetched.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item
    finally:
        is_wanted.clear()
        thread.join()
