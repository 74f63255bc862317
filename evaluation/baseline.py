"""The baseline that a neural model has to beat: TF-IDF of characters with logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluation.metrics import classification_metrics
from text.labels import LabelSet

if TYPE_CHECKING:
    from scipy.sparse import spmatrix
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    from text.dataset.splits import Split, Splits

ClassWeight = Literal["balanced"] | None
CHARACTERS = {"analyzer": "char", "ngram_range": (1, 2)}
MAX_WEIGHTS = 5_000_000  # of more than two labels, where the solver needs ten times their memory
ABSENT_LABEL_LOGIT = -100.0  # of a label without a training text: its probability is practically zero


def fit_tfidf_baseline(
    texts: Sequence[str], labels: Sequence[int] | np.ndarray, class_weight: ClassWeight = None
) -> Pipeline:
    """Fit TF-IDF of single characters and pairs of characters with logistic regression.

    Args:
        labels: (texts,), the index of each text's label.
        class_weight: "balanced" gives each label the same total weight, None each text.

    Raises:
        ValueError: from scikit-learn, for inputs of unequal length, for labels of one class only, and for texts
            without a single character.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    # Sublinear term frequencies make no difference beyond the noise of the split.
    vectorizer = TfidfVectorizer(**CHARACTERS, max_features=_max_features(len(np.unique(labels))))
    pipeline = make_pipeline(vectorizer, _logistic_regression(labels, class_weight))
    return pipeline.fit(texts, labels)


def baseline_logits(
    label_set: LabelSet,
    train_texts: Sequence[str],
    train_labels: Sequence[int] | np.ndarray,
    texts: Sequence[str],
    max_characters: int | None = None,
    class_weight: ClassWeight = None,
) -> np.ndarray:
    """Fit the baseline on the training texts; return its logits, (texts, outputs), for `texts`.

    Args:
        train_labels: (train texts,), the index of each text's label. One of more than two labels may be absent.
        max_characters: truncate each text to that many characters. A model of single characters reads 62 of them in
            64 tokens, two of which are special. None: whole texts.
        class_weight: "balanced" gives each label the same total weight, None each text.

    Raises:
        ValueError: as `fit_tfidf_baseline`, or `max_characters` is below 1.
    """
    if max_characters is not None and max_characters < 1:
        raise ValueError(f"max_characters must be at least 1, not {max_characters}")
    pipeline = fit_tfidf_baseline([text[:max_characters] for text in train_texts], train_labels, class_weight)
    decisions = pipeline.decision_function([text[:max_characters] for text in texts])
    return _logits(label_set, pipeline.classes_, decisions)


def baseline_test_logits(splits: Splits) -> tuple[np.ndarray, ClassWeight]:
    """Fit the baseline on the training and the validation split; return its logits for the test split.

    More than two labels get the class weight with the better macro-F1 on the validation split, after a training on the
    training split alone. Each text is counted once for all of that.

    Returns:
        The logits, (texts, outputs), and the class weight.

    Raises:
        ValueError: as `fit_tfidf_baseline`.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    label_set, train, validation = splits.test.label_set, splits.train, splits.validation
    max_features = _max_features(len(label_set.names))
    vectorizer = CountVectorizer(**CHARACTERS, max_features=max_features, dtype=np.float64)
    counts = vectorizer.fit_transform([*_texts_of(train), *_texts_of(validation)])
    class_weight = None
    if not label_set.is_binary:
        num_train = len(train.texts)
        class_weight = _better_class_weight(
            label_set, counts[:num_train], train.labels, counts[num_train:], validation.labels
        )
    tfidf = TfidfTransformer()
    labels = np.concatenate([train.labels, validation.labels])
    classifier = _logistic_regression(labels, class_weight).fit(tfidf.fit_transform(counts), labels)
    decisions = classifier.decision_function(tfidf.transform(vectorizer.transform(_texts_of(splits.test))))
    return _logits(label_set, classifier.classes_, decisions), class_weight


def _texts_of(split: Split) -> list[str]:
    """Return the texts of a split, cleaned as the model cleans them."""
    return split.texts if split.cleaned is None else split.cleaned


def _better_class_weight(
    label_set: LabelSet,
    train_counts: spmatrix,
    train_labels: np.ndarray,
    validation_counts: spmatrix,
    validation_labels: np.ndarray,
) -> ClassWeight:
    """Return the class weight with the better macro-F1 on the validation split; None if both are equally good.

    Args:
        train_counts: of each n-gram in each text, (train texts, n-grams).
        train_labels: (train texts,).
        validation_counts: (validation texts, n-grams).
        validation_labels: (validation texts,).
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    is_known = np.asarray(train_counts.sum(axis=0)).ravel() > 0  # the n-grams of the training split
    tfidf = TfidfTransformer()
    train = tfidf.fit_transform(train_counts[:, is_known])
    validation = tfidf.transform(validation_counts[:, is_known])

    def macro_f1(class_weight: ClassWeight) -> float:
        classifier = _logistic_regression(train_labels, class_weight).fit(train, train_labels)
        logits = _logits(label_set, classifier.classes_, classifier.decision_function(validation))
        return classification_metrics(label_set, validation_labels, label_set.probabilities(logits))["macro_f1"]

    return "balanced" if macro_f1("balanced") > macro_f1(None) else None


def _max_features(num_labels: int) -> int | None:
    """Return the largest number of n-grams for that many labels; None for two, which need no limit."""
    return MAX_WEIGHTS // num_labels if num_labels > 2 else None


def _logistic_regression(labels: Sequence[int] | np.ndarray, class_weight: ClassWeight) -> LogisticRegression:
    """Return a logistic regression that is not fitted yet, for labels, (texts,)."""
    from sklearn.linear_model import LogisticRegression

    # With more than two labels newton-cg took 3 s where lbfgs took 36 s (20,000 texts, 6 labels, two cores).
    solver = "newton-cg" if len(np.unique(labels)) > 2 else "lbfgs"
    return LogisticRegression(C=20, max_iter=1000, class_weight=class_weight, solver=solver)


def _logits(label_set: LabelSet, classes: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Return logits, (texts, outputs), from the decision function of a logistic regression.

    Args:
        classes: the indices of the labels that it was trained on, in ascending order.
        decisions: (texts,) for two such labels, else (texts, such labels).
    """
    if label_set.is_binary:
        return decisions[:, None]
    if decisions.ndim == 1:
        decisions = np.stack([-decisions / 2, decisions / 2], axis=1)
    logits = np.full((len(decisions), len(label_set.names)), ABSENT_LABEL_LOGIT)
    logits[:, classes] = decisions
    return logits
