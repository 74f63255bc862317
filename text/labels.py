"""The labels of a classifier: their names, the words for them in data sets, and the decision between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from system.errors import InputError

POSITIVE, NEGATIVE, UNUSABLE = 1, 0, -1
UNDECIDED = -1
UNDECIDED_NAME = "不确定"
EVEN_THRESHOLD = 0.5
POSITIVE_THRESHOLD = 0.7  # that of the original; labels made from stars lean towards the positive
LABEL_WORDS = {
    **dict.fromkeys(("true", "positive", "pos", "正面", "好评", "好評"), POSITIVE),
    **dict.fromkeys(("false", "negative", "neg", "负面", "負面", "差评", "差評"), NEGATIVE),
}
ENGLISH_NAMES = {"负面": "negative", "正面": "positive"}
LABEL_CHARACTERS_SHOWN = 40
LEAST_PROBABILITY = 1e-7
LABELS_DESCRIBED = 6
SEPARATOR = "|"  # of several labels of a text
# C0, DEL, C1, the line and paragraph separators, and half of a surrogate pair.
CONTROL_CHARACTERS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000))))

Threshold = float | Sequence[float] | np.ndarray | None


@dataclass(frozen=True)
class LabelSet:
    """The labels of a classifier, in the order of the columns of its probabilities.

    This class alone defines how many outputs the network has, what they mean, and how a probability becomes a decision.
    There are three kinds:

    - Two labels, of which a text has one, share one sigmoid output, which is the logit of the second label.
    - More labels, of which a text has one, have one softmax output each.
    - Labels of which a text may have several, or none, have one sigmoid output each (`multi_label`).

    The labels of some texts are an array of indices, int64, (texts,), or, with `multi_label`, an array of 0 and 1,
    int64, (texts, labels). So are decisions; `UNDECIDED` and `UNUSABLE` take the place of every number of a text.

    Attributes:
        names: the names of the labels, such as ("负面", "正面").
        multi_label: whether a text may have several labels, or none.

    Raises:
        InputError: there are fewer than two names, two are the same, or a name cannot be printed.
    """

    names: tuple[str, ...]
    multi_label: bool = False

    def __post_init__(self) -> None:
        are_names = all(isinstance(name, str) and name.strip() for name in self.names)
        if not are_names or len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise InputError(f"a classifier needs two or more labels with different names, not {list(self.names)}")
        # A line break or a control character in a name would break the lines of reports and of predictions.
        for name in self.names:
            if name == UNDECIDED_NAME or not CONTROL_CHARACTERS.isdisjoint(name):
                raise InputError(f"a label cannot have the name {name!r}; rename it with --label-map")
            if self.multi_label and SEPARATOR in name:
                raise InputError(
                    f"the label {name!r} contains {SEPARATOR!r}, which separates labels; rename it with --label-map"
                )

    def to_json(self) -> dict:
        """Return the labels as JSON values of a model file; "multi_label" is there only if it is true."""
        return {"labels": list(self.names)} | ({"multi_label": True} if self.multi_label else {})

    @property
    def english_names(self) -> tuple[str, ...]:
        """The names in English, if all are known: for reports and plots without Chinese characters."""
        known = [ENGLISH_NAMES[name] for name in self.names if name in ENGLISH_NAMES]
        return tuple(known) if len(known) == len(self.names) else self.names

    @property
    def is_binary(self) -> bool:
        """Whether a text has one of two labels, so that a threshold decides between them."""
        return len(self.names) == 2 and not self.multi_label

    @property
    def default_threshold(self) -> float | None:
        """The threshold of the application: the original's for sentiment, 0.5 for other pairs, else None."""
        if not self.is_binary:
            return None
        return POSITIVE_THRESHOLD if self == SENTIMENT else EVEN_THRESHOLD

    @property
    def num_outputs(self) -> int:
        """The number of outputs of the network."""
        return 1 if self.is_binary else len(self.names)

    @property
    def activation(self) -> str:
        """The activation of the network's last layer."""
        return "sigmoid" if self.is_binary or self.multi_label else "softmax"

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the targets of the network, float32, (texts, outputs).

        Args:
            labels: the labels of the texts.
        """
        if self.multi_label:
            return np.asarray(labels, np.float32)
        if self.is_binary:
            return np.asarray(labels, np.float32)[:, None]
        return np.eye(len(self.names), dtype=np.float32)[np.asarray(labels, np.int64)]

    def soft_targets(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the targets, float32, (texts, outputs), for probabilities, (texts, labels), such as a teacher's."""
        return (probabilities[:, 1:] if self.is_binary else probabilities).astype(np.float32)

    def of_targets(self, targets: np.ndarray) -> np.ndarray:
        """Return the labels of targets, (texts, outputs); of a teacher's probabilities, the most probable labels."""
        if self.multi_label:
            return (targets >= EVEN_THRESHOLD).astype(np.int64)
        if self.is_binary:
            return (targets[:, 0] >= EVEN_THRESHOLD).astype(np.int64)
        return targets.argmax(axis=1)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probability of each label, float64, (texts, labels), from logits, (texts, outputs)."""
        if self.is_binary:
            signed = np.concatenate([-logits, logits], axis=1).astype(np.float64)
            return _sigmoid(signed)
        if self.multi_label:
            return _sigmoid(np.asarray(logits, np.float64))
        exponentials = np.exp(np.asarray(logits, np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def softened(self, probabilities: np.ndarray, temperature: float) -> np.ndarray:
        """Return the probabilities of logits divided by a temperature, float64, (texts, labels).

        Args:
            probabilities: those of the logits themselves, (texts, labels).
            temperature: the divisor, above 0; above 1 it makes the probabilities more alike.
        """
        # In a file a small probability is rounded to 0, which no temperature would raise.
        probabilities = np.clip(np.asarray(probabilities, np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        if self.is_binary or self.multi_label:
            return _sigmoid((np.log(probabilities) - np.log1p(-probabilities)) / temperature)
        powers = probabilities ** (1 / temperature)
        return powers / powers.sum(axis=1, keepdims=True)

    def has_same_labels(self, other: LabelSet) -> bool:
        """Return whether other labels are these, perhaps in another order."""
        return self.multi_label == other.multi_label and set(self.names) == set(other.names)

    def in_own_order(self, logits: np.ndarray, other: LabelSet) -> np.ndarray:
        """Return logits, (texts, outputs), in the order of these labels.

        Args:
            logits: those of `other`, (texts, outputs).
            other: the same labels, perhaps in another order.
        """
        if self.names == other.names:
            return logits
        return -logits if self.is_binary else logits[:, [other.names.index(name) for name in self.names]]

    def log_odds(self, logits: np.ndarray, label: int) -> np.ndarray:
        """Return the logarithm of p / (1 - p), where p is the probability of a label, float64, (texts,).

        Args:
            logits: (texts, outputs).
            label: the index of the label.
        """
        logits = np.asarray(logits, np.float64)
        if self.is_binary:
            return logits[:, 0] if label == 1 else -logits[:, 0]
        if self.multi_label:
            return logits[:, label]
        return logits[:, label] - np.logaddexp.reduce(np.delete(logits, label, axis=1), axis=1)

    def decide(
        self,
        probabilities: np.ndarray,
        threshold: Threshold = None,
        abstain: tuple[float, float] | float | None = None,
    ) -> np.ndarray:
        """Return the labels of each text, or `UNDECIDED`.

        Args:
            probabilities: (texts, labels).
            threshold: of two labels, the lowest probability of the second one at which a text gets it. With
                `multi_label`, the lowest probability at which a text gets a label, for all labels or for each. None
                means 0.5. One of more labels has none: the most probable label is chosen.
            abstain: None decides all texts. For two labels (low, high): a text is undecided if the probability of the
                second label is between the two, both excluded. Otherwise the lowest `confidences` of a decided text.
        """
        threshold = EVEN_THRESHOLD if threshold is None else threshold
        if self.is_binary:
            second = probabilities[:, 1]
            decisions = (second >= threshold).astype(np.int64)
            if abstain is not None:
                decisions[(abstain[0] < second) & (second < abstain[1])] = UNDECIDED
            return decisions
        if self.multi_label:
            decisions = (probabilities >= np.asarray(threshold)).astype(np.int64)
        else:
            decisions = probabilities.argmax(axis=1)
        if abstain is not None:
            decisions[self.confidences(probabilities, decisions) < abstain] = UNDECIDED
        return decisions

    def confidences(self, probabilities: np.ndarray, decisions: np.ndarray) -> np.ndarray:
        """Return the probability that each decision is right, float64, (texts,).

        Of undecided texts it is that of the most probable label. With `multi_label` it is that of the least certain
        label: the lowest among the probabilities of the text's labels and 1 minus those of its other labels.

        Args:
            probabilities: (texts, labels).
            decisions: as `decide` returns them.
        """
        if self.multi_label:
            return np.where(decisions == 1, probabilities, 1 - probabilities).min(axis=1, initial=1.0)
        confidences = probabilities.max(axis=1, initial=0.0)
        is_decided = decisions != UNDECIDED
        confidences[is_decided] = probabilities[is_decided, decisions[is_decided]]
        return confidences

    def name(self, decision: int | Sequence[int] | np.ndarray) -> str:
        """Return the name of a decision; several labels are joined by `SEPARATOR`, and no label is ""."""
        is_undecided = UNDECIDED in decision if self.multi_label else decision == UNDECIDED
        return UNDECIDED_NAME if is_undecided else SEPARATOR.join(self.names_of(decision))

    def names_of(self, decision: int | Sequence[int] | np.ndarray) -> tuple[str, ...]:
        """Return the names of the labels of a decision, in the order of `names`; empty for no label and undecided."""
        if self.multi_label:
            return tuple(name for name, has in zip(self.names, decision, strict=True) if has == 1)
        return () if decision == UNDECIDED else (self.names[decision],)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))


SENTIMENT = LabelSet(("负面", "正面"))


def probability_column(label: str) -> str:
    """Return the name of the column with the probabilities of a label, in files of predictions and of soft labels."""
    return f"probability_{label}"


def describe_labels(label_set: LabelSet, labels: np.ndarray) -> str:
    """Return the fraction of the positive texts, or of the texts of each label, or of none, where there are others.

    Args:
        label_set: the labels.
        labels: those of the texts, (texts,) or (texts, labels).
    """
    if label_set == SENTIMENT:
        return f"{labels.mean():.1%} positive"
    if label_set.multi_label:
        fractions = labels.mean(axis=0)
        unlabelled = f", {(labels.sum(axis=1) == 0).mean():.1%} without a label"
    else:
        fractions = np.bincount(labels, minlength=len(label_set.names)) / len(labels)
        unlabelled = ""
    most_frequent = np.argsort(-fractions, kind="stable")[:LABELS_DESCRIBED]
    shown = ", ".join(f"{fractions[label]:.1%} {label_set.names[label]}" for label in most_frequent)
    return shown + (", …" if len(fractions) > LABELS_DESCRIBED else "") + unlabelled


def accepted_labels() -> str:
    """Return the values that `parse_sentiment` accepts, in words."""
    described = []
    for label, name in ((POSITIVE, "positive"), (NEGATIVE, "negative")):
        words = [word for word, meaning in LABEL_WORDS.items() if meaning == label]
        described.append(f"{label}, {', '.join(words)} ({name})")
    return " or ".join(described)


def parse_sentiment(label: str) -> int:
    """Return `POSITIVE` or `NEGATIVE` for a word of `LABEL_WORDS` or for 1 or 0 in any form, else `UNUSABLE`."""
    word = label.strip().lower()
    if word in LABEL_WORDS:
        return LABEL_WORDS[word]
    try:
        number = float(word)
    except ValueError:
        return UNUSABLE
    return int(number) if number in (POSITIVE, NEGATIVE) else UNUSABLE
