"""The metrics of a classifier of several labels a text, and its thresholds, one for each label."""

import numpy as np

from text.labels import EVEN_THRESHOLD, LabelSet, Threshold

COMMON_THRESHOLDS = np.arange(1, 100) / 100
# The number of texts with a label at which its own threshold and the common one count the same. Simulated labels and
# TF-IDF models of 30 real ones, with 300 to 3,000 validation texts, agreed: 5 to 20 give nearly the same macro-F1 on
# new texts. With 1,000 texts it was 0.415; 0.408 with each label's own threshold, 0.401 with the common one, 0.407 with
# a switch from the common one to the label's own at 10 texts, and 0.174 at 0.5.
TEXTS_OF_COMMON = 10
# Keeps thresholds off 0 and 1, whose logits are infinite.
LOWEST, HIGHEST = 0.001, 0.999


def multi_label_metrics(
    label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray, threshold: Threshold = None
) -> dict:
    """Return the metrics of predictions, as plain Python numbers that JSON can hold.

    Args:
        labels: 1 where a text has a label, else 0, (texts, labels).
        probabilities: (texts, labels), within 0..1.
        threshold: the lowest probability at which a text gets a label, for all labels or for each; None means 0.5.

    Returns:
        Fractions within 0..1. `accuracy` is the fraction of texts with exactly the true labels. `micro_f1` is the F1 of
        all pairs of text and label, `macro_f1` the mean of the F1 of the labels that occur or are predicted. `log_loss`
        is the mean of the binary cross-entropy over texts and labels, in nats. Dicts by name: `threshold`, `precision`,
        `recall` and `f1`, with 0 where they would divide by zero, `label_counts` in texts, and the fractions of texts
        with each label. Numbers that begin with `majority_` are those of always predicting the labels that more than
        half of the texts have, which may be none.

    Raises:
        ValueError: there is no text, shapes do not match, or a value is out of range.
    """
    labels, probabilities = _checked(label_set, labels, probabilities)
    thresholds = np.broadcast_to(EVEN_THRESHOLD if threshold is None else threshold, labels.shape[1]).astype(float)
    if not ((thresholds >= 0) & (thresholds <= 1)).all():  # false for NaN too
        raise ValueError(f"thresholds must lie within 0..1, not {threshold}")
    predictions = label_set.decide(probabilities, thresholds)
    correct, true, predicted = ((labels * predictions).sum(axis=0), labels.sum(axis=0), predictions.sum(axis=0))
    majority = np.broadcast_to(labels.mean(axis=0) > EVEN_THRESHOLD, labels.shape).astype(int)
    return {
        "count": len(labels),
        "threshold": _by_name(label_set, thresholds),
        **_scores(labels, predictions),
        "micro_precision": float(_divide(correct.sum(), predicted.sum())),
        "micro_recall": float(_divide(correct.sum(), true.sum())),
        "log_loss": multi_label_log_loss(labels, probabilities),
        "precision": _by_name(label_set, _divide(correct, predicted)),
        "recall": _by_name(label_set, _divide(correct, true)),
        "f1": _by_name(label_set, _divide(2 * correct, true + predicted)),
        "label_counts": dict(zip(label_set.names, true.tolist(), strict=True)),
        "label_fractions": _by_name(label_set, labels.mean(axis=0)),
        "predicted_fractions": _by_name(label_set, predictions.mean(axis=0)),
        "labels_per_text": float(labels.sum(axis=1).mean()),
        "predicted_labels_per_text": float(predictions.sum(axis=1).mean()),
        "unlabelled_fraction": float((labels.sum(axis=1) == 0).mean()),
        "predicted_unlabelled_fraction": float((predictions.sum(axis=1) == 0).mean()),
        **{f"majority_{name}": value for name, value in _scores(labels, majority).items()},
        "majority_log_loss": frequency_log_loss(labels),
    }


def _scores(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Return the metrics of all labels together, from 0 and 1, (texts, labels)."""
    correct, counts = (labels * predictions).sum(axis=0), labels.sum(axis=0) + predictions.sum(axis=0)
    f1 = _divide(2 * correct, counts)[counts > 0]
    return {
        "accuracy": float((labels == predictions).all(axis=1).mean()),
        "micro_f1": float(_divide(2 * correct.sum(), counts.sum())),
        "macro_f1": float(f1.mean()) if len(f1) else 0.0,
    }


def multi_label_log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of the binary cross-entropy over texts and labels, in nats.

    Args:
        labels: 1 where a text has a label, else 0, (texts, labels).
        probabilities: (texts, labels).
    """
    of_truth = np.where(np.asarray(labels) == 1, probabilities, 1 - probabilities)
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float64).eps)).mean())


def frequency_log_loss(labels: np.ndarray) -> float:
    """Return the log-loss, in nats, of predicting for every text the frequency of each label in `labels`."""
    return multi_label_log_loss(labels, np.broadcast_to(np.mean(labels, axis=0), np.shape(labels)))


def best_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, ...]:
    """Return a threshold for each label with a high F1 on a validation split.

    The best threshold of a label with few texts says more about these texts than about others. It is therefore shrunk
    towards the one that gives the best macro-F1 if all labels have the same: the logit of the threshold is a mean of
    both logits, with the weights n for a label with n texts, and `TEXTS_OF_COMMON`.

    Args:
        labels: 1 where a text has a label, else 0, (texts, labels).
        probabilities: (texts, labels).
    """
    counts = np.sum(labels, axis=0)
    common = _common_threshold(labels, probabilities)
    own = np.array(
        [_best_threshold(*columns, near=common) for columns in zip(labels.T, probabilities.T, strict=True)]
    ).clip(LOWEST, HIGHEST)
    weight = counts / (counts + TEXTS_OF_COMMON)
    logits = weight * np.log(own / (1 - own)) + (1 - weight) * np.log(common / (1 - common))
    return tuple(np.round(1 / (1 + np.exp(-logits)), 4).tolist())


def _common_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the threshold with the best macro-F1 over the labels that occur; of several the nearest to 0.5."""

    def macro_f1(threshold: float) -> float:
        predictions = probabilities[:, occurs] >= threshold
        correct, counts = (labels[:, occurs] * predictions).sum(axis=0), (labels[:, occurs] + predictions).sum(axis=0)
        return float(_divide(2 * correct, counts).mean())

    occurs = np.any(labels, axis=0)
    if not occurs.any():
        return EVEN_THRESHOLD
    return float(max(COMMON_THRESHOLDS, key=lambda threshold: (macro_f1(threshold), -abs(threshold - EVEN_THRESHOLD))))


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray, near: float) -> float:
    """Return the threshold, halfway between two texts, with the best F1 of a label; of several the nearest to `near`.

    Args:
        labels: 1 where a text has the label, else 0, (texts,).
        probabilities: (texts,), of the label.
    """
    if not labels.any():
        return near
    order = np.argsort(-probabilities, kind="stable")
    descending = probabilities[order]
    lower = np.append(descending[1:], 0.0)
    f1 = 2 * np.cumsum(labels[order]) / (np.arange(1, len(order) + 1) + labels.sum())
    f1[descending == lower] = -1  # no threshold lies between equal probabilities
    candidates = ((descending + lower) / 2)[f1 == f1.max()]
    return float(candidates[np.abs(candidates - near).argmin()])


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, 0 where the denominator is 0."""
    return numerator / np.maximum(denominator, 1)


def _by_name(label_set: LabelSet, values: np.ndarray) -> dict[str, float]:
    return dict(zip(label_set.names, values.tolist(), strict=True))


def _checked(label_set: LabelSet, labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    shape = (len(labels), len(label_set.names))
    if labels.shape != shape or probabilities.shape != shape or not len(labels):
        raise ValueError(
            f"labels and probabilities must both have the shape (texts, {shape[1]}) with at least one text, not "
            f"{labels.shape} and {probabilities.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # false for NaN too
        raise ValueError("probabilities must be numbers within 0..1")
    return labels.astype(np.int64), probabilities.astype(np.float64)
