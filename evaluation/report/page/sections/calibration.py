"""How honest the confidence is, and what abstaining from uncertain texts gains."""

from __future__ import annotations

import numpy as np

from evaluation.analysis.curves import Coverage, coverage_curve
from evaluation.analysis.reliability import BINS, Reliability, reliability
from evaluation.report.page.charts import Bars, Line, bar_chart, line_chart
from evaluation.report.page.contents import Contents
from evaluation.report.page.drawing import Axis, axis_around
from evaluation.report.page.elements import Section, figure, figures, paragraph, table
from evaluation.report.page.language import Language, percent

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def decision_reliability(contents: Contents, probabilities: np.ndarray) -> Reliability:
    """Return how honest the confidence of the most probable decisions is.

    Args:
        contents: the texts and their labels.
        probabilities: (texts, labels). If a text may have several labels, each pair of text and label is a decision.
    """
    label_set = contents.label_set
    decisions = label_set.decide(probabilities)
    if label_set.multi_label:
        confidences, is_right = np.maximum(probabilities, 1 - probabilities), decisions == contents.labels
        return reliability(confidences.ravel(), is_right.ravel())
    return reliability(probabilities.max(axis=1), decisions == contents.labels)


def calibration(contents: Contents, t: Language) -> Section:
    """Return the section with the reliability diagram and the expected calibration error."""
    after = decision_reliability(contents, contents.probabilities)
    found = {t("with the model's temperature", "使用模型的温度"): after}
    if contents.temperature != 1:
        before = decision_reliability(contents, contents.raw_probabilities)
        found = {t("at temperature 1", "温度为 1"): before, **found}
    errors = {name: f"{each.error:.3f}" for name, each in found.items()}
    described = t("; ", "；").join(f"{name} {error}" for name, error in errors.items())
    title = t("Reliability diagram", "可靠性图")
    diagram = line_chart(
        "reliability",
        title,
        t(
            f"Accuracy by confidence. Expected calibration error: {described}.",
            f"各置信度下的准确率。期望校准误差：{described}。",
        ),
        Axis(t("confidence", "置信度"), percent=True),
        Axis(t("accuracy", "准确率"), percent=True),
        [Line(name, each.confidence, each.accuracy, markers=True) for name, each in found.items()],
        diagonal=t("perfect", "理想"),
    )
    total = after.counts.sum()
    fractions = [Bars(name, each.counts / total) for name, each in found.items()]
    highest = max(float(bars.heights.max()) for bars in fractions)
    histogram = bar_chart(
        "confidences",
        t("Confidences", "置信度分布"),
        t("The fraction of decisions in each bin of confidence.", "各置信度区间内的判断所占比例。"),
        Axis(t("confidence", "置信度"), percent=True),
        Axis(t("decisions", "判断"), 0, 1.05 * highest, percent=True),
        after.edges,
        fractions,
    )
    several = t(
        " Each pair of text and label is a decision here, at 0.5.", "此处每一对文本与标签算作一次判断，阈值为 0.5。"
    )
    parts = [
        table(["", t("expected calibration error", "期望校准误差")], [[name, error] for name, error in errors.items()]),
        figures(figure(diagram, title), figure(histogram, t("How often each confidence occurs", "各置信度出现的频率"))),
        paragraph(
            t(
                f"The expected calibration error is the mean distance between confidence and accuracy, in {BINS} bins "
                "of confidence of equal width, weighted by their numbers of decisions (Guo et al., “On Calibration of "
                "Modern Neural Networks”, 2017). The temperature of this model is "
                f"{contents.temperature:.3g}; logits are divided by it. A point below the diagonal: the model is too "
                "sure there. A bin with few decisions says little.",
                f"期望校准误差：按置信度等宽划分为 {BINS} 个区间，取各区间内置信度与准确率之差的加权平均，"
                "权重为判断的个数（Guo 等，“On Calibration of Modern Neural Networks”，2017）。本模型的温度为 "
                f"{contents.temperature:.3g}，logit 除以该温度。点在对角线之下，"
                "表示模型在该处过于自信；判断很少的区间说明不了什么。",
            )
            + (several if contents.label_set.multi_label else ""),
            "note",
        ),
    ]
    return Section("calibration", t("Can the confidence be believed?", "置信度可信吗？"), "\n".join(parts))


def abstention(contents: Contents, t: Language) -> Section:
    """Return the section about leaving uncertain texts undecided."""
    confidences = contents.label_set.confidences(contents.probabilities, contents.decisions[contents.compared])
    curve = coverage_curve(confidences, contents.right(contents.compared))
    title = t("Accuracy of the decided texts", "已判断文本的准确率")
    chart = line_chart(
        "coverage",
        title,
        t(
            f"Accuracy falls from {percent(curve.accuracy[0])} of the surest texts to {percent(curve.accuracy[-1])} of "
            "all texts.",
            f"准确率从最有把握的文本的 {percent(curve.accuracy[0])} 变为全部文本的 {percent(curve.accuracy[-1])}。",
        ),
        Axis(t("decided texts", "已判断的文本"), percent=True),
        _accuracy_axis(curve, t),
        [Line(t("accuracy", "准确率"), curve.coverage, curve.accuracy)],
    )
    rows = []
    for wanted in COVERAGES:
        point = int(np.argmin(np.abs(curve.coverage - wanted)))
        lowest = float(curve.lowest[point])
        row = [percent(float(curve.coverage[point])), percent(float(curve.accuracy[point])), f"{lowest:.3f}"]
        if row not in rows:
            rows.append(row)
    option = t(
        "The option --abstain of application.py leaves texts undecided: ",
        "application.py 的选项 --abstain 使文本不作判断：",
    )
    if contents.label_set.is_binary:
        option += t(
            "with --abstain 0.2 0.8 those with a confidence below 0.8. The most probable label is counted here.",
            "--abstain 0.2 0.8 不判断置信度低于 0.8 的文本。此处以更可能的标签计。",
        )
    else:
        option += t(
            "with --abstain 0.8 those with a confidence below 0.8.", "--abstain 0.8 不判断置信度低于 0.8 的文本。"
        )
    header = [t("decided", "已判断"), t("accuracy", "准确率"), t("lowest confidence", "最低置信度")]
    parts = [figures(figure(chart, title), table(header, rows)), paragraph(option, "note")]
    return Section("abstention", t("Leaving uncertain texts to people", "把没把握的文本留给人"), "\n".join(parts))


def _accuracy_axis(curve: Coverage, t: Language) -> Axis:
    """Return an axis for the accuracies, without the leap of the first few texts."""
    axis = axis_around(t("accuracy", "准确率"), curve.accuracy[curve.coverage >= 0.05], percent=True)
    return axis._replace(low=max(axis.low, 0.0), high=min(axis.high, 1.0))
