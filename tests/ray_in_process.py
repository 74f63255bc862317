"""The Ray engine without a cluster: its workers run in this process, one after the other."""

import contextlib
import functools

from serving.scoring.cluster import ray_engine
from serving.scoring.cluster.attempts import Attempts
from serving.scoring.cluster.tasks import table_of


class Dataset:
    """Takes the place of a dataset of Ray Data."""

    def __init__(self, batches):
        self._batches = batches

    def map_batches(self, function, *, fn_kwargs=None, fn_constructor_kwargs=None, **options):
        if fn_constructor_kwargs is not None:
            return Dataset(map(function(**fn_constructor_kwargs), self._batches))
        return Dataset(self._mapped(functools.partial(function, **fn_kwargs)))

    def _mapped(self, function):
        for batch in self._batches:
            results = function(batch)
            yield from results if hasattr(results, "__next__") else [results]

    def iter_batches(self, **options):
        return self._batches


class PipelineInProcess(ray_engine.Pipeline):
    """The pipeline whose workers run in this process; the last file comes first, and the last block of a file too."""

    def __init__(self, plan, actors):
        self._plan = plan
        self._lowest = self._highest = 1
        self._attempts = Attempts()

    def _per_file(self, function, **arguments):
        numbers = reversed(range(len(self._plan.files)))
        tables = Dataset(map(table_of, numbers)).map_batches(function, fn_kwargs=arguments)
        return Dataset(iter(list(tables.iter_batches())[::-1]))


def run_in_process(monkeypatch) -> None:
    """Let the Ray engine run in this process, as if its workers finished in a strange order."""
    monkeypatch.setattr(ray_engine, "Pipeline", PipelineInProcess)
    monkeypatch.setattr(ray_engine, "connected", lambda address: contextlib.nullcontext())
