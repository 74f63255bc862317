"""The whole report page: its title, its verdict, its table of contents and its sections."""

from __future__ import annotations

import numpy as np

from evaluation.report.page.contents import Contents
from evaluation.report.page.elements import STYLE, Section, paragraph
from evaluation.report.page.language import Language, percent
from evaluation.report.page.sections.calibration import abstention, calibration
from evaluation.report.page.sections.errors import errors
from evaluation.report.page.sections.labels import confusions, label_metrics
from evaluation.report.page.sections.parts import parts_of_test
from evaluation.report.page.sections.robustness import robustness
from evaluation.report.page.sections.summary import overview, verdict
from evaluation.report.page.sections.thresholds import precision_recall_curves, thresholds
from evaluation.report.page.sections.training import training
from system.output.display import progress
from system.output.page import escaped, page

SECTIONS = (
    overview,
    label_metrics,
    confusions,
    parts_of_test,
    errors,
    thresholds,
    precision_recall_curves,
    calibration,
    abstention,
    robustness,
    training,
)
LABELS_DESCRIBED = 6


def report_page(contents: Contents, language: str) -> str:
    """Return the report as an HTML page, which needs no other file and no script.

    Args:
        contents: the tested model.
        language: "zh" or "en".
    """
    t = Language(language)
    title = t(f"Report on {contents.model_name}", f"{contents.model_name} 的评估报告")
    made = (make(contents, t) for make in progress(SECTIONS, t("writing the report", "生成报告"), "", len(SECTIONS)))
    sections = [section for section in made if section is not None]
    body = "\n".join(
        [
            f"<header><h1>{escaped(title)}</h1>",
            paragraph(_data_line(contents, t), "note"),
            "</header>",
            f'<main>\n<section id="verdict">\n<h2>{escaped(t("Verdict", "结论"))}</h2>',
            verdict(contents, t),
            "</section>",
            _table_of_contents(sections, t),
            *(section.to_html() for section in sections),
            "</main>",
        ]
    )
    return page(title, body, STYLE, language=language)


def _data_line(contents: Contents, t: Language) -> str:
    names, shown = contents.names(t.code), np.argsort(-contents.counts, kind="stable")[:LABELS_DESCRIBED].tolist()
    fractions = [f"{names[label]} {percent(contents.counts[label] / len(contents.texts))}" for label in shown]
    described = t.join(fractions) + (" …" if len(names) > len(shown) else "")
    count, data = f"{len(contents.texts):,}", contents.data_name
    line = t(f"Tested on {count} texts of {data}: {described}.", f"测试数据：{data}，{count} 条文本（{described}）。")
    if contents.num_unusable:
        unusable = f"{contents.num_unusable:,}"
        line += t(f" {unusable} unusable rows are left out.", f"另有 {unusable} 行不可用，已略去。")
    if contents.num_training_texts is not None:
        learnt = f"{contents.num_training_texts:,}"
        line += t(f" TF-IDF has learnt {learnt} texts.", f"TF-IDF 学习了 {learnt} 条文本。")
    return line


def _table_of_contents(sections: list[Section], t: Language) -> str:
    links = "\n".join(f'<li><a href="#{section.identifier}">{escaped(section.title)}</a></li>' for section in sections)
    name = escaped(t("Contents", "目录"))
    return f'<nav aria-label="{name}"><b>{name}</b>\n<ol>\n{links}\n</ol></nav>'
