"""Score many files on a Ray cluster: the same rows as the local engine writes, each once and in order.

Ray Data moves blocks of rows from the workers that read to those that predict, starts more of these while they are
busy, and repeats the work of a worker that dies. Order and completeness do not depend on it: the number of a part says
where its rows belong, and the run ends only when every file has all of its parts.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serving.predictor import Predictor
from serving.scoring.cluster.attempts import RemoteAttempts
from serving.scoring.cluster.storage import Destination, find_files
from serving.scoring.cluster.tasks import (
    PARTS_OF_A_FILE,
    Deadly,
    End,
    Failure,
    ReadingPlan,
    Scorer,
    Survey,
    begins_file,
    item_of,
    joint_source,
    read_file,
    survey_file,
    table_of,
)
from serving.scoring.local_engine import REMEDY, ScoringPlan, description, open_output
from serving.scoring.parts import Parts
from serving.scoring.scored_blocks import ScoredBlock, write_parts
from system.errors import InputError, OutputError, first_line
from system.libraries import disable_telemetry, quiet_imports
from system.locks import owned
from system.output.display import say
from text.tables.kinds import kind_of

if TYPE_CHECKING:
    import ray.data

ACTORS_OF_A_READER = 16  # a worker reads about as fast as so many predict
# What workers import, which may run on machines without a copy of the project.
ROOT = Path(__file__).resolve().parents[3]
CODE = ("system", "text", "network", "serving")
# A worker has one CPU, and the libraries would start a thread for each one of its machine.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def score_files(
    predictor: Predictor, plan: ScoringPlan, address: str | None = None, actors: Sequence[int] | None = None
) -> None:
    """Write the rows of files with their predictions, and a summary to standard error.

    As with `score_file`, scored rows are kept in a folder of parts until the run is finished. The folder is on this
    machine: beside a local output, and in the current folder for a remote one.

    Args:
        predictor: an opened model. Each worker gets a copy of its file.
        plan: its source may have wildcards or be a URI, and its output may be a folder or a URI.
        address: the address of a cluster; None: the one that the environment names or that runs on this machine, or
            else a new one on this machine.
        actors: the number of workers that predict, or the lowest and the highest; None: from 1 to all CPUs.

    Raises:
        InputError: Ray is not installed, the model has no `.onnx` file, there is no such cluster, a file cannot be read
            or written, the files do not fit together, or the plan is strict and a row has no prediction.
    """
    if not importlib.util.find_spec("ray"):
        raise InputError("--engine ray needs Ray; run `pip install -r requirements-scale.txt`")
    if predictor.runtime != "onnx":
        raise InputError(
            "--engine ray needs ONNX Runtime, and a model with an .onnx file; create it with `python -m recipes.export "
            f"{predictor.model_path}`"
        )
    files, destination = find_files(plan.source), Destination(plan.output)
    destination.check(files)
    reading = ReadingPlan(files, plan.source_kind, plan.text_column, plan.strict)
    with owned(destination.path, REMEDY), connected(address):
        pipeline = Pipeline(reading, actors)
        surveys = pipeline.survey()
        for note in filter(None, (each.source.note for each in surveys)):
            say(note)
        source = joint_source([each.source for each in surveys], plan.source)
        kind = plan.output_kind or source.kind
        if not destination.is_folder:
            kind = kind_of(destination.path.name, plan.output_kind, "--output-format")
        added, output_format = open_output(plan, source, kind, predictor.labels.names)
        hashes = [each.sha256 for each in surveys]
        described = description(plan, source, kind, hashes[0] if len(hashes) == 1 else hashes)
        if destination.is_folder:
            described["output layout"] = "folder"
        parts = Parts(destination.path, output_format, described, plan.strict)
        scorer = {
            **_model_of(predictor),
            "text_column": source.text_column,
            "added": added,
            "output_format": output_format,
            "to_folder": destination.is_folder,
        }
        with parts.opened(plan.resume):
            results = pipeline.score(scorer, parts, hashes)
            totals = write_parts(results, parts, pipeline.name_of, source.line_count, plan.strict)
            totals.print_problems(source.name)
            summary = str(totals)  # before the parts are joined, which takes time too
            _join(parts, destination, kind)
    say(f"{summary}; saved to {plan.output}")


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster for the block.

    Raises:
        InputError: there is no cluster, or it fails during the block.
    """
    disable_telemetry()
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its warnings are about how Ray Data uses Ray
    import ray
    from ray.data.exceptions import SystemException, UserCodeException
    from ray.exceptions import RayError

    code = {"py_modules": [str(ROOT / each) for each in CODE], "env_vars": ONE_THREAD}
    try:
        _try_address(address)
        with quiet_imports():
            ray.init(address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        where = f"at {address}" if address else "on this machine"
        raise InputError(
            f"no Ray cluster could be used {where} ({first_line(error)}); start one with `ray start --head`, or "
            "correct --ray-address"
        ) from error
    try:
        # Ray reports workers that have died to standard output, the last ones while it disconnects.
        with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as connection:
            connection.callback(ray.shutdown)
            yield
    except (RayError, SystemException, UserCodeException) as error:
        raise OutputError(f"the Ray cluster stopped the run: {_cause(error)}") from error


def _try_address(address: str | None) -> None:
    """Raise an OSError if nothing answers at HOST:PORT, because Ray itself tries for minutes."""
    host, _, port = (address or "").rpartition(":")
    if "/" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _cause(error: BaseException) -> str:
    """Return what the error of a worker is about; its traceback names the error on its last line."""
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__


class Pipeline:
    """The files of a run, read and scored by workers of the cluster that this process is connected to.

    Args:
        plan: the files, and how to read them.
        actors: the number of workers that predict, or the lowest and the highest; None: from 1 to all CPUs.
    """

    def __init__(self, plan: ReadingPlan, actors: Sequence[int] | None) -> None:
        import ray
        import ray.data

        self._plan = plan
        all_cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._lowest, self._highest = (actors[0], actors[-1]) if actors else (1, all_cpus)
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        # Other machines may lack the files of this one.
        self._attempts = RemoteAttempts(here)
        self._readers_at = here if any(file.is_on_this_machine for file in plan.files) else None
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.target_max_block_size = (
            1  # byte: else Ray Data collects blocks of up to 128 MiB before it passes them on
        )
        logging.getLogger("ray.data").setLevel(logging.ERROR)

    def name_of(self, number: int) -> str:
        """Return the name of the file of part `number`."""
        return self._plan.files[number // PARTS_OF_A_FILE].name

    def survey(self) -> list[Survey]:
        """Return what must be known of each file before the first row is written.

        Raises:
            InputError: a file cannot be used.
        """
        found = list(items_of(self._per_file(survey_file, plan=self._plan)))
        failures = [item for item in found if isinstance(item, Failure)]
        if failures:
            raise InputError(min(failures).message)
        return sorted(found, key=lambda survey: survey.number)

    def score(self, scorer: dict[str, object], parts: Parts, hashes: list[str]) -> Iterator[tuple[int, ScoredBlock]]:
        """Yield each part with its number, in the order in which they are finished.

        Args:
            scorer: the arguments of `Scorer`.
            parts: those that are done are only counted.
            hashes: the hash of each file.

        Raises:
            InputError: a file cannot be read.
            OutputError: parts of a file are missing, or its rows end every worker.
        """
        import ray.data

        blocks = self._per_file(read_file, plan=self._plan, done=parts.done, hashes=hashes)
        results = blocks.map_batches(
            Scorer,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_kwargs={**scorer, "attempts": self._attempts},
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=self._lowest, max_size=self._highest),
        )
        expected, found = set(), set()
        for item in items_of(results):
            if isinstance(item, Failure):
                raise InputError(item.message)
            if isinstance(item, Deadly):
                raise OutputError(f"{self.name_of(item.number)}, {item.problem}")
            if isinstance(item, End):
                first = item.file * PARTS_OF_A_FILE
                expected.update(range(first, first + item.num_parts))
            elif item.number not in found:
                found.add(item.number)
                yield item.number, item.block
        if found != expected:
            raise OutputError(f"{len(expected - found):,} parts did not come back from the Ray cluster")

    def _per_file(self, function: Callable[..., object], **arguments: object) -> ray.data.Dataset:
        """Return the results of a function of `tasks` for each file."""
        import ray.data

        return ray.data.from_arrow([table_of(number) for number in range(len(self._plan.files))]).map_batches(
            function,
            batch_size=1,
            batch_format="pyarrow",
            fn_kwargs=arguments,
            num_cpus=0,  # else the workers that predict could take every CPU, and wait forever for rows
            compute=ray.data.TaskPoolStrategy(size=1 + self._highest // ACTORS_OF_A_READER),
            label_selector=self._readers_at,
        )


def items_of(dataset: ray.data.Dataset) -> Iterator[object]:
    """Yield the items of a dataset as they are finished."""
    for batch in dataset.iter_batches(batch_size=1, batch_format="pyarrow"):
        yield item_of(batch)


def _model_of(predictor: Predictor) -> dict[str, object]:
    """Return the arguments of `Scorer` for a predictor that answers like this one."""
    path = Path(predictor.model_path).with_suffix(".onnx")
    settings = {
        "threshold": predictor.threshold,
        "abstain": predictor.abstain,
        "runtime": predictor.runtime,
        "batch_size": predictor.batch_size,
        "windows": predictor.windows,
    }
    return {"model": path.read_bytes(), "settings": settings}


def _join(parts: Parts, destination: Destination, kind: str) -> None:
    """Join the parts to the output, and remove them.

    Raises:
        OutputError: the output cannot be written; the parts are kept.
    """
    numbers = sorted(parts.numbers)
    if not destination.is_folder:
        joined = parts.folder / f"joined{destination.path.suffix}"
        parts.join(numbers, joined)
    else:
        joined = parts.folder / "joined"
        shutil.rmtree(joined, ignore_errors=True)  # of a run that was killed here
        starts = [index for index, number in enumerate(numbers) if begins_file(number)]
        for file, (start, end) in enumerate(zip(starts, [*starts[1:], len(numbers)], strict=True)):
            parts.join(numbers[start:end], joined / f"part-{file:05}.{kind}")
    destination.publish(joined)
    parts.discard()
