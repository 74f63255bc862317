"""What the report page is about: a model, the texts of its test, and what follows from the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluation.analysis.intervals import Scores, bootstrap_scores, indicators
from evaluation.analysis.mistakes import Mistake
from evaluation.analysis.robustness.measurement import PerturbationResult
from evaluation.baseline import TestedBaseline
from evaluation.metrics import classification_metrics
from text.labels import EVEN_THRESHOLD, SENTIMENT, LabelSet, Threshold

# The names of the models that are compared. The model is judged at the application's thresholds; of two labels also at
# 0.5, with which it is compared, because the baseline decides there too.
MODEL, MODEL_AT_HALF, BASELINE, MAJORITY = "model", "model_at_half", "baseline", "majority"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A tested model.

    Attributes:
        model_name: the name of the model file.
        data_name: the name of the data.
        label_set: the labels of the model.
        texts: the texts.
        labels: their labels, (texts,) or (texts, labels), see `LabelSet`.
        logits: of the texts, before calibration, (texts, outputs).
        temperature: the divisor of the logits in the application.
        threshold: that of the application; None for more than two labels, of which a text has one.
        num_windows: the number of windows of each text, (texts,).
        num_truncated: how many texts the model does not read to their end.
        num_unusable: how many rows of the data have no usable text or label.
        num_training_texts: how many texts the baseline has learnt; None without a baseline.
        groups: the group of each text, (texts,); None for no groups.
        baseline: the answers of the baseline; None without training data.
        history: the metrics of each epoch of the training; None if they are not known.
        marked: returns the HTML of a text in which the words are marked that speak for and against the label of a
            mistake; None to show texts without marks.
        robustness: the results on perturbed texts, of the texts as they are first; None if that was not measured.
        num_perturbed: how many of the texts were perturbed.
    """

    model_name: str
    data_name: str
    label_set: LabelSet
    texts: Sequence[str]
    labels: np.ndarray
    logits: np.ndarray
    temperature: float
    threshold: Threshold
    num_windows: np.ndarray
    num_truncated: int = 0
    num_unusable: int = 0
    num_training_texts: int | None = None
    groups: Sequence[str] | np.ndarray | None = None
    baseline: TestedBaseline | None = None
    history: Mapping[str, Sequence[float]] | None = None
    marked: Callable[[Mistake], str] | None = None
    num_perturbed: int = 0
    robustness: Sequence[PerturbationResult] | None = None

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each label, (texts, labels), as the application gives it."""
        return self.label_set.probabilities(self.logits / self.temperature)

    @cached_property
    def raw_probabilities(self) -> np.ndarray:
        """The same before calibration, at temperature 1."""
        return self.label_set.probabilities(self.logits)

    @cached_property
    def decisions(self) -> dict[str, np.ndarray]:
        """The decisions of each model that is compared, by its name, in the form of `labels`."""
        decide = self.label_set.decide
        found = {MODEL: decide(self.probabilities, self.threshold)}
        if self.compared == MODEL_AT_HALF:
            found[MODEL_AT_HALF] = decide(self.probabilities)
        if self.baseline is not None:
            probabilities = self.label_set.probabilities(self.baseline.logits)
            found[BASELINE] = decide(probabilities, self.baseline.threshold)
        found[MAJORITY] = np.broadcast_to(self.majority, self.labels.shape)
        return found

    @property
    def compared(self) -> str:
        """Which of the decisions of the model are compared with the baseline's."""
        return MODEL_AT_HALF if self.label_set.is_binary and self.threshold != EVEN_THRESHOLD else MODEL

    @cached_property
    def majority(self) -> np.ndarray:
        """The most frequent label, as an index; of several labels 1 for those that more than half of the texts have."""
        if self.label_set.multi_label:
            return (np.mean(self.labels, axis=0) > EVEN_THRESHOLD).astype(np.int64)
        counts = np.bincount(self.labels, minlength=len(self.label_set.names))
        return np.array(len(counts) - 1 - np.argmax(counts[::-1]))  # of equal ones the last, as in the other reports

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """The metrics of each model that is compared, with those of resamples."""
        return bootstrap_scores(self.label_set, self.labels, self.decisions)

    @cached_property
    def metrics(self) -> dict:
        """The metrics of the model at the application's thresholds; see `classification_metrics`."""
        return classification_metrics(self.label_set, self.labels, self.probabilities, self.threshold)

    @cached_property
    def truth(self) -> np.ndarray:
        """1 where a text has a label, else 0, (texts, labels)."""
        return indicators(self.label_set, self.labels)

    @cached_property
    def counts(self) -> np.ndarray:
        """The number of texts with each label, (labels,)."""
        return self.truth.sum(axis=0)

    @cached_property
    def is_right(self) -> np.ndarray:
        """Whether the model decides rightly at the application's thresholds, bool, (texts,)."""
        return self.right(MODEL)

    def right(self, model: str) -> np.ndarray:
        """Return whether a model decides rightly, with exactly the labels of a text, bool, (texts,)."""
        is_equal = self.decisions[model] == self.labels
        return is_equal.all(axis=1) if self.label_set.multi_label else is_equal

    def names(self, code: str) -> tuple[str, ...]:
        """Return the names of the labels on a page in a language; positive and negative have names in both."""
        return self.label_set.english_names if code == "en" and self.label_set == SENTIMENT else self.label_set.names

    def most_frequent(self, count: int) -> list[int]:
        """Return the indices of the most frequent labels, in the order of all labels."""
        return sorted(np.argsort(-self.counts, kind="stable")[:count].tolist())
