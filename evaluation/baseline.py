"""The baseline that a neural model has to beat: TF-IDF of characters with logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline


def fit_tfidf_baseline(texts: Sequence[str], labels: np.ndarray) -> Pipeline:
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


def baseline_logits(
    train_texts: Sequence[str],
    train_labels: np.ndarray,
    texts: Sequence[str],
    max_characters: int | None = None,
) -> np.ndarray:
    """Fit the baseline on the training texts; return its logits, (texts, 1), for `texts`.

    Args:
        train_labels: (train texts,), 0 or 1.
        max_characters: read only the beginning of each text; 62 is what a model reads in 64 tokens of single
            characters, two of which are special. None reads all.

    Raises:
        ValueError: as `fit_tfidf_baseline`, or `max_characters` is below 1.
    """
    if max_characters is not None and max_characters < 1:
        raise ValueError(f"max_characters must be at least 1, not {max_characters}")
    pipeline = fit_tfidf_baseline([text[:max_characters] for text in train_texts], train_labels)
    return pipeline.decision_function([text[:max_characters] for text in texts])[:, None]
