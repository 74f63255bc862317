"""For which texts the model is better or worse: short and long ones, few and many windows, groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.analysis.intervals import fraction_interval
from evaluation.analysis.slices import MOST_GROUPS, Slice, slices_by_group, slices_by_length, slices_by_windows
from evaluation.metrics import classification_metrics
from evaluation.report.page.charts import Row, interval_chart
from evaluation.report.page.contents import BASELINE, MODEL, Contents
from evaluation.report.page.drawing import Axis
from evaluation.report.page.elements import Section, figure, figures, heading, paragraph, table
from evaluation.report.page.language import Language, percent, percent_interval
from evaluation.report.page.sections.summary import model_name

MOST_CHARTED = 15


def parts_of_test(contents: Contents, t: Language) -> Section | None:
    """Return the section with the metrics of parts of the texts; None if there is no part that is not all texts."""
    kinds = [
        ("length", t("By length in characters", "按字数"), slices_by_length(contents.texts)),
        ("windows", t("By number of windows", "按窗口数"), slices_by_windows(contents.num_windows)),
    ]
    if contents.groups is not None:
        kinds.append(("group", t("By group", "按组"), slices_by_group(contents.groups)))
    blocks = [_block(*kind, contents, t) for kind in kinds if len(kind[2]) > 1]
    if not blocks:
        return None
    note = t(
        "Intervals of the accuracy by Wilson's method (1927). An accuracy of few texts says little.",
        "准确率的区间用 Wilson 方法（1927）。文本很少时准确率说明不了什么。",
    )
    if contents.compared != MODEL:
        note += t(
            " The most probable label is counted here, at 0.5, as for TF-IDF.",
            "此处以更可能的标签计（阈值 0.5），与 TF-IDF 相同。",
        )
    if contents.groups is not None and len(np.unique(contents.groups)) > MOST_GROUPS:
        note += t(f" The {MOST_GROUPS} largest groups are shown.", f"只列出最大的 {MOST_GROUPS} 个组。")
    if contents.num_truncated:
        note += t(
            f" The model does not read {contents.num_truncated:,} of the texts to their end.",
            f"有 {contents.num_truncated:,} 条文本模型没有读完。",
        )
    return Section(
        "parts", t("For which texts is it wrong?", "在哪些文本上出错？"), "\n".join([*blocks, paragraph(note, "note")])
    )


def _block(identifier: str, title: str, slices: Sequence[Slice], contents: Contents, t: Language) -> str:
    models = [name for name in (contents.compared, BASELINE) if name in contents.decisions]
    right = [contents.right(name) for name in models]
    rows, charted = [], []
    for name, each in ((each.name or t("(none)", "（无）"), each) for each in slices):
        intervals = [fraction_interval(int(of_model[each.rows].sum()), len(each.rows)) for of_model in right]
        row = [name, f"{len(each.rows):,}", percent_interval(intervals[0]), _f1(contents, each)]
        rows.append([*row, *(percent(found.value) for found in intervals[1:])])
        charted.append(Row(name, [tuple(found) for found in intervals]))
    metric = "micro-F1" if contents.label_set.multi_label else "macro-F1"
    header = ["", t("texts", "文本"), t("accuracy", "准确率"), metric]
    header += [t("accuracy of TF-IDF", "TF-IDF 的准确率")] if len(models) > 1 else []
    charted = charted[:MOST_CHARTED]
    lowest = min(low for row in charted for _, low, _ in row.values)
    worst = min(charted, key=lambda row: row.values[0][0])
    chart = interval_chart(
        f"parts-{identifier}",
        title,
        t(
            f"The lowest accuracy is that of {worst.name}, {percent(worst.values[0][0])}.",
            f"准确率最低的是 {worst.name}，{percent(worst.values[0][0])}。",
        ),
        Axis(t("accuracy", "准确率"), np.floor(10 * lowest) / 10 if lowest < 0.95 else 0.9, 1.0, percent=True),
        [model_name(name, contents, t) for name in models],
        charted,
    )
    return heading(title) + figures(figure(chart), table(header, rows))


def _f1(contents: Contents, part: Slice) -> str:
    labels, probabilities = contents.labels[part.rows], contents.probabilities[part.rows]
    threshold = contents.threshold if contents.label_set.multi_label else None
    metrics = classification_metrics(contents.label_set, labels, probabilities, threshold)
    return f"{metrics['micro_f1' if contents.label_set.multi_label else 'macro_f1']:.3f}"
