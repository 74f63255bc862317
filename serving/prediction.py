"""The prediction for one text, and remarks on it."""

from __future__ import annotations

from dataclasses import dataclass

NO_LABEL = "(no label)"  # shown to a person; in files and JSON the label is ""
TRUNCATED_REMARK = "(only the beginning of this long text was read)"
SPREAD_REMARK = "(only parts of this long text were read, spread from its beginning to its end)"
NOTHING_KNOWN = "the model knows no character of the text"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one text.

    Attributes:
        text: the text, unchanged.
        label: the name of the label, such as 正面, or of several, such as 愤怒|悲伤; "" if the text has none of the
            labels; None without a prediction.
        probability: a probability, 0..1; None without a prediction. Of two labels, it is that of the second one, such
            as 正面. Otherwise it is that of the most probable label.
        confidence: the probability that the decision is right; see `LabelSet.confidences`. Of an undecided text it is
            that of the most probable label, or, with `multi_label`, of the labels that the text would have.
        is_truncated: whether the text is longer than the model reads, so that its end, or parts of it, were ignored.
        problem: why there is no prediction; None if there is one.
        probabilities: the probability of each label, in the order of `Predictor.labels.names`; None without a
            prediction.
        labels: the name of each label; empty without a label, for an undecided text and without a prediction.
    """

    text: str
    label: str | None = None
    probability: float | None = None
    confidence: float | None = None
    is_truncated: bool = False
    problem: str | None = None
    probabilities: tuple[float, ...] | None = None
    labels: tuple[str, ...] = ()
