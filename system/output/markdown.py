"""Tables in Markdown that are as easy to read at a terminal."""

from collections.abc import Sequence

from system.output.display import display_width, ljust, printable, rjust


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown with aligned columns: the first on the left, the others on the right.

    Args:
        rows: the cells of each line, the header first.

    Returns:
        The table, without a newline at its end.
    """
    rows = [[printable(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(display_width, column)) for column in zip(*rows, strict=True)]
    lines = [[ljust(row[0], widths[0]), *map(rjust, row[1:], widths[1:])] for row in rows]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
