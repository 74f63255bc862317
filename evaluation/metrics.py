"""The figures of a binary sentiment classifier, computed from its labels and probabilities."""

import numpy as np

CLASS_NAMES = ("negative", "positive")


def binary_metrics(labels, probabilities, threshold=0.5) -> dict:
    """Measure the probabilities of the positive class against the true labels.

    `labels` are 0 (negative) or 1 (positive), `probabilities` lie within 0..1; both have shape `(count,)`.
    A verdict is positive where the probability is at least `threshold`. All shares lie within 0..1,
    `log_loss` is in nats a text, and `confusion_matrix` is [[tn, fp], [fn, tp]] in texts. `precision`,
    `recall` and `f1` are dicts by class name; one that would divide by zero is 0. `roc_auc` is None where
    only one class occurs. The dict holds plain Python numbers and can be written as JSON.

    Raises ValueError for empty or unequally long input, other shapes, labels that are not 0 or 1, and
    probabilities or a threshold that are not numbers within 0..1.
    """
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, roc_auc_score

    labels, probabilities = _checked_labels(labels), _checked_probabilities(probabilities)
    if len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} labels do not match {len(probabilities)} probabilities")
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold must lie within 0..1, not {threshold}")

    verdicts = (probabilities >= threshold).astype(np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, verdicts, labels=[0, 1], zero_division=0)
    positive_share = float(labels.mean())
    has_both_classes = 0 < positive_share < 1
    return {
        "count": len(labels),
        "threshold": float(threshold),
        "accuracy": float((verdicts == labels).mean()),
        "macro_f1": float(f1.mean()),
        "roc_auc": float(roc_auc_score(labels, probabilities)) if has_both_classes else None,
        "log_loss": float(log_loss(labels, probabilities, labels=[0, 1])),
        "precision": _by_class(precision),
        "recall": _by_class(recall),
        "f1": _by_class(f1),
        "confusion_matrix": confusion_matrix(labels, verdicts, labels=[0, 1]).tolist(),
        "positive_share": positive_share,
        "predicted_positive_share": float(verdicts.mean()),
        "majority_share": max(positive_share, 1 - positive_share),
    }


def beats_majority(metrics) -> bool:
    """Whether the verdicts are right strictly more often than always answering the larger class."""
    # Whole texts are compared, not shares: two shares that are equal on paper may differ in their last bit.
    (true_negatives, false_positives), (false_negatives, true_positives) = metrics["confusion_matrix"]
    larger_class = max(true_negatives + false_positives, false_negatives + true_positives)
    return true_negatives + true_positives > larger_class


def _checked_labels(labels) -> np.ndarray:
    labels = _checked_vector(labels, "labels")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 (negative) or 1 (positive)")
    return labels.astype(np.int64)


def _checked_probabilities(probabilities) -> np.ndarray:
    probabilities = _checked_vector(probabilities, "probabilities")
    # The comparison is false for NaN too.
    if probabilities.dtype.kind not in "buif" or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be numbers within 0..1")
    return probabilities.astype(np.float64)


def _checked_vector(values, name) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} must have the shape (count,) with at least one text, not {values.shape}")
    return values


def _by_class(values) -> dict:
    return {name: float(value) for name, value in zip(CLASS_NAMES, values, strict=True)}
