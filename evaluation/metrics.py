"""The metrics of a classifier, computed from the labels of texts and the predicted probabilities."""

from collections.abc import Sequence

import numpy as np

from evaluation.multi_label import frequency_log_loss, multi_label_log_loss, multi_label_metrics
from text.labels import EVEN_THRESHOLD, LabelSet, Threshold


def classification_metrics(
    label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray, threshold: Threshold = None
) -> dict:
    """Return the metrics of predictions, as plain Python numbers that JSON can hold.

    Those of several labels a text are described in `evaluation.multi_label.multi_label_metrics`.

    Args:
        labels: (texts,), the index of each text's label.
        probabilities: (texts, labels), within 0..1.
        threshold: of two labels, the lowest probability of the second one with which a text gets it; None means 0.5.
            More labels have none.

    Returns:
        Fractions within 0..1; `log_loss` in nats a text; `confusion_matrix`, (labels, labels), in texts, a row for each
        true label. `precision`, `recall` and `f1` are dicts by name, with 0 where they would divide by zero. Two labels
        have their English names there, a `roc_auc`, which is None where only one of them occurs, and the fraction of
        the second one; more labels have a `weighted_f1` and the fraction of each.

    Raises:
        ValueError: there is no text, shapes do not match, a value is out of range, or more than two labels have a
            threshold.
    """
    if label_set.multi_label:
        return multi_label_metrics(label_set, labels, probabilities, threshold)
    num_labels = len(label_set.names)
    labels, probabilities = _checked_labels(labels, num_labels), _checked_probabilities(probabilities, num_labels)
    if len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} labels do not match {len(probabilities)} probabilities")
    if label_set.is_binary:
        return _binary_metrics(label_set, labels, probabilities, EVEN_THRESHOLD if threshold is None else threshold)
    if threshold is not None:
        raise ValueError(f"a classifier of {num_labels} labels has no threshold, but {threshold} was given")
    return _multiclass_metrics(label_set, labels, probabilities)


def _binary_metrics(label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict:
    from sklearn.metrics import roc_auc_score

    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold must lie within 0..1, not {threshold}")
    predictions = label_set.decide(probabilities, threshold)
    by_name = _metrics_by_name(label_set.english_names, labels, predictions)
    positive_fraction = float(labels.mean())
    has_both_classes = 0 < positive_fraction < 1
    return {
        "count": len(labels),
        "threshold": float(threshold),
        "accuracy": float((predictions == labels).mean()),
        "macro_f1": float(np.mean(list(by_name["f1"].values()))),
        "roc_auc": float(roc_auc_score(labels, probabilities[:, 1])) if has_both_classes else None,
        "log_loss": log_loss(labels, probabilities),
        **by_name,
        "positive_fraction": positive_fraction,
        "predicted_positive_fraction": float(predictions.mean()),
        "majority_fraction": max(positive_fraction, 1 - positive_fraction),
    }


def _multiclass_metrics(label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray) -> dict:
    names, predictions = label_set.names, label_set.decide(probabilities)
    by_name = _metrics_by_name(names, labels, predictions)
    f1 = np.array(list(by_name["f1"].values()))
    occurs = np.union1d(labels, predictions)  # a group of texts may lack some labels
    fractions, predicted_fractions = (np.bincount(of, minlength=len(names)) / len(of) for of in (labels, predictions))
    return {
        "count": len(labels),
        "threshold": None,
        "accuracy": float((predictions == labels).mean()),
        "macro_f1": float(f1[occurs].mean()),
        "weighted_f1": float(f1 @ fractions),
        "log_loss": log_loss(labels, probabilities),
        **by_name,
        "label_fractions": _by_name(names, fractions),
        "predicted_fractions": _by_name(names, predicted_fractions),
        "majority_fraction": float(fractions.max()),
    }


def _metrics_by_name(names: Sequence[str], labels: np.ndarray, predictions: np.ndarray) -> dict:
    """Return precision, recall and F1 of each label, and the confusion matrix, from indices of labels, (texts,)."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    indices = range(len(names))
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predictions, labels=indices, zero_division=0)
    return {
        "precision": _by_name(names, precision),
        "recall": _by_name(names, recall),
        "f1": _by_name(names, f1),
        "confusion_matrix": confusion_matrix(labels, predictions, labels=indices).tolist(),
    }


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of -log of the probability of each text's label, in nats; of several labels, over all of them.

    Args:
        labels: (texts,), the index of each text's label; or 1 where a text has a label, else 0, (texts, labels).
        probabilities: (texts, labels).
    """
    if np.ndim(labels) == 2:
        return multi_label_log_loss(labels, probabilities)
    of_label = np.take_along_axis(probabilities, np.asarray(labels)[:, None], axis=1)
    return float(-np.log(np.maximum(of_label, np.finfo(np.float64).eps)).mean())


def majority_log_loss(labels: np.ndarray) -> float:
    """Return the log-loss, in nats, of predicting for every text the frequency of each label in `labels`."""
    if np.ndim(labels) == 2:
        return frequency_log_loss(labels)
    frequencies = np.bincount(labels) / len(labels)
    frequencies = frequencies[frequencies > 0]
    return float(-(frequencies * np.log(frequencies)).sum())


def validation_metrics(label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return the validation metrics that a training prints after each epoch, under Keras' names for them.

    Args:
        labels: (texts,), the index of each text's label; or 1 where a text has a label, else 0, (texts, labels).
        probabilities: (texts, labels).

    Returns:
        "loss", and for two labels "binary_accuracy", for more labels "accuracy" and "macro_f1", for several labels a
        text "micro_f1" too, all of them at 0.5.
    """
    if label_set.is_binary:
        accuracy = float((label_set.decide(probabilities) == labels).mean())
        return {"loss": log_loss(labels, probabilities), "binary_accuracy": accuracy}
    metrics = classification_metrics(label_set, labels, probabilities)
    names = ("accuracy", "micro_f1", "macro_f1") if label_set.multi_label else ("accuracy", "macro_f1")
    return {"loss": metrics["log_loss"]} | {name: metrics[name] for name in names}


def pooled_metrics(metrics: Sequence[dict]) -> dict[str, float]:
    """Return the metrics of all texts together, from those of disjoint parts.

    Args:
        metrics: of each part, as `classification_metrics` returns them, for the same labels.

    Returns:
        "count", "accuracy" and "macro_f1"; if a text may have several labels, "micro_f1" too.
    """
    counts = np.array([of_part["count"] for of_part in metrics])
    correct, true, predicted = np.sum([_counts_by_label(of_part) for of_part in metrics], axis=0)
    occurs = true + predicted > 0
    pooled = {
        "count": int(counts.sum()),
        "accuracy": float(counts @ [of_part["accuracy"] for of_part in metrics] / counts.sum()),
        "macro_f1": float((2 * correct[occurs] / (true + predicted)[occurs]).mean()),
    }
    if all("micro_f1" in of_part for of_part in metrics):
        pooled["micro_f1"] = float(2 * correct.sum() / (true + predicted).sum())
    return pooled


def _counts_by_label(metrics: dict) -> np.ndarray:
    """Return the texts that rightly got each label, that have it, and that got it, (3, labels)."""
    if "confusion_matrix" in metrics:
        matrix = np.array(metrics["confusion_matrix"])
        return np.stack([matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)])
    # Of several labels a text: the counts from which the fractions were made.
    true, recall, predicted = (
        np.array(list(metrics[name].values())) for name in ("label_counts", "recall", "predicted_fractions")
    )
    return np.rint([recall * true, true, predicted * metrics["count"]])


def beats_majority(metrics: dict) -> bool:
    """Return whether the predictions are right strictly more often than always predicting the majority class.

    Args:
        metrics: of `classification_metrics`.
    """
    # Counts are compared, not fractions: two fractions that are equal on paper may differ in their last bit.
    matrix = np.asarray(metrics["confusion_matrix"])
    return bool(matrix.trace() > matrix.sum(axis=1).max())


def _checked_labels(labels: np.ndarray, num_labels: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels must have the shape (texts,) with at least one text, not {labels.shape}")
    if labels.dtype.kind not in "buif" or not np.isin(labels, np.arange(num_labels)).all():
        raise ValueError(f"labels must be 0 to {num_labels - 1}, the indices of the names")
    return labels.astype(np.int64)


def _checked_probabilities(probabilities: np.ndarray, num_labels: int) -> np.ndarray:
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != num_labels or len(probabilities) == 0:
        raise ValueError(f"probabilities must have the shape (texts, {num_labels}), not {probabilities.shape}")
    # The comparison is false for NaN too.
    if probabilities.dtype.kind not in "buif" or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be numbers within 0..1")
    return probabilities.astype(np.float64)


def _by_name(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
