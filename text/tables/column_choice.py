"""The choice of a column of a table, by its name or by the usual names."""

from system.errors import InputError
from text.tables.rows import Table

COLUMNS_SHOWN = 20
COLUMN_CHARACTERS_SHOWN = 40


def choose_column(table: Table, wanted: str | None, usual_names: tuple[str, ...], kind: str) -> str:
    """Return the name of a column: the wanted one, or the first of the usual ones.

    Args:
        wanted: the name of the column, or None.
        usual_names: the names to look for, in any case, if `wanted` is None.
        kind: "text", "label" or "group", for the error message.

    Raises:
        InputError: there is no such column, or there are several of that name.
    """
    if wanted is None:
        by_name = {column.strip().lower(): column for column in reversed(table.columns)}
        chosen = next((by_name[name] for name in usual_names if name in by_name), None)
    else:
        chosen = wanted if wanted in table.columns else None
    if chosen is not None and f"{chosen} (2)" not in table.columns:
        return chosen
    if _looks_binary(table):
        raise InputError(f"{table.name} does not look like a text file: it has NUL bytes; save it as text in UTF-8")
    number = "no" if chosen is None else "more than one"
    described = f"column {wanted!r}" if wanted is not None else f"{kind} column (usual names: {', '.join(usual_names)})"
    columns = ", ".join(repr(column[:COLUMN_CHARACTERS_SHOWN]) for column in table.columns[:COLUMNS_SHOWN])
    raise InputError(f"{table.name} has {number} {described}; its columns are {columns}; name one with --{kind}-column")


def _looks_binary(table: Table) -> bool:
    """Return whether a table was read from a file with NUL bytes whose header is not readable either."""
    if table.file is None or not table.file.has_nul:
        return False
    return table.file.undecodable is not None or not "".join(table.columns).isprintable()
