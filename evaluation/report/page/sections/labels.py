"""Where the model is wrong: the metrics of each label, and which labels it confuses."""

from __future__ import annotations

import numpy as np

from evaluation.analysis.intervals import interval
from evaluation.report.page.charts import Row, interval_chart
from evaluation.report.page.contents import BASELINE, MAJORITY, MODEL, MODEL_AT_HALF, Contents
from evaluation.report.page.drawing import Axis
from evaluation.report.page.elements import Section, figure, figures, heading, matrix, paragraph, table
from evaluation.report.page.language import Language, number_interval, percent
from evaluation.report.page.sections.summary import model_name

MOST_CHARTED = 20
MOST_IN_MATRIX = 12
MOST_CONFUSIONS = 20


def label_metrics(contents: Contents, t: Language) -> Section:
    """Return the section with precision, recall and F1 of each label."""
    scores, names = contents.scores, contents.names(t.code)
    has_baseline = BASELINE in scores
    header = [t("Label", "标签"), t("texts", "文本"), t("precision", "精确率"), t("recall", "召回率"), "F1"]
    header += [t("F1 of TF-IDF", "TF-IDF 的 F1")] if has_baseline else []
    header.append(t("F1 of the majority", "多数类的 F1"))
    rows = []
    for label, name in enumerate(names):
        columns = [getattr(scores[MODEL], metric)[:, label] for metric in ("precision", "recall", "f1")]
        columns += [scores[BASELINE].f1[:, label]] if has_baseline else []
        cells = [number_interval(interval(column)) if contents.counts[label] else "–" for column in columns]
        majority = f"{scores[MAJORITY].f1[0, label]:.3f}" if contents.counts[label] else "–"
        rows.append([name, f"{contents.counts[label]:,}", *cells, majority])
    parts = [_chart(contents, t), table(header, rows)]
    parts.append(
        paragraph(
            t(
                "Precision: how many of the texts with this answer have the label. Recall: how many of the texts with "
                "the label get this answer. F1: their harmonic mean.",
                "精确率：判为该标签的文本中判对的比例。召回率：有该标签的文本中被找出的比例。F1：二者的调和平均。",
            )
            + _decided_at(contents, t),
            "note",
        )
    )
    return Section("labels", t("Each label", "各个标签"), "\n".join(parts))


def _decided_at(contents: Contents, t: Language) -> str:
    if contents.label_set.is_binary:
        return t(
            f" The decisions are those at {contents.threshold:g}, the threshold of the application.",
            f"判断取应用程序的阈值 {contents.threshold:g}。",
        )
    if contents.label_set.multi_label:
        return t(" The decisions are those at the thresholds of the application.", "判断取应用程序的阈值。")
    return ""


def _chart(contents: Contents, t: Language) -> str:
    shown, names = contents.most_frequent(MOST_CHARTED), contents.names(t.code)
    shown = [label for label in shown if contents.counts[label]]
    if not shown:
        return ""
    models = [name for name in (MODEL, BASELINE) if name in contents.scores]
    rows = [
        Row(names[label], [tuple(interval(contents.scores[model].f1[:, label])) for model in models]) for label in shown
    ]
    weakest = min(shown, key=lambda label: contents.scores[MODEL].f1[0, label])
    title = t("F1 of each label, with 95% intervals", "各标签的 F1 及 95% 区间")
    if len(names) > MOST_CHARTED:
        title += t(
            f"; the {MOST_CHARTED} most frequent of {len(names)}", f"；{len(names)} 个中最常见的 {MOST_CHARTED} 个"
        )
    chart = interval_chart(
        "label-f1",
        title,
        t(
            f"The lowest F1 is that of {names[weakest]}, {contents.scores[MODEL].f1[0, weakest]:.3f}.",
            f"F1 最低的是{names[weakest]}，{contents.scores[MODEL].f1[0, weakest]:.3f}。",
        ),
        Axis("F1", 0, 1),
        [model_name(model, contents, t) for model in models],
        rows,
    )
    return figure(chart, title)


def confusions(contents: Contents, t: Language) -> Section:
    """Return the section about which labels are confused; of several labels, which are missed and which are added."""
    title = t("What is confused with what", "哪些标签被混淆")
    if contents.label_set.multi_label:
        return Section("confusions", t("Labels that are missed or added", "漏标与多标"), _missed_and_added(contents, t))
    names = contents.names(t.code)
    if len(names) > MOST_IN_MATRIX:
        return Section("confusions", title, _most_frequent(contents, t))
    header = [t("true label", "真实标签"), *(t(f"answer {name}", f"判为{name}") for name in names)]
    models = [name for name in (MODEL_AT_HALF, MODEL) if name in contents.decisions]
    matrices = [
        matrix(header, names, _matrix(contents, model).tolist(), model_name(model, contents, t)) for model in models
    ]
    parts = [figures(*matrices)]
    if len(names) > 2:
        parts.append(_most_frequent(contents, t))
    parts.append(
        paragraph(
            t(
                "A row for each true label, a column for each answer, in texts and in fractions of the row. Framed: "
                "the right answers.",
                "每行为一个真实标签，每列为一种判断；数字为文本数及其占该行的比例。加框的为正确的判断。",
            ),
            "note",
        )
    )
    return Section("confusions", title, "\n".join(parts))


def _matrix(contents: Contents, model: str) -> np.ndarray:
    """Return the confusion matrix of a model, (labels, labels), in texts."""
    count = len(contents.label_set.names)
    cells = np.bincount(contents.labels * count + contents.decisions[model], minlength=count**2)
    return cells.reshape(count, count)


def _most_frequent(contents: Contents, t: Language) -> str:
    counts, names = _matrix(contents, MODEL), contents.names(t.code)
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    cells = np.argsort(-counts, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = [np.unravel_index(cell, counts.shape) for cell in cells if counts.flat[cell]]
    if not pairs:
        return paragraph(t("No text is confused.", "没有混淆。"))
    header = [t("true label", "真实标签"), t("answer", "判断"), t("texts", "文本"), t("of the label", "占该标签")]
    rows = [
        [names[true], names[answer], f"{counts[true, answer]:,}", percent(counts[true, answer] / totals[true])]
        for true, answer in pairs
    ]
    return heading(t("Most frequent confusions", "最常见的混淆")) + table(header, rows)


def _missed_and_added(contents: Contents, t: Language) -> str:
    truth, decided, names = contents.truth, contents.decisions[MODEL], contents.names(t.code)
    missed, added = (truth * (1 - decided)).sum(axis=0), ((1 - truth) * decided).sum(axis=0)
    header = [t("Label", "标签"), t("texts", "文本"), t("found", "找出"), t("missed", "漏标"), t("added", "多标")]
    rows = [
        [
            names[label],
            *(f"{int(each[label]):,}" for each in (contents.counts, contents.counts - missed, missed, added)),
        ]
        for label in np.argsort(-(missed + added), kind="stable").tolist()
    ]
    note = t(
        "Missed: texts that have the label and did not get it. Added: texts that got it and do not have it.",
        "漏标：有该标签而未得到的文本。多标：得到该标签而并没有的文本。",
    )
    return table(header, rows) + paragraph(note, "note")
