"""Where the rows of data sets come from: the set itself or the official file of a split, and which of several sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATASET, VALIDATION, TEST = "dataset", "validation", "test"
OPTION_OF = {DATASET: "--dataset", VALIDATION: "--validation-dataset", TEST: "--test-dataset"}


@dataclass(frozen=True)
class Origins:
    """The source of each row, and its number there.

    Attributes:
        names: the names of the sources, by their part: `DATASET`, then `VALIDATION` and `TEST` where a split has an
            official file.
        parts: the index in `names` of each row's source, int8, (rows,). The rows of `DATASET` come first.
        numbers: the number of each row in its source, as in a spreadsheet, int64, (rows,).
    """

    names: Mapping[str, str]
    parts: np.ndarray
    numbers: np.ndarray

    def rows_of(self, part: str) -> np.ndarray:
        """Return the rows of a part, as indices; none if the part has no source."""
        return np.flatnonzero(self.parts == list(self.names).index(part)) if part in self.names else np.zeros(0, int)

    def row_name(self, row: int) -> str:
        """Return the name of a row in messages, with its file if there are several."""
        number = f"row {self.numbers[row]:,}"
        return f"{list(self.names.values())[self.parts[row]]}, {number}" if len(self.names) > 1 else number


def unique_names(sources: Sequence[str], short_names: Sequence[str]) -> list[str]:
    """Return the short name of each source, or the source itself where several have this short name."""
    counts = Counter(short_names)
    return [short if counts[short] == 1 else source for source, short in zip(sources, short_names, strict=True)]


def groups_of_sets(sources: Sequence[str], groups: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Return the groups of each set's rows for a report on all sets, as arrays of text, (rows,).

    A row keeps the group that it has in its set, after the name of the set if another set has such a group too. A row
    without a group gets the name of its set: that of a file without its ending, of a folder, or of a data set of the
    hub.

    Args:
        sources: the source of each set, all of them different.
        groups: the groups of each set's rows; "" for a row without one.
    """
    names = unique_names(sources, [_set_name(source) for source in sources])
    named = [[group or name for group in of_set] for name, of_set in zip(names, groups, strict=True)]
    counts = Counter(group for of_set in named for group in set(of_set))

    def full_name(name: str, group: str) -> str:
        return group if counts[group] == 1 or group == name else f"{name}/{group}"

    return [np.array([full_name(name, group) for group in of_set]) for name, of_set in zip(names, named, strict=True)]


def _set_name(source: str) -> str:
    path = Path(source)
    if path.is_file():
        return path.stem
    return path.resolve().name if path.exists() else path.name
