"""The page of a label audit: the rows whose labels are in doubt, for a person to read."""

import html
import string
from collections.abc import Sequence
from typing import NamedTuple

from system.output.page import page

STYLE = """
body { max-width: 80em; }
table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid #ccc; padding: .4em .6em; text-align: left; vertical-align: top; }
th { white-space: nowrap; }
td.text { overflow-wrap: anywhere; white-space: pre-wrap; min-width: 20em; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.note { color: #595959; }
"""
WORDS = {
    "en": {
        "title": "Labels in doubt",
        "counted": "Another label is more probable for $doubted of $audited training and validation rows. This page "
        "has $shown rows, the most doubtful first.",
        "meaning": "Each probability comes from a model that has learnt from other rows only. It may be wrong itself: "
        "read the text, and decide.",
        "advice": "To correct labels, fill in the column corrected_label of $table and train with --label-corrections "
        "$table. An empty cell changes nothing; test rows are never changed.",
        "columns": "Source|Row|Text|Label|More probable|Probability of the label|Reason",
        "doubted": "other rows suggest another label",
        "copy": "the same text has the label $label in $copy",
    },
    "zh": {
        "title": "可疑的标签",
        "counted": "训练集和验证集共 $audited 行，其中 $doubted 行更可能是另一个标签。"
        "本页列出 $shown 行，最可疑的在前。",
        "meaning": "每个概率都来自只用其他行训练的模型，模型也可能出错：请阅读原文后再决定。",
        "advice": "要更正标签，请在 $table 的 corrected_label 列填写正确的标签，并在训练时加上 --label-corrections "
        "$table。留空则不改；测试集的行从不更改。",
        "columns": "来源|行号|文本|标签|更可能的标签|原标签的概率|理由",
        "doubted": "其他行支持另一个标签",
        "copy": "相同的文本在 $copy 的标签是 $label",
    },
}


class DoubtedRow(NamedTuple):
    """A row whose label is in doubt.

    Attributes:
        source: the name of the row's file or data set.
        number: its number there, as in a spreadsheet.
        text: its text.
        label: its label, or labels.
        suggested: the most probable label, or labels.
        probability: that of the given label, 0 to 1.
        reasons: why the row is listed, in words.
    """

    source: str
    number: int
    text: str
    label: str
    suggested: str
    probability: float
    reasons: str


def reasons_in(language: str, *, is_doubted: bool, copy: str | None, label_of_copy: str) -> str:
    """Return why a row is listed.

    Args:
        language: "en" or "zh".
        is_doubted: whether another label is more probable.
        copy: the place of a copy with another label; None without one.
        label_of_copy: the label of that copy.
    """
    words, reasons = WORDS[language], []
    if copy is not None:
        reasons.append(string.Template(words["copy"]).substitute(copy=copy, label=label_of_copy))
    if is_doubted:
        reasons.append(words["doubted"])
    return "; ".join(reasons)


def label_audit_page(rows: Sequence[DoubtedRow], audited: int, doubted: int, table: str, language: str) -> str:
    """Return the HTML page of a label audit, without a script.

    Args:
        rows: the rows to show, in their order.
        audited: the number of rows that were audited.
        doubted: the number of rows for which another label is more probable.
        table: the name of the file with the same rows and a column to fill in.
        language: "en" or "zh".
    """
    words = WORDS[language]
    counts = {"audited": f"{audited:,}", "doubted": f"{doubted:,}", "shown": f"{len(rows):,}"}
    notes = [string.Template(words[name]).substitute(counts, table=table) for name in ("counted", "meaning", "advice")]
    header = "".join(f"<th>{html.escape(name)}</th>" for name in words["columns"].split("|"))
    body = "\n".join(_row(row) for row in rows)
    return page(
        words["title"],
        f"<h1>{html.escape(words['title'])}</h1>\n"
        + "\n".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
        + f"\n<table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>",
        STYLE,
        language=language,
    )


def _row(row: DoubtedRow) -> str:
    source, text, label, suggested, reasons = map(
        html.escape, (row.source, row.text, row.label, row.suggested, row.reasons)
    )
    return (
        f'<tr><td>{source}</td><td class="number">{row.number:,}</td><td class="text">{text}</td><td>{label}</td>'
        f'<td>{suggested}</td><td class="number">{row.probability:.3f}</td><td>{reasons}</td></tr>'
    )
