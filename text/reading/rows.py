"""What all tables have: named columns, and rows that are numbered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """One row of a table: its number as a spreadsheet shows it, its values by column, why it is unusable."""

    number: int
    values: dict[str, object]
    problem: str | None = None


@dataclass(frozen=True)
class Table:
    """The name, the columns and, once, the rows of a source."""

    name: str
    columns: list[str]
    rows: Iterator[Row]


def told_apart(columns: list[str]) -> list[str]:
    """The names, of which those that stand there before have their number after them."""
    taken, numbers, names = set(columns), {}, []
    for column in columns:
        name, number = column, numbers.get(column, 0) + 1
        # From the last number on: a spreadsheet's header may have a thousand columns without a name.
        while number > 1 and (name := f"{column} ({number})") in taken:
            number += 1
        numbers[column] = number
        taken.add(name)
        names.append(name)
    return names
