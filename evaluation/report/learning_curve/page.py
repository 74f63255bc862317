"""The page of a learning curve: what twice the texts would give, the chart and the table."""

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.analysis.power_law import Curve
from evaluation.report.learning_curve.wording import NO_GAIN
from evaluation.report.page.charts import Line, Mark, line_chart
from evaluation.report.page.drawing import axis_around
from evaluation.report.page.elements import STYLE, figure, paragraph, table
from evaluation.report.page.language import Language
from system.output.page import escaped, page


def learning_curve_page(
    curves: Mapping[str, Curve], metric: str, sentences: Sequence[str], rows: Sequence[Sequence[str]], t: Language
) -> str:
    """Return the HTML page of a learning curve, without a script.

    Args:
        curves: the errors of each kind of model by its name; they are 1 - metric.
        metric: the name of the metric.
        sentences: what the curve says: the introduction first.
        rows: the table, its header first.
        t: the language.
    """
    title = t("Would more labelled texts help?", "标注更多文本有用吗？")
    introduction, *others = sentences
    header, *lines = rows
    parts = [f"<h1>{escaped(title)}</h1>", *map(paragraph, others), figure(_chart(curves, metric, t)), _note(curves, t)]
    parts += [table(header, lines), paragraph(introduction, "note")]
    return page(title, "\n".join(parts), STYLE, language=t.code)


def _note(curves: Mapping[str, Curve], t: Language) -> str:
    if not any(curve.forecast for curve in curves.values()):
        return ""
    return paragraph(
        t(
            "Bars: the lowest and the highest of the draws. To the right of the vertical line: what a power "
            "law predicts, with its 95% interval if there are several draws (Figueroa et al., 2012; Hestness et al., "
            "2017).",
            "短竖线：各次抽样的最低值和最高值。长竖线右侧：幂律的预测，多次抽样时带 95% 区间（Figueroa 等，2012；"
            "Hestness 等，2017）。",
        ),
        "note",
    )


def _chart(curves: Mapping[str, Curve], metric: str, t: Language) -> str:
    lines = [_line(name, curve) for name, curve in curves.items() if len(curve.num_texts)]
    sizes = np.concatenate([line.x for line in lines])
    values = np.concatenate([each for line in lines for each in (line.low, line.high)])
    largest = max(int(curve.num_texts.max()) for curve in curves.values() if len(curve.num_texts))
    return line_chart(
        "learning-curve",
        t(f"{metric} by the number of training texts", f"{metric} 与训练文本数量的关系"),
        t(
            "The numbers are in the table, and the forecast in the sentences of the page.",
            "数值见表格，预测见本页的文字。",
        ),
        axis_around(t("training texts", "训练文本数"), sizes, log_x=True),
        axis_around(metric, values),
        lines,
        [Mark(largest, t("all training texts", "全部训练文本"))],
    )


def _line(name: str, curve: Curve) -> Line:
    """Return the mean of each size with the lowest and the highest run, and at last the forecast with its interval."""
    sizes = np.unique(curve.num_texts)
    scores = [1 - curve.errors[curve.num_texts == size] for size in sizes]
    means, lows, highs = ([float(of(each)) for each in scores] for of in (np.mean, np.min, np.max))
    forecast = curve.forecast
    if forecast and forecast.gain >= NO_GAIN:
        expected = 1 - forecast.error_at_target
        low, high = (1 - error for error in reversed(forecast.error_interval or [1 - expected] * 2))
        sizes, means = [*sizes, forecast.target], [*means, expected]
        lows, highs = [*lows, low], [*highs, high]
    return Line(name, np.array(sizes, np.float64), means, np.array(lows), np.array(highs), markers=True)
