"""The verdict in plain words, and the metrics of the model beside those that it must beat."""

from __future__ import annotations

import numpy as np

from evaluation.analysis.intervals import Interval, fraction_interval, interval
from evaluation.analysis.reliability import Reliability
from evaluation.metrics import classification_metrics
from evaluation.report.page.contents import BASELINE, MAJORITY, MODEL, MODEL_AT_HALF, Contents
from evaluation.report.page.elements import Section, paragraph, table
from evaluation.report.page.language import (
    Language,
    number_interval,
    percent,
    percent_interval,
    points,
)
from evaluation.report.page.sections.calibration import decision_reliability
from system.output.page import escaped

FEW_TEXTS = 300  # with fewer, a fraction of 90% is known to 3.5 points and worse
FEW_OF_LABEL = 30
HONEST_ERROR = 0.05
GOOD, UNSURE, BAD, PLAIN = "good", "unsure", "bad", "plain"
SIGNS = {GOOD: "✓", UNSURE: "?", BAD: "✗", PLAIN: "→"}


def verdict(contents: Contents, t: Language) -> str:
    """Return the verdict as an HTML list: is the model better than simple answers, and how sure is that?"""
    items = [_quality(contents, t), _against(contents, MAJORITY, t)]
    if contents.baseline is not None:
        items.append(_against(contents, BASELINE, t))
    items.append(_sureness(contents, t))
    if len(contents.texts) >= FEW_TEXTS:
        items.append(_honesty(contents, t))
    if np.count_nonzero(contents.counts) > 1 and contents.scores[MODEL].f1[0].min() < 1:
        items.append(_weakness(contents, t))
    lines = (
        f'<li class="{kind}"><b aria-hidden="true">{SIGNS[kind]}</b>{escaped(sentence)}</li>'
        for kind, sentence in items
    )
    return f'<ul class="verdict">{"".join(lines)}</ul>'


def _headline(contents: Contents) -> str:
    """Return the name of the metric by which models are compared: several labels are rarely all right."""
    return "micro_f1" if contents.label_set.multi_label else "accuracy"


def _quality(contents: Contents, t: Language) -> tuple[str, str]:
    count = f"{len(contents.texts):,}"
    values = contents.scores[contents.compared]
    shown = percent_interval(_accuracy(contents, contents.compared))
    if contents.label_set.multi_label:
        f1 = number_interval(interval(values.micro_f1))
        return _rank(contents), t(
            f"The model gives exactly the right labels to {shown} of {count} texts; its micro-F1 is {f1}.",
            f"在 {count} 条文本中，模型对 {shown} 的文本给出了完全正确的标签；micro-F1 为 {f1}。",
        )
    if contents.compared == MODEL:
        return _rank(contents), t(
            f"The model is right in {shown} of {count} texts.", f"在 {count} 条文本中，模型判断正确的占 {shown}。"
        )
    at_application = percent_interval(_accuracy(contents, MODEL))
    return _rank(contents), t(
        f"The model is right in {shown} of {count} texts at a threshold of 0.5, and in {at_application} at "
        f"{contents.threshold:g}, the threshold of the application.",
        f"在 {count} 条文本中，阈值为 0.5 时模型判断正确的占 {shown}；使用应用程序的阈值 {contents.threshold:g} 时占 "
        f"{at_application}。",
    )


def _accuracy(contents: Contents, name: str) -> Interval:
    return fraction_interval(int(contents.right(name).sum()), len(contents.texts))


def _rank(contents: Contents) -> str:
    """Return the worst of the results of the comparisons."""
    ranks = [_compared(contents, other)[0] for other in (MAJORITY, BASELINE) if other in contents.scores]
    return max(ranks, key=[GOOD, UNSURE, BAD].index)


def _compared(contents: Contents, other: str) -> tuple[str, Interval]:
    """Return how the model compares with another one, and the difference of the two."""
    metric = _headline(contents)
    ours, theirs = (getattr(contents.scores[name], metric) for name in (contents.compared, other))
    difference = interval(ours - theirs)
    if other == MAJORITY and theirs[0] == 1:
        return UNSURE, difference
    return (GOOD if difference.low > 0 else BAD if difference.high < 0 else UNSURE), difference


def _against(contents: Contents, other: str, t: Language) -> tuple[str, str]:
    kind, difference = _compared(contents, other)
    if other == MAJORITY and contents.scores[MAJORITY].accuracy[0] == 1:
        return kind, t(
            "All of these texts have the same label, so they do not show whether the model can tell labels apart.",
            "这些文本的标签全都相同，因此看不出模型能否区分标签。",
        )
    value = float(getattr(contents.scores[other], _headline(contents))[0])
    value = f"{value:.3f}" if contents.label_set.multi_label else percent(value)
    if other == BASELINE:
        name = t("TF-IDF with logistic regression", " TF-IDF 加逻辑回归")
    else:
        answer = _majority_name(contents, t)
        name = t(f"always answering {answer}", f"一律回答{answer}")
    metric = "micro-F1" if contents.label_set.multi_label else t("accuracy", "准确率")
    span = f"{points(difference.value)} [{points(difference.low)}, {points(difference.high)}]"
    words = {
        GOOD: t(f"It is better than {name} ({metric} {value})", f"它优于{name}（{metric} {value}）"),
        UNSURE: t(
            f"It is not certainly better than {name} ({metric} {value})",
            f"不能确定它是否优于{name}（{metric} {value}）",
        ),
        BAD: t(f"It is worse than {name} ({metric} {value})", f"它不如{name}（{metric} {value}）"),
    }[kind]
    certainty = "" if kind != UNSURE else t("; the interval includes 0", "，区间包含 0")
    return kind, t(
        f"{words}: a difference of {span} percentage points{certainty}.", f"{words}：相差 {span} 个百分点{certainty}。"
    )


def _majority_name(contents: Contents, t: Language) -> str:
    names = contents.names(t.code)
    if not contents.label_set.multi_label:
        return t(f"“{names[int(contents.majority)]}”", f"“{names[int(contents.majority)]}”")
    common = [names[index] for index in np.flatnonzero(contents.majority)]
    return t.join([f"“{name}”" for name in common]) if common else t("“no label”", "“无标签”")


def _sureness(contents: Contents, t: Language) -> tuple[str, str]:
    accuracy = _accuracy(contents, contents.compared)
    half = 100 * (accuracy.high - accuracy.low) / 2
    if len(contents.texts) < FEW_TEXTS:
        return UNSURE, t(
            f"{len(contents.texts):,} texts are few: the accuracy is known to ±{half:.1f} points only. Test on more.",
            f"{len(contents.texts):,} 条文本偏少：准确率只能确定到 ±{half:.1f} 个百分点。请用更多文本测试。",
        )
    return GOOD, t(
        f"With so many texts the accuracy is known to ±{half:.1f} points, for texts like these. For texts of another "
        "kind it may be lower.",
        f"以这么多文本，准确率可确定到 ±{half:.1f} 个百分点，但仅对这一类文本而言；换一类文本可能更低。",
    )


def _honesty(contents: Contents, t: Language) -> tuple[str, str]:
    found: Reliability = decision_reliability(contents, contents.probabilities)
    error = f"{100 * found.error:.1f}"
    if found.error <= HONEST_ERROR:
        return GOOD, t(
            f"Its confidence can be taken at its word: it is off by {error} points on average (expected calibration "
            "error).",
            f"它的置信度可信：平均偏差 {error} 个百分点（期望校准误差）。",
        )
    is_sure = found.lead > 0
    return UNSURE, t(
        f"Its confidence is off by {error} points on average (expected calibration error): it is too "
        f"{'sure' if is_sure else 'cautious'} on these texts.",
        f"它的置信度平均偏差 {error} 个百分点（期望校准误差）：对这些文本它过于{'自信' if is_sure else '保守'}。",
    )


def _weakness(contents: Contents, t: Language) -> tuple[str, str]:
    f1 = np.where(contents.counts > 0, contents.scores[MODEL].f1[0], np.inf)
    label = int(np.argmin(f1))
    scores, name = contents.scores[MODEL], contents.names(t.code)[label]
    recall, precision = percent(float(scores.recall[0, label])), percent(float(scores.precision[0, label]))
    few = ""
    if contents.counts[label] < FEW_OF_LABEL:
        count = int(contents.counts[label])
        few = t(
            f" Only {count} {'text has' if count == 1 else 'texts have'} this label, which says little.",
            f"只有 {count} 条文本有此标签，难下定论。",
        )
    return PLAIN, t(
        f"It is weakest for “{name}”: it finds {recall} of these texts, and is right in {precision} of those that it "
        f"calls so.{few}",
        f"它最弱的标签是“{name}”：找出了其中 {recall} 的文本，判为该标签的文本中 {precision} 是对的。{few}",
    )


def overview(contents: Contents, t: Language) -> Section:
    """Return the section with the metrics of all texts, of the model and of what it must beat."""
    is_several = contents.label_set.multi_label
    header = ["", t("accuracy", "准确率"), t("macro-F1", "macro-F1"), *(["micro-F1"] if is_several else [])]
    header += [t("log-loss", "对数损失"), *(["ROC-AUC"] if contents.label_set.is_binary else [])]
    rows = [_row(contents, name, t) for name in (MAJORITY, BASELINE, MODEL_AT_HALF, MODEL) if name in contents.scores]
    parts = [table(header, rows)]
    accuracy = t(
        "Accuracy is the fraction of texts with exactly their labels. " if is_several else "",
        "准确率指标签完全正确的文本所占比例。" if is_several else "",
    )
    parts.append(
        paragraph(
            accuracy
            + t(
                "In brackets: 95% intervals; of the accuracy by Wilson's method (1927), of F1 from 1,000 bootstrap "
                "resamples of the texts (Efron and Tibshirani, 1993). Log-loss is in nats; lower is better.",
                "方括号内为 95% 区间：准确率用 Wilson 方法（1927），F1 由对文本的 1,000 次自助重抽样得到（Efron 与 "
                "Tibshirani，1993）。对数损失以 nat 为单位，越低越好。",
            ),
            "note",
        )
    )
    if contents.baseline is None:
        parts.append(
            paragraph(
                t(
                    "TF-IDF is not compared, because the training texts are not known here; --train FILE names them.",
                    "此处不知道训练文本，因此没有与 TF-IDF 比较；可用 --train FILE 指定。",
                ),
                "note",
            )
        )
    return Section("overview", t("All texts", "总体指标"), "\n".join(parts))


def model_name(name: str, contents: Contents, t: Language) -> str:
    """Return the name of one of the compared models for a row of a table."""
    if name == MAJORITY:
        return t(f"Always {_majority_name(contents, t)}", f"一律回答{_majority_name(contents, t)}")
    if name == BASELINE:
        return t("TF-IDF + logistic regression", "TF-IDF + 逻辑回归")
    if name == MODEL_AT_HALF:
        return t("Model at 0.5", "模型，阈值 0.5")
    if contents.label_set.is_binary:
        return t(f"Model at {contents.threshold:g}", f"模型，阈值 {contents.threshold:g}")
    return t("Model", "模型")


def _row(contents: Contents, name: str, t: Language) -> list[str]:
    scores, label_set = contents.scores[name], contents.label_set
    cells = [percent_interval(_accuracy(contents, name)), number_interval(interval(scores.macro_f1))]
    if label_set.multi_label:
        cells.append(number_interval(interval(scores.micro_f1)))
    if name == MAJORITY:
        probabilities = np.broadcast_to(contents.truth.mean(axis=0), contents.truth.shape)
    elif name == BASELINE:
        probabilities = label_set.probabilities(contents.baseline.logits)
    else:
        probabilities = contents.probabilities
    metrics = classification_metrics(label_set, contents.labels, probabilities)
    cells.append(f"{abs(metrics['log_loss']):.3f}")
    if label_set.is_binary:
        cells.append("–" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.3f}")
    return [model_name(name, contents, t), *cells]
