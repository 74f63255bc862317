"""The mistakes of which the model was most sure, with the words that caused them."""

from __future__ import annotations

from evaluation.analysis.mistakes import MOST_SHOWN, Mistake, confident_mistakes
from evaluation.report.page.contents import MODEL, Contents
from evaluation.report.page.elements import Section, paragraph
from evaluation.report.page.language import Language, percent
from system.output.display import progress
from system.output.page import escaped

LONGEST_EXCERPT = 400  # characters


def errors(contents: Contents, t: Language) -> Section:
    """Return the section with the most confident mistakes."""
    mistakes = confident_mistakes(
        contents.label_set, contents.labels, contents.probabilities, contents.decisions[MODEL]
    )
    title = t("Its most confident mistakes", "最自信的错误")
    if not mistakes:
        return Section("errors", title, paragraph(t("There is no mistake.", "没有错误。")))
    introduction = t(
        f"Up to {MOST_SHOWN} mistakes, the most confident first. Some of them are mistakes of the labels.",
        f"至多 {MOST_SHOWN} 条错误，最有把握的在前。其中有些其实是标签标错了。",
    )
    if contents.compared != MODEL:
        introduction += t(
            f" Answers are those at the threshold {contents.threshold:.3g}, so a confidence may be below 50%.",
            f"判断以阈值 {contents.threshold:.3g} 为准，因此把握可能低于 50%。",
        )
    if contents.marked is not None:
        introduction += t(
            " Green with a solid underline: words that speak for the label that is named first; red with a dotted "
            "underline: words against it (each word is left out, and the change of the log-odds is measured).",
            "绿色加实线：支持首先列出的标签的词；红色加点线：反对它的词（逐个去掉词，测量对数几率的变化）。",
        )
    articles = [
        _article(contents, mistake, t)
        for mistake in progress(mistakes, t("explaining mistakes", "解释错误"), " texts", len(mistakes))
    ]
    return Section("errors", title, "\n".join([paragraph(introduction), *articles]))


def _article(contents: Contents, mistake: Mistake, t: Language) -> str:
    names, label = contents.names(t.code), mistake.label
    confidence = percent(mistake.confidence)
    if not contents.label_set.multi_label:
        true = names[int(contents.labels[mistake.row])]
        heading = t(
            f"{names[label]} ({confidence} sure), but labelled {true}",
            f"判为{names[label]}（把握 {confidence}），而标签为{true}",
        )
    elif contents.labels[mistake.row, label]:
        heading = t(f"{names[label]} was missed ({confidence} sure)", f"漏标{names[label]}（把握 {confidence}）")
    else:
        heading = t(f"{names[label]} was added ({confidence} sure)", f"多标{names[label]}（把握 {confidence}）")
    text = contents.texts[mistake.row]
    if contents.marked is not None:
        shown = contents.marked(mistake)
    else:
        shown = escaped(text[:LONGEST_EXCERPT], keep="\n\t") + ("…" if len(text) > LONGEST_EXCERPT else "")
    return f"<article><h3>{escaped(heading)}</h3><p>{shown}</p></article>"
