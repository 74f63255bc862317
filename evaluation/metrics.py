"""The metrics of a classifier of two labels, computed from its labels and probabilities."""

from collections.abc import Sequence

import numpy as np

from text.labels import SENTIMENT

CLASS_NAMES = SENTIMENT.english_names


def binary_metrics(labels: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5) -> dict:
    """Return the metrics of predictions, as plain Python numbers that JSON can hold.

    Args:
        labels: (texts,), 0 or 1: the index of each text's label.
        probabilities: (texts, 2), within 0..1, the probability of each label.
        threshold: the lowest probability of the second label with which a text gets it.

    Returns:
        Fractions within 0..1; `log_loss` in nats a text; `confusion_matrix` [[tn, fp], [fn, tp]] in texts. `precision`,
        `recall` and `f1` are dicts by class name, with 0 where they would divide by zero. `roc_auc` is None where only
        one class occurs.

    Raises:
        ValueError: there is no text, shapes do not match, or a value is out of range.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

    labels, probabilities = _checked_labels(labels), _checked_probabilities(probabilities)
    if len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} labels do not match {len(probabilities)} probabilities")
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold must lie within 0..1, not {threshold}")

    predictions = SENTIMENT.decide(probabilities, threshold)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predictions, labels=[0, 1], zero_division=0)
    positive_fraction = float(labels.mean())
    has_both_classes = 0 < positive_fraction < 1
    return {
        "count": len(labels),
        "threshold": float(threshold),
        "accuracy": float((predictions == labels).mean()),
        "macro_f1": float(f1.mean()),
        "roc_auc": float(roc_auc_score(labels, probabilities[:, 1])) if has_both_classes else None,
        "log_loss": log_loss(labels, probabilities),
        "precision": _by_class(precision),
        "recall": _by_class(recall),
        "f1": _by_class(f1),
        "confusion_matrix": confusion_matrix(labels, predictions, labels=[0, 1]).tolist(),
        "positive_fraction": positive_fraction,
        "predicted_positive_fraction": float(predictions.mean()),
        "majority_fraction": max(positive_fraction, 1 - positive_fraction),
    }


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of -log of the probability of each text's label, in nats.

    Args:
        labels: (texts,), the index of each text's label.
        probabilities: (texts, labels).
    """
    of_label = np.take_along_axis(probabilities, np.asarray(labels)[:, None], axis=1)
    return float(-np.log(np.maximum(of_label, np.finfo(np.float64).eps)).mean())


def majority_log_loss(labels: np.ndarray) -> float:
    """Return the log-loss, in nats, of predicting for every text the frequency of each label in `labels`."""
    frequencies = np.bincount(labels) / len(labels)
    frequencies = frequencies[frequencies > 0]
    return float(-(frequencies * np.log(frequencies)).sum())


def validation_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return the validation metrics that a training prints after each epoch, under Keras' names for them."""
    return {
        "loss": log_loss(labels, probabilities),
        "binary_accuracy": float((SENTIMENT.decide(probabilities) == labels).mean()),
    }


def beats_majority(metrics: dict) -> bool:
    """Return whether the predictions are right strictly more often than always predicting the majority class.

    Args:
        metrics: of `binary_metrics`.
    """
    # Counts are compared, not fractions: two fractions that are equal on paper may differ in their last bit.
    (true_negatives, false_positives), (false_negatives, true_positives) = metrics["confusion_matrix"]
    majority = max(true_negatives + false_positives, false_negatives + true_positives)
    return true_negatives + true_positives > majority


def _checked_labels(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels must have the shape (texts,) with at least one text, not {labels.shape}")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 (negative) or 1 (positive)")
    return labels.astype(np.int64)


def _checked_probabilities(probabilities: np.ndarray) -> np.ndarray:
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != 2 or len(probabilities) == 0:
        raise ValueError(f"probabilities must have the shape (texts, 2), not {probabilities.shape}")
    # The comparison is false for NaN too.
    if probabilities.dtype.kind not in "buif" or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be numbers within 0..1")
    return probabilities.astype(np.float64)


def _by_class(values: Sequence[float]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(CLASS_NAMES, values, strict=True)}
