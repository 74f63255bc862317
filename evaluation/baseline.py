"""The baseline that a neural model has to beat: TF-IDF of characters with logistic regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from evaluation.metrics import classification_metrics
from evaluation.multi_label import best_thresholds
from system.output.display import progress
from text.dataset.splits import joined_text_weights
from text.labels import LabelSet

if TYPE_CHECKING:
    from scipy.sparse import spmatrix
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    from text.dataset.splits import Split, Splits

ClassWeight = Literal["balanced"] | None
CHARACTERS = {"analyzer": "char", "ngram_range": (1, 2)}
# More accurate, by 0.6 points in five folds of the hotel reviews, but twice as slow; used for teachers only.
TEACHER_CHARACTERS = {"analyzer": "char", "ngram_range": (1, 3), "min_df": 2, "sublinear_tf": True}
LOGISTIC_REGRESSION = {"C": 20, "max_iter": 1000}
MAX_WEIGHTS = 5_000_000  # of more than two labels, where the solver needs ten times their memory
ABSENT_LABEL_LOGIT = -100.0  # of a label without a training text: its probability is practically zero


class TestedBaseline(NamedTuple):
    """The baseline on the texts of a test.

    Attributes:
        logits: (texts, outputs).
        class_weight: "balanced" if it was better on the validation split.
        threshold: the threshold of each label if a text may have several labels and these are better than 0.5 on the
            validation split; else None.
    """

    logits: np.ndarray
    class_weight: ClassWeight
    threshold: tuple[float, ...] | None = None


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
    text_weights: np.ndarray | None = None,
    features: Mapping[str, Any] = CHARACTERS,
) -> np.ndarray:
    """Fit the baseline on the training texts; return its logits, (texts, outputs), for `texts`.

    Args:
        train_labels: (train texts,), the index of each text's label. One of more than two labels may be absent. If a
            text may have several labels: 1 where it has a label, else 0, (train texts, labels).
        max_characters: truncate each text to that many characters. A model of single characters reads 62 of them in
            64 tokens, two of which are special. None: whole texts.
        class_weight: "balanced" gives each label the same total weight, None each text.
        text_weights: the weight of each training text, (train texts,); None for the same.
        features: arguments of `TfidfVectorizer`; "min_df" is 1 where no n-gram is in so many texts.

    Raises:
        ValueError: as `fit_tfidf_baseline`, or `max_characters` is below 1.
    """
    if max_characters is not None and max_characters < 1:
        raise ValueError(f"max_characters must be at least 1, not {max_characters}")
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(**features, max_features=_max_features(len(label_set.names)))
    known_texts = [text[:max_characters] for text in train_texts]
    try:
        known = vectorizer.fit_transform(known_texts)
    except ValueError:  # few short texts may share no n-gram, and then none reaches `min_df`
        known = vectorizer.set_params(min_df=1).fit_transform(known_texts)
    unknown = vectorizer.transform([text[:max_characters] for text in texts])
    return _fitted_logits(label_set, known, np.asarray(train_labels), unknown, class_weight, text_weights)


def baseline_test_logits(splits: Splits) -> TestedBaseline:
    """Fit the baseline on the training and the validation split; return its logits for the test splits of all sets.

    More than two labels get the class weight with the better macro-F1 on the validation split, after a training on the
    training split alone; if a text may have several labels, these also get thresholds in the way of the model, where
    they help. Each text is counted once for all of that.

    Raises:
        ValueError: as `fit_tfidf_baseline`.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    label_set, train, validation = splits.test.label_set, splits.train, splits.validation
    max_features = _max_features(len(label_set.names))
    vectorizer = CountVectorizer(**CHARACTERS, max_features=max_features, dtype=np.float64)
    counts = vectorizer.fit_transform([*texts_of(train), *texts_of(validation)])
    class_weight = threshold = None
    if not label_set.is_binary:
        num_train = len(train.texts)
        class_weight, threshold = _best_settings(
            label_set, counts[:num_train], train.labels, counts[num_train:], validation.labels, train.text_weights
        )
    tfidf = TfidfTransformer()
    labels = np.concatenate([train.labels, validation.labels])
    known = tfidf.fit_transform(counts)
    features = tfidf.transform(vectorizer.transform([text for test in splits.tests for text in texts_of(test)]))
    text_weights = joined_text_weights((train, validation))
    logits = _fitted_logits(label_set, known, labels, features, class_weight, text_weights)
    return TestedBaseline(logits, class_weight, threshold)


def out_of_fold_baseline_logits(
    label_set: LabelSet,
    texts: Sequence[str],
    labels: np.ndarray,
    folds: np.ndarray,
    text_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the logits of each text, (texts, outputs), from a baseline that was trained on the texts of other folds.

    Args:
        labels: (texts,), or 1 where a text has a label, else 0, (texts, labels).
        folds: the fold of each text, (texts,); at least two different ones.
        text_weights: the weight of each text, (texts,); None for the same.

    Raises:
        ValueError: from scikit-learn, for texts without a single character.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(**CHARACTERS, max_features=_max_features(len(label_set.names)))
    features = vectorizer.fit_transform(progress(texts, "counting characters", " texts"))
    logits = np.empty((len(texts), label_set.num_outputs))
    for fold in progress(np.unique(folds), "TF-IDF: predicting each fold from the others", " folds"):
        others, held_out = folds != fold, folds == fold
        known = labels[others]
        if not label_set.multi_label and len(np.unique(known)) == 1:
            logits[held_out] = np.where(label_set.targets(known[:1]) == 1, -ABSENT_LABEL_LOGIT, ABSENT_LABEL_LOGIT)
            continue
        weights = None if text_weights is None else text_weights[others]
        logits[held_out] = _fitted_logits(label_set, features[others], known, features[held_out], None, weights)
    return logits


def texts_of(split: Split) -> list[str]:
    """Return the texts of a split, cleaned as the model cleans them."""
    return split.texts if split.cleaned is None else split.cleaned


def _best_settings(
    label_set: LabelSet,
    train_counts: spmatrix,
    train_labels: np.ndarray,
    validation_counts: spmatrix,
    validation_labels: np.ndarray,
    text_weights: np.ndarray | None,
) -> tuple[ClassWeight, tuple[float, ...] | None]:
    """Return the class weight and the thresholds with the best macro-F1 on the validation split; None if all are equal.

    Args:
        train_counts: of each n-gram in each text, (train texts, n-grams).
        train_labels: (train texts,) or (train texts, labels).
        validation_counts: (validation texts, n-grams).
        validation_labels: (validation texts,) or (validation texts, labels).
        text_weights: (train texts,), or None.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    is_known = np.asarray(train_counts.sum(axis=0)).ravel() > 0  # the n-grams of the training split
    tfidf = TfidfTransformer()
    train = tfidf.fit_transform(train_counts[:, is_known])
    validation = tfidf.transform(validation_counts[:, is_known])

    macro_f1 = {}
    for class_weight in (None, "balanced"):
        logits = _fitted_logits(label_set, train, train_labels, validation, class_weight, text_weights)
        probabilities = label_set.probabilities(logits)
        thresholds = [best_thresholds(validation_labels, probabilities)] if label_set.multi_label else []
        for threshold in (None, *thresholds):
            metrics = classification_metrics(label_set, validation_labels, probabilities, threshold)
            macro_f1[class_weight, threshold] = metrics["macro_f1"]
    return max(macro_f1, key=macro_f1.get)


def _max_features(num_labels: int) -> int | None:
    """Return the largest number of n-grams for that many labels; None for two, which need no limit."""
    return MAX_WEIGHTS // num_labels if num_labels > 2 else None


def _fitted_logits(
    label_set: LabelSet,
    known: spmatrix,
    labels: np.ndarray,
    features: spmatrix,
    class_weight: ClassWeight,
    text_weights: np.ndarray | None,
) -> np.ndarray:
    """Fit a logistic regression, or one for each of several labels, and return logits, (texts, outputs).

    Args:
        known: the features of the training texts, (train texts, n-grams).
        labels: (train texts,) or (train texts, labels).
        features: those of the texts to predict, (texts, n-grams).
        class_weight: see `baseline_logits`.
        text_weights: see `baseline_logits`.
    """
    if not label_set.multi_label:
        classifier = _logistic_regression(labels, class_weight).fit(known, labels, text_weights)
        return _logits(label_set, classifier.classes_, classifier.decision_function(features))
    logits = np.empty((features.shape[0], len(label_set.names)))
    for index, has_label in enumerate(labels.T):
        if has_label.min() == has_label.max():
            logits[:, index] = ABSENT_LABEL_LOGIT if has_label[0] == 0 else -ABSENT_LABEL_LOGIT
        else:
            classifier = _logistic_regression(has_label, class_weight, solver="newton-cg")
            logits[:, index] = classifier.fit(known, has_label, text_weights).decision_function(features)
    return logits


def _logistic_regression(
    labels: Sequence[int] | np.ndarray, class_weight: ClassWeight, solver: str | None = None
) -> LogisticRegression:
    """Return a logistic regression that is not fitted yet, for labels, (texts,)."""
    from sklearn.linear_model import LogisticRegression

    # With more than two labels newton-cg took 3 s where lbfgs took 36 s (20,000 texts, 6 labels, two cores).
    # For each of several labels it took 0.3 s instead of 2.4 s (5,000 texts).
    solver = solver or ("newton-cg" if len(np.unique(labels)) > 2 else "lbfgs")
    return LogisticRegression(**LOGISTIC_REGRESSION, class_weight=class_weight, solver=solver)


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
