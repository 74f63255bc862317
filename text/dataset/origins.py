"""Where the rows of a data set come from: the data set itself, or the official file of a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
