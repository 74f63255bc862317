"""How the training went: the metrics of each epoch."""

from __future__ import annotations

import numpy as np

from evaluation.report.page.charts import Line, line_chart
from evaluation.report.page.contents import Contents
from evaluation.report.page.drawing import Axis, axis_around
from evaluation.report.page.elements import Section, figure, figures, paragraph
from evaluation.report.page.language import Language
from evaluation.report.plots import LOWER_IS_BETTER, VALIDATION_PREFIX

CHINESE_METRICS = {
    "loss": "损失（nat）",
    "binary_accuracy": "准确率",
    "accuracy": "准确率",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
}
ENGLISH_METRICS = {"loss": "loss (nats)", "binary_accuracy": "accuracy", "macro_f1": "macro-F1", "micro_f1": "micro-F1"}


def training(contents: Contents, t: Language) -> Section | None:
    """Return the section with the curves of the training; None without a history of several epochs."""
    history = contents.history or {}
    num_epochs = max(map(len, history.values()), default=0)
    if num_epochs < 2:
        return None
    metrics = list(dict.fromkeys(name.removeprefix(VALIDATION_PREFIX) for name in history))
    pictures = [figure(_chart(metric, history, num_epochs, t)) for metric in metrics]
    note = t(
        "If the curve of the validation gets worse while that of the training gets better, the model learns its "
        "training texts by heart.",
        "如果训练曲线变好而验证曲线变差，说明模型在死记训练文本。",
    )
    return Section("training", t("The training", "训练过程"), figures(*pictures) + paragraph(note, "note"))


def _chart(metric: str, history: dict, num_epochs: int, t: Language) -> str:
    named = metric.replace("_", " ")
    title = t(ENGLISH_METRICS.get(metric, named), CHINESE_METRICS.get(metric, named))
    curves = {
        name: np.array(history[key], np.float64)
        for name, key in ((t("training", "训练"), metric), (t("validation", "验证"), VALIDATION_PREFIX + metric))
        if len(history.get(key, ()))
    }
    validation = list(curves.values())[-1]
    best = ""
    if np.isfinite(validation).any():
        find = np.nanargmin if metric in LOWER_IS_BETTER else np.nanargmax
        epoch = int(find(np.where(np.isfinite(validation), validation, np.nan)))
        best = t(
            f"The best value is {validation[epoch]:.4g}, in epoch {epoch + 1}.",
            f"最佳值为 {validation[epoch]:.4g}，在第 {epoch + 1} 轮。",
        )
    return line_chart(
        f"training-{metric}".replace("_", "-"),
        title,
        best,
        Axis(t("epoch", "轮次"), 1, num_epochs),
        axis_around(title, np.concatenate(list(curves.values()))),
        [Line(name, np.arange(1, len(values) + 1), values, markers=True) for name, values in curves.items()],
    )
