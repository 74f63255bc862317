"""The baseline that a neural model has to beat: TF-IDF of characters with logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline


def fit_tfidf_baseline(texts: Sequence[str], labels: Sequence[int] | np.ndarray) -> Pipeline:
    """Fit TF-IDF of single characters and pairs of characters with logistic regression.

    Args:
        labels: (texts,), 0 or 1.

    Raises:
        ValueError: from scikit-learn, for inputs of unequal length, for labels of one class only, and for texts
            without a single character.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # Sublinear term frequencies make no difference beyond the noise of the split.
    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 2)),
        LogisticRegression(C=20, max_iter=1000),
    )
    return pipeline.fit(texts, labels)


def baseline_logits(
    train_texts: Sequence[str],
    train_labels: Sequence[int] | np.ndarray,
    texts: Sequence[str],
    max_characters: int | None = None,
) -> np.ndarray:
    """Fit the baseline on the training texts; return its logits, (texts, 1), for `texts`.

    Args:
        train_labels: (train texts,), 0 or 1.
        max_characters: truncate each text to that many characters. A model of single characters reads 62 of them in
            64 tokens, two of which are special. None: whole texts.

    Raises:
        ValueError: as `fit_tfidf_baseline`, or `max_characters` is below 1.
    """
    if max_characters is not None and max_characters < 1:
        raise ValueError(f"max_characters must be at least 1, not {max_characters}")
    pipeline = fit_tfidf_baseline([text[:max_characters] for text in train_texts], train_labels)
    return pipeline.decision_function([text[:max_characters] for text in texts])[:, None]
