"""Whether small changes of a text change its label."""

from __future__ import annotations

from evaluation.report.page.contents import Contents
from evaluation.report.page.elements import Section, heading, paragraph, table
from evaluation.report.page.language import Language, percent
from system.output.display import shorten

MOST_WORST = 5  # of each change
EXCERPT_WIDTH = 60  # terminal columns


def robustness(contents: Contents, t: Language) -> Section | None:
    """Return the section about changed texts; None if that was not measured."""
    if not contents.robustness:
        return None
    header = [t("Change", "改动"), t("accuracy", "准确率"), t("other answers", "判断改变")]
    rows = [[each.name, percent(each.accuracy), percent(each.changed)] for each in contents.robustness]
    parts = [
        paragraph(
            t(
                "Texts are changed in a way that should not change their label, and classified again. If many answers "
                "change, the model relies on what does not matter.",
                "对文本作不应改变标签的改动，再次分类。如果许多判断改变了，说明模型依赖了无关紧要的东西。",
            )
        ),
        table(header, rows),
    ]
    for each in contents.robustness:
        if each.worst:
            parts += [heading(each.name), _worst(each.worst[:MOST_WORST], t)]
    return Section("robustness", t("Do small changes matter?", "小改动有影响吗？"), "\n".join(parts))


def _worst(changes: list, t: Language) -> str:
    header = [
        t("Text", "文本"),
        t("changed text", "改动后的文本"),
        t("label", "标签"),
        t("before", "改动前"),
        t("after", "改动后"),
    ]
    rows = [
        [
            _excerpt(change.text),
            _excerpt(change.perturbed),
            str(change.label),
            _shown(change.before),
            _shown(change.after),
        ]
        for change in changes
    ]
    return table(header, rows)


def _excerpt(text: str) -> str:
    return shorten(text[: 3 * EXCERPT_WIDTH], EXCERPT_WIDTH)


def _shown(value: float | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
