"""What a learning curve says, in words: what was trained, what twice the texts would give, and how sure that is."""

from evaluation.analysis.intervals import fraction_interval
from evaluation.analysis.power_law import LEAST_SIZES, Curve, Forecast
from evaluation.report.page.language import Language

NO_GAIN = 0.0005  # a smaller one is 0.0 points


def introduction(metric: str, num_texts: int, draws: int, t: Language) -> str:
    """Return what the numbers of a learning curve are.

    Args:
        metric: the name of the metric.
        num_texts: the number of validation texts.
        draws: the number of draws of each part.
        t: the language.
    """
    count = "1 draw" if draws == 1 else f"{draws} draws"
    return t(
        f"{metric[0].upper()}{metric[1:]} on the validation split, {num_texts:,} texts; mean ± standard deviation of "
        f"{count}. Nothing was tested, and no model was saved.",
        f"验证集（{num_texts:,} 条文本）上的 {metric}：{draws} 次抽样的平均值 ± 标准差。没有进行测试，也没有保存模型。",
    )


def forecast_sentence(name: str, metric: str, curve: Curve, draws: int, t: Language) -> str:
    """Return what twice the texts are expected to give.

    Args:
        name: the name of the model.
        metric: the name of the metric.
        curve: the errors of the model, which are 1 - metric.
        draws: the number of draws of each part.
        t: the language.
    """
    forecast = curve.forecast
    if forecast is None:
        sizes = len(set(curve.num_texts))
        return t(
            f"No forecast: {sizes} sizes were trained, and a power law needs {LEAST_SIZES}. Label more texts, and draw "
            "the curve again.",
            f"无法预测：只训练了 {sizes} 种规模，而幂律至少需要 {LEAST_SIZES} 种。请标注更多文本后再画曲线。",
        )
    if forecast.gain < NO_GAIN:
        return t(
            f"{name}: its {metric} does not rise measurably with the number of training texts. Either twice as many "
            f"({forecast.target:,}) would not help, or there are too few validation texts to see it.",
            f"{name}：{metric} 没有随训练文本增多而明显上升。要么训练文本加倍（{forecast.target:,} 条）也没有用，"
            "要么验证文本太少，看不出来。",
        )
    expected, today = 1 - forecast.error_at_target, 1 - forecast.error_at_largest
    points = f"{100 * forecast.gain:.1f}"
    sentence = t(
        f"{name}: with twice the training texts ({forecast.target:,}), the expected {metric} is about "
        f"{expected:.3f}{_errors_interval(forecast, t)} instead of {today:.3f}: {points} points "
        f"more{_gain_interval(forecast, t)}.",
        f"{name}：训练文本加倍（{forecast.target:,} 条）后，{metric} 预计约为 {expected:.3f}"
        f"{_errors_interval(forecast, t)}，现在为 {today:.3f}，提高 {points} 个百分点{_gain_interval(forecast, t)}。",
    )
    if draws == 1:
        sentence += t(
            " A single draw gives no interval; --learning-curve 3 gives one.",
            "只抽样一次得不到区间，--learning-curve 3 可以。",
        )
    return sentence


def _errors_interval(forecast: Forecast, t: Language) -> str:
    if forecast.error_interval is None:
        return ""
    low, high = (f"{1 - error:.3f}" for error in reversed(forecast.error_interval))
    return t(f" (95% interval {low} to {high})", f"（95% 区间 {low} 至 {high}）")


def _gain_interval(forecast: Forecast, t: Language) -> str:
    if forecast.gain_interval is None:
        return ""
    low, high = (f"{100 * gain:.1f}" for gain in forecast.gain_interval)
    is_perhaps_none = forecast.gain_interval.low < NO_GAIN
    return t(
        f" ({low} to {high}" + (", so perhaps no more at all" if is_perhaps_none else "") + ")",
        f"（{low} 至 {high}" + ("，可能完全没有提高" if is_perhaps_none else "") + "）",
    )


def uncertainty(accuracy: float, num_texts: int, t: Language) -> str:
    """Return how uncertain the number of validation texts alone makes an accuracy, which no interval above contains."""
    _, low, high = fraction_interval(round(accuracy * num_texts), num_texts)
    margin = f"{50 * (high - low):.1f}"
    return t(
        f"All accuracies are measured on the same {num_texts:,} validation texts, which alone makes each uncertain by "
        f"±{margin} points, but all sizes in much the same direction. Intervals of forecasts do not contain this.",
        f"所有准确率都在同样的 {num_texts:,} 条验证文本上测得，仅此一项就使每个准确率有 ±{margin} 个百分点的误差，"
        "但各种规模的误差方向大致相同；预测的区间不包含这一误差。",
    )
