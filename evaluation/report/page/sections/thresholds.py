"""Which threshold to use: precision, recall and F1 at each threshold, and the precision-recall curve."""

from __future__ import annotations

import numpy as np

from evaluation.analysis.curves import THRESHOLDS, ThresholdCurve, precision_recall, threshold_curve
from evaluation.report.page.charts import Line, Mark, line_chart
from evaluation.report.page.contents import Contents
from evaluation.report.page.drawing import Axis
from evaluation.report.page.elements import Section, figure, figures, paragraph, table
from evaluation.report.page.language import Language, percent
from text.labels import EVEN_THRESHOLD

MOST_CHARTED = 6
SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def thresholds(contents: Contents, t: Language) -> Section | None:
    """Return the section about thresholds; None for more than two labels of which a text has one, and without texts."""
    label_set, names = contents.label_set, contents.names(t.code)
    if not (label_set.is_binary or label_set.multi_label):
        return None
    labels = [1] if label_set.is_binary else contents.most_frequent(MOST_CHARTED)
    pictures, curves = [], {}
    for label in labels:
        if not contents.counts[label]:
            continue
        curves[label] = threshold_curve(contents.truth[:, label] == 1, contents.probabilities[:, label])
        threshold = float(np.broadcast_to(contents.threshold, len(names))[label])
        pictures.append(figure(_chart(label, names[label], curves[label], threshold, t), names[label]))
    if not curves:
        return None
    parts = [figures(*pictures)]
    if label_set.is_binary:
        parts.append(_table(contents, curves[1], t))
    elif len(labels) < len(names):
        note = t(
            f"The {len(labels)} most frequent of {len(names)} labels.",
            f"{len(names)} 个标签中最常见的 {len(labels)} 个。",
        )
        parts.append(paragraph(note, "note"))
    parts.append(
        paragraph(
            t(
                "A higher threshold gives the label to fewer texts: precision usually rises, recall falls. A threshold "
                "that is chosen on the texts of a test looks better than it is; choose it on other texts. "
                "application.py --threshold sets it; --threshold auto takes the best one of the validation texts.",
                "阈值越高，得到该标签的文本越少：精确率通常上升，召回率下降。在测试文本上挑选的阈值看上去会比实际更好，请在别的文本上"
                "挑选。application.py --threshold 设定阈值；--threshold auto 使用验证文本上的最佳阈值。",
            ),
            "note",
        )
    )
    return Section("thresholds", t("Which threshold?", "该用哪个阈值？"), "\n".join(parts))


def _chart(label: int, name: str, curve: ThresholdCurve, threshold: float, t: Language) -> str:
    best = int(np.argmax(curve.f1))
    marks = [Mark(threshold, t(f"application: {threshold:.3g}", f"应用程序：{threshold:.3g}"))]
    if threshold != EVEN_THRESHOLD:
        marks.append(Mark(EVEN_THRESHOLD, "0.5"))
    return line_chart(
        f"threshold-{label}",
        t(f"Threshold of {name}", f"{name}的阈值"),
        t(
            f"Precision, recall and F1 over the threshold. The best F1, {curve.f1[best]:.3f}, is at "
            f"{THRESHOLDS[best]:.2f}.",
            f"精确率、召回率和 F1 随阈值的变化。最佳 F1 为 {curve.f1[best]:.3f}，在 {THRESHOLDS[best]:.2f} 处。",
        ),
        Axis(t("threshold", "阈值")),
        Axis(""),
        [
            Line(t("precision", "精确率"), THRESHOLDS, curve.precision),
            Line(t("recall", "召回率"), THRESHOLDS, curve.recall),
            Line("F1", THRESHOLDS, curve.f1),
        ],
        marks,
    )


def _table(contents: Contents, curve: ThresholdCurve, t: Language) -> str:
    """Return the metrics at some thresholds, for two labels."""
    second, is_second = contents.probabilities[:, 1], contents.labels == 1
    name = contents.names(t.code)[1]
    best = float(THRESHOLDS[int(np.argmax(curve.f1))])
    remarks = {contents.threshold: [t("application", "应用程序")]}
    remarks.setdefault(best, []).append(t("best F1 on these texts", "这些文本上最佳 F1"))
    shown = np.array(sorted({*SHOWN, *remarks}))
    at_shown = threshold_curve(is_second, second, shown)
    rows = []
    for threshold, precision, recall, f1 in zip(shown.tolist(), *map(np.ndarray.tolist, at_shown), strict=True):
        predicted = second >= threshold
        cells = map(percent, (float((predicted == is_second).mean()), precision, recall))
        rows.append(
            [
                f"{threshold:.4g}",
                *cells,
                f"{f1:.3f}",
                percent(float(predicted.mean())),
                t.join(remarks.get(threshold, [])),
            ]
        )
    header = [t("Threshold", "阈值"), t("accuracy", "准确率"), t("precision", "精确率"), t("recall", "召回率"), "F1"]
    header += [t(f"texts that get “{name}”", f"判为“{name}”的文本"), ""]
    return table(header, rows, t(f"Precision, recall and F1 of “{name}”", f"“{name}”的精确率、召回率和 F1"))


def precision_recall_curves(contents: Contents, t: Language) -> Section | None:
    """Return the section with the precision-recall curve of each label, of many labels of the most frequent ones.

    None if no text has a label.
    """
    names = contents.names(t.code)
    occurring = [label for label in contents.most_frequent(len(names)) if contents.counts[label]]
    if not occurring:
        return None
    curves = {
        label: precision_recall(contents.truth[:, label] == 1, contents.probabilities[:, label]) for label in occurring
    }
    charted = [label for label in contents.most_frequent(MOST_CHARTED) if label in curves]
    title = t("Precision at each recall", "各召回率下的精确率")
    averages = t.join([f"{names[label]} {curves[label].average_precision:.3f}" for label in charted])
    chart = line_chart(
        "precision-recall",
        title,
        t(f"Average precision: {averages}.", f"平均精确率：{averages}。"),
        Axis(t("recall", "召回率"), percent=True),
        Axis(t("precision", "精确率"), percent=True),
        [Line(names[label], curves[label].recall, curves[label].precision) for label in charted],
    )
    header = [t("Label", "标签"), t("average precision", "平均精确率"), t("of chance", "随机水平")]
    count = len(contents.texts)
    rows = [
        [names[label], f"{curves[label].average_precision:.3f}", f"{contents.counts[label] / count:.3f}"]
        for label in occurring
    ]
    note = t(
        "Each label against all others, by its probability. The average precision of chance is the fraction of the "
        "texts that have the label.",
        "每个标签对其余标签，按其概率排序。随机水平的平均精确率即有该标签的文本所占比例。",
    )
    parts = [figures(figure(chart, title), table(header, rows)), paragraph(note, "note")]
    return Section("precision-recall", t("Precision against recall", "精确率与召回率"), "\n".join(parts))
