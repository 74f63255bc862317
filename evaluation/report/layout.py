"""The layout of the reports at the terminal: tables and boxes."""

from collections.abc import Sequence

from system.output.display import display_width, ljust, rjust

REPORT_WIDTH = 96
ROW_NAME_WIDTH = 28
LABEL_WIDTH = 40  # the longest that a label is shown
BASELINE = "TF-IDF + logistic regression"


def columns(rows: Sequence[Sequence[str]], first_width: int = ROW_NAME_WIDTH) -> str:
    """Return the lines of a table whose first row is its header: the first column on the left, the others right."""
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    first_width = max(first_width, widths[0])
    return "\n".join("  ".join([ljust(row[0], first_width), *map(rjust, row[1:], widths[1:])]) for row in rows)


def starred_box(paragraphs: Sequence[str]) -> str:
    """Return paragraphs in a box of asterisks, `REPORT_WIDTH` columns wide."""
    inner_width = REPORT_WIDTH - 4
    lines = []
    for paragraph in paragraphs:
        lines.append("")
        for word in paragraph.split():  # `textwrap` counts a Chinese character as one column
            longer = f"{lines[-1]} {word}".lstrip()
            if display_width(longer) <= inner_width:
                lines[-1] = longer
            else:
                lines.append(word)
    border = "*" * REPORT_WIDTH
    return "\n".join([border, *(f"* {ljust(line, inner_width)} *" for line in lines), border])
