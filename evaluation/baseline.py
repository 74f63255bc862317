"""The baseline that a neural model has to beat: TF-IDF of characters with logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline


def fit_tfidf_baseline(texts, labels) -> Pipeline:
    """Fit TF-IDF of single characters and pairs of characters with logistic regression.

    `texts` is a list of strings, `labels` as many 0s and 1s. Raises ValueError, from scikit-learn, for
    unequally long input, for labels of one class only, and for texts without a single character.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # Sublinear term frequencies were measured as well: the difference is within the noise of the split.
    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 2)),
        LogisticRegression(C=20, max_iter=1000),
    )
    return pipeline.fit(texts, labels)


def baseline_probabilities(train_texts, train_labels, test_texts, max_characters=None) -> np.ndarray:
    """Fit the baseline on the training texts; return the probability of each test text to be positive, `(count,)`.

    With `max_characters` both parts see only the beginning of each text: 62 is what a model reads in 64 tokens of
    single characters, two of which are special. Raises ValueError as `fit_tfidf_baseline` does, and for
    `max_characters` below 1.
    """
    if max_characters is not None and max_characters < 1:
        raise ValueError(f"max_characters must be at least 1, not {max_characters}")
    pipeline = fit_tfidf_baseline(_cut(train_texts, max_characters), train_labels)
    return pipeline.predict_proba(_cut(test_texts, max_characters))[:, 1]


def _cut(texts, max_characters) -> list[str]:
    return [text[:max_characters] for text in texts]
