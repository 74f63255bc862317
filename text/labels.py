"""The labels of a classifier: their names, the words for them in data sets, and the decision between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from system.errors import InputError

POSITIVE, NEGATIVE, UNUSABLE = 1, 0, -1
UNDECIDED = -1
UNDECIDED_NAME = "不确定"
POSITIVE_THRESHOLD = 0.7  # that of the original; labels made from stars lean towards the positive
LABEL_WORDS = {
    **dict.fromkeys(("true", "positive", "pos", "正面", "好评", "好評"), POSITIVE),
    **dict.fromkeys(("false", "negative", "neg", "负面", "負面", "差评", "差評"), NEGATIVE),
}
ENGLISH_NAMES = {"负面": "negative", "正面": "positive"}
LABEL_CHARACTERS_SHOWN = 40


@dataclass(frozen=True)
class LabelSet:
    """The labels of a classifier, in the order of the columns of its probabilities.

    This class alone defines how many outputs the network has, what they mean, and how a probability becomes a decision.
    Two labels share one sigmoid output, which is the logit of the second label.

    Attributes:
        names: the names of the labels, such as ("负面", "正面").

    Raises:
        InputError: these are not two different names.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        are_names = all(isinstance(name, str) and name.strip() for name in self.names)
        if not are_names or len(self.names) != 2 or len(set(self.names)) != 2:
            raise InputError(f"a classifier has two labels with different names, not {list(self.names)}")

    @property
    def english_names(self) -> tuple[str, ...]:
        """The names in reports and plots, whose fonts may have no Chinese characters."""
        return tuple(ENGLISH_NAMES.get(name, name) for name in self.names)

    @property
    def num_outputs(self) -> int:
        """The number of outputs of the network."""
        return 1

    @property
    def activation(self) -> str:
        """The activation of the network's last layer."""
        return "sigmoid"

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the targets of the network, float32, (texts, outputs).

        Args:
            labels: the index of each text's label, (texts,).
        """
        return np.asarray(labels, np.float32)[:, None]

    def soft_targets(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the targets, float32, (texts, outputs), for probabilities, (texts, labels), such as a teacher's."""
        return probabilities[:, 1:].astype(np.float32)

    def of_targets(self, targets: np.ndarray) -> np.ndarray:
        """Return the index of the most probable label, (texts,), by targets, (texts, outputs)."""
        return (targets[:, 0] >= 0.5).astype(np.int64)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probability of each label, float64, (texts, labels), from logits, (texts, outputs)."""
        signed = np.concatenate([-logits, logits], axis=1).astype(np.float64)
        return np.exp(-np.logaddexp(0, -signed))

    def decide(
        self,
        probabilities: np.ndarray,
        threshold: float = 0.5,
        abstain: tuple[float, float] | None = None,
    ) -> np.ndarray:
        """Return the index of each text's label, or `UNDECIDED`, (texts,).

        Args:
            probabilities: (texts, labels).
            threshold: the lowest probability of the second label at which a text gets that label.
            abstain: (low, high): a text with a probability between the two, both excluded, is undecided. None decides
                all texts.
        """
        second = probabilities[:, 1]
        decisions = (second >= threshold).astype(np.int64)
        if abstain:
            decisions[(abstain[0] < second) & (second < abstain[1])] = UNDECIDED
        return decisions

    def name(self, decision: int) -> str:
        """Return the name of a decision."""
        return UNDECIDED_NAME if decision == UNDECIDED else self.names[decision]


SENTIMENT = LabelSet(("负面", "正面"))


def accepted_labels() -> str:
    """Return the values that `parse_label` accepts, in words."""
    described = []
    for label, name in ((POSITIVE, "positive"), (NEGATIVE, "negative")):
        words = [word for word, meaning in LABEL_WORDS.items() if meaning == label]
        described.append(f"{label}, {', '.join(words)} ({name})")
    return " or ".join(described)


def parse_label(value: object) -> tuple[int, str | None]:
    """Return `POSITIVE` or `NEGATIVE` and None, or `UNUSABLE` and the reason."""
    # A missing value is None in JSON, empty in CSV, and NaN, which differs from itself, in a column of floats.
    if value is None or value != value or not str(value).strip():
        return UNUSABLE, "no label"
    word = str(value).strip().lower()
    if word in LABEL_WORDS:
        return LABEL_WORDS[word], None
    try:
        number = float(word)
    except ValueError:
        number = None
    if number in (POSITIVE, NEGATIVE):
        return int(number), None
    return UNUSABLE, f"unknown label '{str(value)[:LABEL_CHARACTERS_SHOWN]}'"
