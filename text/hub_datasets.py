"""Data sets read by the `datasets` library: from the Hugging Face hub, its cache, or a folder."""

import contextlib
import itertools
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from system.errors import InputError, first_line
from system.hub import endpoint, hub_answers, offline
from system.libraries import disable_telemetry
from text.tables.rows import Row, Table

HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?")

logger = logging.getLogger(__name__)


class HubId(NamedTuple):
    """The name of a data set on the hub, "owner/name", and its configuration where one is given."""

    name: str
    config: str | None

    def __str__(self) -> str:
        return f"{self.name}:{self.config}" if self.config else self.name


def parse_hub_id(source: str) -> HubId | None:
    """The hub id in "owner/name" or "owner/name:configuration"; None where it does not look like one."""
    match = HUB_ID.fullmatch(source)
    return HubId(match["name"], match["config"]) if match else None


def open_folder(folder: Path) -> Table:
    """The table in a folder: what `save_to_disk` left there, or data files that `load_dataset` knows.

    Rows are numbered from 1. Raises InputError where it cannot be read.
    """
    datasets = _import_datasets()
    saved_to_disk = (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()
    with _failing_as_input_error(f"cannot read the folder {folder} as a data set"):
        loaded = datasets.load_from_disk(folder) if saved_to_disk else datasets.load_dataset(str(folder))
    return _table(str(folder), loaded)


def open_hub(hub_id: HubId, option: str, streaming: bool = False) -> Table:
    """The table of a data set on the hub: its split "train", or its only one; rows are numbered from 1.

    With `streaming` the rows are fetched as they are asked for, else downloaded first. Where the hub does not
    answer within seconds, the copy of an earlier download serves, with a warning. `option` is the command
    line option that the error names as the way out.
    Raises InputError where there is no copy, or where the hub has no such data set or does not hand it out.
    """
    datasets = _import_datasets()
    reachable = hub_answers(f"datasets/{hub_id.name}/resolve/main/README.md")
    try:
        with contextlib.nullcontext() if reachable else offline():
            loaded = datasets.load_dataset(hub_id.name, hub_id.config, streaming=streaming)
    except datasets.exceptions.DatasetNotFoundError as error:
        reason = f"the Hugging Face hub does not have it or does not let you read it ({first_line(error)})"
        raise _not_loaded(hub_id, reason, option) from error
    except Exception as error:  # those of the dozen libraries beneath come through
        reason = f"the Hugging Face hub could not be reached at {endpoint()}"
        if reachable and not isinstance(error, ConnectionError):
            reason = f"loading it from the hub failed ({first_line(error)})"
        raise _not_loaded(hub_id, reason, option) from error
    if not reachable:
        logger.warning("the hub could not be reached: using the copy of %s downloaded earlier", hub_id)
    return _table(str(hub_id), loaded)


def _not_loaded(hub_id: HubId, reason: str, option: str) -> InputError:
    return InputError(
        f"{hub_id} is no file or folder here, and {reason}; use {option} FILE for a file of your own, "
        f"{option} sample for the sample that is included, or name another address of the hub in the "
        "environment variable HF_ENDPOINT"
    )


def _import_datasets():
    """The `datasets` library, its chatter about retries off: an InputError says what a user must know."""
    disable_telemetry()
    import datasets
    import huggingface_hub

    datasets.logging.set_verbosity_error()
    huggingface_hub.logging.set_verbosity_error()
    return datasets


@contextlib.contextmanager
def _failing_as_input_error(what: str) -> Iterator[None]:
    """Makes one sentence of an error of `datasets`, which lets through those of a dozen libraries beneath."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{what}: {first_line(error)}") from error


def _table(name: str, loaded) -> Table:
    """The table of a `Dataset`, `IterableDataset`, or dictionary of one of these by split."""
    if isinstance(loaded, dict):
        if "train" not in loaded and len(loaded) != 1:
            splits = ", ".join(loaded)
            raise InputError(f"{name} has no split 'train' but {splits}; give one of them as a file")
        loaded = loaded["train"] if "train" in loaded else next(iter(loaded.values()))
    rows = _rows(name, loaded)
    columns = loaded.column_names
    if columns is None:  # a stream of unknown columns tells them with its first row
        first = list(itertools.islice(rows, 1))
        columns = list(first[0].values) if first else []
        rows = itertools.chain(first, rows)
    return Table(name, columns, rows)


def _rows(name: str, dataset) -> Iterator[Row]:
    with _failing_as_input_error(f"cannot read on in {name}"):
        for number, values in enumerate(dataset, start=1):
            yield Row(number, values)
