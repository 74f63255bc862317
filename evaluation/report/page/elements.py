"""The elements of the report page: sections, paragraphs, tables and figures, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from system.output.page import escaped

STYLE = """
body { max-width: 58rem; margin: 1rem auto 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; border-bottom: 2px solid #0072b2; padding-bottom: .2rem; margin: 2.4rem 0 .8rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p, li { max-width: 46rem; }
a { color: #005a92; }
nav { border: 1px solid #ccc; border-radius: .4rem; padding: .6rem 1rem; margin: 1rem 0; }
nav ol { columns: 15rem; margin: .3rem 0; padding-left: 1.4rem; }
nav li { break-inside: avoid; }
.note { color: #555; font-size: .88rem; }
.verdict { list-style: none; padding: 0; margin: .8rem 0; }
.verdict li { border-left: .35rem solid #555; background: #f5f6f7; padding: .5rem .8rem; margin: .5rem 0; }
.verdict .good { border-color: #009e73; }
.verdict .unsure { border-color: #e69f00; border-left-style: dashed; }
.verdict .bad { border-color: #d55e00; border-left-style: double; }
.verdict b { margin-right: .3em; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid #ddd; padding: .32rem .6rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; white-space: normal; min-width: 4em; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 400; white-space: normal; min-width: 6em; max-width: 16em; overflow-wrap: break-word; }
.matrix thead th + th { text-align: center; }
.matrix td { text-align: center; min-width: 3em; border: 1px solid #fff; }
.matrix .right { outline: 2px solid #222; outline-offset: -3px; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: flex-start; }
figure { margin: .6rem 0; flex: 1 1 20rem; max-width: 28rem; min-width: 0; }
figcaption { font-size: .88rem; color: #444; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; font-family: system-ui, sans-serif; }
article { border-top: 1px solid #ddd; padding: .7rem 0; }
article h3 { font-size: 1rem; font-weight: 600; margin: 0 0 .3rem; overflow-wrap: anywhere; }
article p { margin: .2rem 0; white-space: pre-wrap; }
mark { color: inherit; border-radius: .15em; padding: .05em 0; }
mark.strong { text-decoration: underline 2px; text-underline-offset: .25em; }
mark.strong.against { text-decoration-style: dotted; }
* { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media (max-width: 30rem) {
 body { margin-top: .2rem; font-size: 15px; }
 h1 { font-size: 1.35rem; }
 th, td { padding: .3rem .4rem; }
 td { white-space: normal; }
 tbody th { min-width: 4em; }
}
@media print {
 body { font-size: 10pt; max-width: none; margin: 0; }
 h2, h3 { break-after: avoid; }
 figure, table, article, .verdict li { break-inside: avoid; }
 .scroll { overflow: visible; }
 table { font-size: .8rem; }
 th, td { padding: .2rem .3rem; }
 td { white-space: normal; }
 tbody th { min-width: 3em; }
 nav { display: none; }
 a { color: inherit; text-decoration: none; }
}
"""


class Section(NamedTuple):
    """A section of the page.

    Attributes:
        identifier: its anchor.
        title: plain text.
        body: HTML.
    """

    identifier: str
    title: str
    body: str

    def to_html(self) -> str:
        """Return the section as HTML."""
        return f'<section id="{self.identifier}">\n<h2>{escaped(self.title)}</h2>\n{self.body}\n</section>'


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text.

    Args:
        text: plain text.
        kind: its class, such as "note".
    """
    return f"<p{_class(kind)}>{escaped(text)}</p>"


def heading(text: str) -> str:
    """Return a heading inside a section."""
    return f"<h3>{escaped(text)}</h3>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a table of plain texts, which scrolls by itself where the screen is narrow.

    Args:
        header: the titles of the columns.
        rows: the cells of each row; the first is its title.
        caption: the title of the table.
    """
    head = "".join(f'<th scope="col">{escaped(title)}</th>' for title in header)
    body = "\n".join(
        f'<tr><th scope="row">{escaped(first)}</th>{"".join(f"<td>{escaped(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return scrolling(f"<table>{_caption(caption)}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>")


def matrix(header: Sequence[str], names: Sequence[str], counts: Sequence[Sequence[int]], caption: str) -> str:
    """Return a confusion matrix, whose cells are coloured by their fraction of the row.

    Args:
        header: the title of the rows, and those of the columns.
        names: the title of each row.
        counts: (rows, columns).
        caption: the title of the table.
    """
    head = "".join(f'<th scope="col">{escaped(title)}</th>' for title in header)
    rows = []
    for row, (name, of_row) in enumerate(zip(names, counts, strict=True)):
        cells = "".join(_cell(count, sum(of_row), is_right=row == column) for column, count in enumerate(of_row))
        rows.append(f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>')
    body = "\n".join(rows)
    return scrolling(
        f'<table class="matrix">{_caption(caption)}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'
    )


def _cell(count: int, total: int, *, is_right: bool) -> str:
    fraction = count / total if total else 0.0
    colour = "#fff" if fraction > 0.6 else "#000"
    kind = ' class="right"' if is_right else ""
    style = f"background: rgb(0 90 146 / {0.06 + 0.9 * fraction:.2f}); color: {colour}"
    return f'<td{kind} style="{style}">{count:,}<br><small>{fraction:.0%}</small></td>'


def scrolling(content: str) -> str:
    """Return HTML that scrolls from left to right where it is wider than the screen."""
    return f'<div class="scroll" tabindex="0">{content}</div>'


def figure(svg: str, caption: str = "") -> str:
    """Return a picture with a caption of plain text."""
    text = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{text}</figure>"


def figures(*pictures: str) -> str:
    """Return pictures side by side, where there is room."""
    return f'<div class="figures">{"".join(pictures)}</div>'


def _caption(text: str) -> str:
    return f"<caption>{escaped(text)}</caption>" if text else ""


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
