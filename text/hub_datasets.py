"""Data sets read by the `datasets` library: from the Hugging Face hub, its cache, or a folder."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from system.errors import InputError, first_line
from system.hub import endpoint, hub_answers, offline
from system.libraries import disable_telemetry
from system.output.logs import printable_logger
from text.tables.rows import Row, Table

if TYPE_CHECKING:
    import datasets

TRAIN = "train"
HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?")

logger = printable_logger(__name__)


class HubId(NamedTuple):
    """The name of a data set on the hub, "owner/name", and its configuration, or None."""

    name: str
    config: str | None

    def __str__(self) -> str:
        return f"{self.name}:{self.config}" if self.config else self.name


def parse_hub_id(source: str) -> HubId | None:
    """Parse "owner/name" or "owner/name:configuration"; return None for anything else."""
    match = HUB_ID.fullmatch(source)
    return HubId(match["name"], match["config"]) if match else None


def open_folder(folder: Path, splits: Sequence[str] = (TRAIN,)) -> Table:
    """Return the table in a folder, which `save_to_disk` wrote or which holds data files for `load_dataset`.

    Rows are numbered from 1.

    Args:
        splits: the names of the split to read; the first one that there is, or else the only split.

    Raises:
        InputError: the folder cannot be read.
    """
    datasets = _import_datasets()
    saved_to_disk = (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()
    with _as_input_error(f"cannot read the folder {folder} as a data set"):
        loaded = datasets.load_from_disk(folder) if saved_to_disk else datasets.load_dataset(str(folder))
    return _table(str(folder), loaded, splits)


def open_hub(hub_id: HubId, option: str, streaming: bool = False, splits: Sequence[str] = (TRAIN,)) -> Table:
    """Return the table of a split of a data set on the hub.

    Rows are numbered from 1. If the hub does not answer within seconds, an earlier download is used, with a warning.

    Args:
        option: the command line option that gave the id, for the error message.
        streaming: whether rows are fetched as they are read, and not downloaded first.
        splits: the names of the split to read; the first one that there is, or else the only split.

    Raises:
        InputError: there is no earlier download, or the hub does not have the data set or denies access to it.
    """
    datasets = _import_datasets()
    reachable = hub_answers(f"datasets/{hub_id.name}/resolve/main/README.md")
    try:
        with contextlib.nullcontext() if reachable else offline():
            loaded = datasets.load_dataset(hub_id.name, hub_id.config, streaming=streaming)
    except datasets.exceptions.DatasetNotFoundError as error:
        reason = f"the Hugging Face hub does not have it or does not let you read it ({first_line(error)})"
        raise _not_loaded(hub_id, reason, option) from error
    except Exception as error:  # `datasets` passes on the errors of a dozen other libraries
        reason = f"the Hugging Face hub could not be reached at {endpoint()}"
        if reachable and not isinstance(error, ConnectionError):
            reason = f"loading it from the hub failed ({first_line(error)})"
        raise _not_loaded(hub_id, reason, option) from error
    if not reachable:
        logger.warning("the hub could not be reached: using the copy of %s downloaded earlier", hub_id)
    return _table(str(hub_id), loaded, splits)


def _not_loaded(hub_id: HubId, reason: str, option: str) -> InputError:
    return InputError(
        f"there is no file or folder {hub_id}, and {reason}; use {option} FILE for a file of your own, {option} "
        "sample for the included sample, or set the environment variable HF_ENDPOINT to a mirror of the hub"
    )


def _import_datasets() -> ModuleType:
    """Import `datasets` without its warnings about retries; an InputError reports what the user needs to know."""
    disable_telemetry()
    import datasets
    import huggingface_hub

    datasets.logging.set_verbosity_error()
    huggingface_hub.logging.set_verbosity_error()
    return datasets


@contextlib.contextmanager
def _as_input_error(message: str) -> Iterator[None]:
    """Raise any error of `datasets`, which passes on those of a dozen libraries, as an InputError of one line."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{message}: {first_line(error)}") from error


def split_name(name: str, split: str) -> str:
    """Return the name of a table that holds one of several splits of a source; that of the training has none."""
    return name if split == TRAIN else f"{name} ({split})"


def _table(
    name: str,
    loaded: datasets.Dataset | datasets.IterableDataset | datasets.DatasetDict | datasets.IterableDatasetDict,
    splits: Sequence[str],
) -> Table:
    others = ()
    if isinstance(loaded, dict):
        chosen = next((split for split in splits if split in loaded), None)
        if len(loaded) == 1:
            (chosen,) = loaded
        if chosen is None:
            found = ", ".join(loaded)
            raise InputError(
                f"{name} has no split {splits[0]!r}, only {found}; save one of them as a file and use that"
            )
        others = tuple(split for split in loaded if split != chosen)
        loaded, name = loaded[chosen], split_name(name, chosen) if others else name
    rows = _rows(name, loaded)
    columns = loaded.column_names
    if columns is None:  # some streams know their columns only after the first row
        first = list(itertools.islice(rows, 1))
        columns = list(first[0].values) if first else []
        rows = itertools.chain(first, rows)
    return Table(name, columns, rows, other_splits=others)


def _rows(name: str, dataset: datasets.Dataset | datasets.IterableDataset) -> Iterator[Row]:
    with _as_input_error(f"cannot read more rows of {name}"):
        for number, values in enumerate(dataset, start=1):
            yield Row(number, values)
