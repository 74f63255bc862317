"""Whether small changes of a text change its label."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluation.analysis.robustness.characters import FRACTION
from evaluation.analysis.robustness.measurement import ORIGINAL, ChangedVerdict
from evaluation.report.page.contents import Contents
from evaluation.report.page.elements import Section, heading, paragraph, table
from evaluation.report.page.language import Language, percent
from system.output.display import shorten

MOST_WORST = 3  # of each change
EXCERPT_WIDTH = 60  # terminal columns
CHINESE_NAMES = {
    ORIGINAL: "原文",
    "without punctuation, emoji, links, @names": "去掉标点、表情、链接和 @用户名",
    "in Traditional characters": "转为繁体",
    f"{FRACTION:.0%} homophones": f"{FRACTION:.0%} 的字换成同音字",
    f"{FRACTION:.0%} look-alikes": f"{FRACTION:.0%} 的字换成形近字",
    "clauses in another order": "打乱分句顺序",
}


def robustness(contents: Contents, t: Language) -> Section | None:
    """Return the section about perturbed texts; None if that was not measured."""
    if not contents.robustness:
        return None
    header = [t("Change", "改动"), t("accuracy", "准确率"), t("other answers", "判断改变")]
    names = [t(each.name, CHINESE_NAMES.get(each.name, each.name)) for each in contents.robustness]
    rows = [
        [name, percent(each.accuracy), "–" if each.name == ORIGINAL else percent(each.changed)]
        for name, each in zip(names, contents.robustness, strict=True)
    ]
    count, at_threshold = f"{contents.num_perturbed:,}", ""
    if contents.label_set.is_binary:
        at_threshold = t(f" at the threshold {contents.threshold:.3g}", f"，阈值 {contents.threshold:.3g}")
    if contents.num_perturbed < len(contents.texts):
        count = t(f"A random sample of {count}", f"随机抽取的 {count}")
    parts = [
        paragraph(
            t(
                f"{count} texts are changed in ways that should not change their label, and classified again"
                f"{at_threshold}. If many answers change, the model relies on what does not matter.",
                f"对 {count} 条文本作不应改变标签的改动，再次分类{at_threshold}。如果许多判断改变了，说明模型依赖了"
                "无关紧要的东西。",
            )
        ),
        table(header, rows),
    ]
    for name, each in zip(names, contents.robustness, strict=True):
        if each.worst:
            parts += [heading(name), _worst(contents, each.worst[:MOST_WORST], t)]
    parts.append(
        paragraph(
            t(
                f"Listed: up to {MOST_WORST} right answers that became wrong, the most confident ones first. Before "
                "and after: the probability that the true label is right.",
                f"列出至多 {MOST_WORST} 条由对变错的判断，最有把握的在前。改动前、改动后：模型认为真实标签正确的概率。",
            ),
            "note",
        )
    )
    return Section("robustness", t("Do small changes matter?", "小改动有影响吗？"), "\n".join(parts))


def _worst(contents: Contents, changes: Sequence[ChangedVerdict], t: Language) -> str:
    """Return a table of texts whose right verdict became a wrong one."""
    header = [
        t("Changed text", "改动后的文本"),
        t("true label", "真实标签"),
        t("before", "改动前"),
        t("after", "改动后"),
    ]
    shown_name = dict(zip(contents.label_set.names, contents.names(t.code), strict=True))
    rows = [
        [
            _excerpt(change.perturbed),
            shown_name.get(change.label, change.label or t("(none)", "（无）")),  # several labels are joined
            _shown(change.before),
            _shown(change.after),
        ]
        for change in changes
    ]
    return table(header, rows)


def _excerpt(text: str) -> str:
    # `shorten` takes quadratic time; no excerpt needs more than this.
    return shorten(text[: 3 * EXCERPT_WIDTH], EXCERPT_WIDTH)


def _shown(probability: float) -> str:
    return "–" if math.isnan(probability) else f"{probability:.3f}"
