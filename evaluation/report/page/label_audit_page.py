"""The page of a label audit: the rows whose labels are in doubt, for a person to read."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from evaluation.report.page.elements import STYLE, paragraph
from evaluation.report.page.language import Language, percent
from system.output.page import escaped, page


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
    t, reasons = Language(language), []
    if copy is not None:
        reasons.append(
            t(f"the same text has the label {label_of_copy} in {copy}", f"相同的文本在 {copy} 的标签是 {label_of_copy}")
        )
    if is_doubted:
        reasons.append(t("other rows suggest another label", "其他行支持另一个标签"))
    return t("; ", "；").join(reasons)


def label_audit_page(rows: Sequence[DoubtedRow], audited: int, doubted: int, table: str, language: str) -> str:
    """Return the HTML page of a label audit, without a script.

    Args:
        rows: the rows to show, in their order.
        audited: the number of rows that were audited.
        doubted: the number of rows for which another label is more probable.
        table: the path of the file with the same rows and a column to fill in, for the next command.
        language: "en" or "zh".
    """
    t = Language(language)
    argument = shlex.quote(table)
    title = t("Labels in doubt", "可疑的标签")
    notes = (
        t(
            f"Another label is more probable for {doubted:,} of {audited:,} training and validation rows. This page "
            f"has {len(rows):,} rows, the most doubtful first.",
            f"训练集和验证集共 {audited:,} 行，其中 {doubted:,} 行更可能是另一个标签。本页列出 {len(rows):,} 行，"
            "最可疑的在前。",
        ),
        t(
            "Each probability comes from a model that has learnt from other rows only. It may be wrong itself: read "
            "the text, and decide.",
            "每个概率都来自只用其他行训练的模型，模型也可能出错：请阅读原文后再决定。",
        ),
        t(
            f"To correct labels, fill in the column corrected_label of {table} and train with --label-corrections "
            f"{argument}. An empty cell changes nothing; test rows are never changed.",
            f"要更正标签，请在 {table} 的 corrected_label 列填写正确的标签，并在训练时加上 "
            f"--label-corrections {argument}。留空则不改；测试集的行从不更改。",
        ),
    )
    body = [f"<h1>{escaped(title)}</h1>", *map(paragraph, notes), *(_article(row, t) for row in rows)]
    return page(title, "\n".join(body), STYLE, language=language)


def _article(row: DoubtedRow, t: Language) -> str:
    probability = percent(row.probability)
    if row.suggested == row.label:
        heading = t(f"{row.label} ({probability} probable)", f"{row.label}（概率 {probability}）")
    else:
        heading = t(
            f"{row.label} ({probability} probable); rather {row.suggested}?",
            f"{row.label}（概率 {probability}）；应为{row.suggested}？",
        )
    place = t(f"{row.source}, row {row.number:,}: {row.reasons}", f"{row.source} 第 {row.number:,} 行：{row.reasons}")
    text = escaped(row.text, keep="\n\t")
    return f"<article><h3>{escaped(heading)}</h3>{paragraph(place, 'note')}<p>{text}</p></article>"
