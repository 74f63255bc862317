"""Parts of a test in which a model may be better or worse: short and long texts, few and many windows, groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LENGTHS = (20, 50, 100, 200, 500, 1000, 5000)  # the last number of characters of each part; more is the last part
WINDOWS = (1, 2, 4, 8, 16)
MOST_GROUPS = 40


class Slice(NamedTuple):
    """Some texts of a test: the name of the part, and their indices."""

    name: str
    rows: np.ndarray


def slices_by_length(texts: Sequence[str]) -> list[Slice]:
    """Return the texts by their number of characters."""
    return _by_size(np.array([len(text) for text in texts]), LENGTHS)


def slices_by_windows(num_windows: np.ndarray) -> list[Slice]:
    """Return the texts by their number of windows, (texts,)."""
    return _by_size(num_windows, WINDOWS)


def slices_by_group(groups: Sequence[str] | np.ndarray) -> list[Slice]:
    """Return the texts of each group, the largest first, at most `MOST_GROUPS` groups."""
    names, group_of, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_GROUPS]
    return [Slice(str(names[group]), np.flatnonzero(group_of == group)) for group in order]


def _by_size(sizes: np.ndarray, ends: Sequence[int]) -> list[Slice]:
    """Return the texts of each range of sizes that has some; `ends` are the last sizes of all ranges but the last."""
    part_of = np.searchsorted(ends, sizes, side="left")
    found = []
    for part in np.unique(part_of).tolist():
        first = ends[part - 1] + 1 if part else 1
        name = f"{first:,}+" if part == len(ends) else f"{first:,}–{ends[part]:,}" if first < ends[part] else f"{first}"
        found.append(Slice(name, np.flatnonzero(part_of == part)))
    return found
