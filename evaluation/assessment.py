"""The test of a classifier: its metrics, at several thresholds and in each group, beside those of the baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from evaluation.baseline import TestedBaseline, baseline_logits, baseline_test_logits, texts_of
from evaluation.calibration import Calibration, calibrate
from evaluation.metrics import classification_metrics, log_loss, majority_log_loss, validation_metrics
from evaluation.report.multi_label import format_multi_label_report
from evaluation.report.terminal import format_groups, format_multiclass_report, format_report
from system.errors import InputError
from text.labels import EVEN_THRESHOLD, Threshold

if TYPE_CHECKING:
    from text.dataset.splits import Split, Splits

# A model with more than this many times the loss of the class frequencies is useless. Overconfidence alone does not
# reach it, because the temperature corrects it.
MAX_LOSS_RATIO = 5


def threshold_key(threshold: float) -> str:
    """Return the key of the metrics at a threshold, as in `assessment["test"]["thresholds"]["0.7"]`."""
    return str(float(threshold))  # exact, so that two thresholds never share a key


def most_probable_metrics(test: dict) -> dict:
    """Return the metrics of choosing the most probable label; of two labels those at 0.5.

    If a text may have several labels, they are those at the application's thresholds.

    Args:
        test: `assessment["test"]`.
    """
    return test["thresholds"][threshold_key(EVEN_THRESHOLD)] if "thresholds" in test else test


def assess(
    logits_of: Callable[[Split], np.ndarray],
    splits: Splits,
    threshold: float | None,
    baseline: TestedBaseline | None = None,
) -> dict:
    """Test a model and the baseline on the test split, and on those of further sets.

    Args:
        logits_of: returns the model's logits for the texts of a split, (texts, outputs).
        splits: the model was trained on `train` alone; the baseline is trained on `train` and `validation`.
        threshold: the application's; None for more than two labels. If a text may have several labels, None means the
            calibrated thresholds.
        baseline: what `evaluation.baseline.baseline_test_logits` returns; None to fit it here.

    Returns:
        The content of `metrics.json`: "calibration" (temperature and threshold of the best macro-F1, both from the
        validation split), "application_threshold", "test" and "baseline". Of two labels `test["thresholds"]` holds the
        metrics at 0.5, at the application's and at the calibrated threshold, by `threshold_key`. Of more labels "test"
        holds the metrics themselves, and "baseline_class_weight" says how the baseline was trained. If a text may have
        several labels, these are at the application's thresholds, and `test["at_half"]` holds those at 0.5. Where the
        data has groups, "groups" holds "test" and "baseline" of each. With further sets there are their groups too,
        and "all_sets" holds "test" and "baseline" of the test texts of all sets.

    Raises:
        InputError: on the validation split the model is far worse than predicting the class frequencies.
    """
    calibration = _calibration(splits.validation, logits_of(splits.validation))
    label_set = splits.test.label_set
    labels = np.concatenate([test.labels for test in splits.tests])
    logits = np.concatenate([logits_of(test) for test in splits.tests])
    probabilities = label_set.probabilities(logits / calibration.temperature)
    if label_set.multi_label and threshold is None:
        threshold = calibration.threshold
    baseline = baseline or baseline_test_logits(splits)
    baseline_probabilities = label_set.probabilities(baseline.logits)

    def metrics_of(rows: np.ndarray) -> dict:
        def measure(of: np.ndarray, value: Threshold = None) -> dict:
            return classification_metrics(label_set, labels[rows], of[rows], value)

        if label_set.is_binary:
            thresholds = (EVEN_THRESHOLD, threshold, calibration.threshold)
            of_model = {"thresholds": {threshold_key(value): measure(probabilities, value) for value in thresholds}}
        elif label_set.multi_label:
            of_model = measure(probabilities, threshold) | {"at_half": measure(probabilities)}
        else:
            of_model = measure(probabilities)
        return {"test": of_model, "baseline": measure(baseline_probabilities, baseline.threshold)}

    assessment = {"calibration": calibration._asdict(), "application_threshold": threshold}
    assessment |= metrics_of(np.arange(len(splits.test.texts)))
    if not label_set.is_binary:
        assessment["baseline_class_weight"] = baseline.class_weight
    if splits.test.groups is not None:
        groups = np.concatenate([each.groups for each in splits.tests])
        assessment["groups"] = {str(group): metrics_of(groups == group) for group in np.unique(groups)}
    if splits.further:
        assessment["all_sets"] = metrics_of(np.arange(len(labels)))
    return assessment


def validation_of(splits: Splits, monitor: str | None = None) -> Callable[[np.ndarray], dict[str, float]]:
    """Return a function that turns the logits of the validation split, (texts, outputs), into its metrics.

    Of logits that are NaN or infinite it returns the loss alone, as NaN, with which a training ends.

    Args:
        splits: the splits.
        monitor: the metric that chooses the best epoch. Two labels have "macro_f1" only if it is this one.
    """
    label_set, labels = splits.validation.label_set, splits.validation.labels

    def validate(logits: np.ndarray) -> dict[str, float]:
        if not np.isfinite(logits).all():
            return {"loss": np.nan}
        probabilities = label_set.probabilities(logits)
        metrics = validation_metrics(label_set, labels, probabilities)
        if monitor == "macro_f1" and monitor not in metrics:
            metrics[monitor] = classification_metrics(label_set, labels, probabilities)[monitor]
        return metrics

    return validate


def assess_validation(validation: Split, logits: np.ndarray) -> dict:
    """Return the metrics of a model on the validation split alone, to compare it with others.

    Args:
        validation: the split.
        logits: (texts, outputs), of the trained model. They are not calibrated, as in the metrics of each epoch.
    """
    label_set = validation.label_set
    return classification_metrics(label_set, validation.labels, label_set.probabilities(logits))


def assess_validation_baseline(splits: Splits) -> dict:
    """Return the metrics of the baseline on the validation split, trained on the training split alone.

    They are "baseline" beside "train_texts", the number of texts that it was trained on. More than two labels have no
    class weights and several labels a text no thresholds of their own, for which it would need the validation split.
    """
    train, validation = splits.train, splits.validation
    logits = baseline_logits(
        splits.label_set, texts_of(train), train.labels, texts_of(validation), text_weights=train.text_weights
    )
    return {"train_texts": len(train.texts), "baseline": assess_validation(validation, logits)}


def print_assessment(assessment: dict, data_name: str) -> None:
    """Print the metrics that `assess` returned.

    Args:
        data_name: the name of the data set, for the report.
    """
    test, baseline, calibration = assessment["test"], assessment["baseline"], assessment["calibration"]
    metrics = most_probable_metrics(test)
    print(f"Test set loss: {metrics['log_loss']:.4f}")
    print(f"Test set accuracy: {metrics['accuracy']:.4f}\n")
    calibrated = f"Calibrated on the validation split: temperature {calibration['temperature']:.3g}"
    if "thresholds" in test:
        at_application, at_calibrated = (
            test["thresholds"][threshold_key(value)]
            for value in (assessment["application_threshold"], calibration["threshold"])
        )
        print(format_report(metrics, at_application, baseline, data_name) + "\n")
        calibrated += (
            f", threshold {calibration['threshold']:.3g}. With these, test accuracy is {at_calibrated['accuracy']:.3f} "
            f"and macro-F1 {at_calibrated['macro_f1']:.3f}"
        )
    elif "at_half" in test:
        print(format_multi_label_report(metrics, test["at_half"], baseline, data_name) + "\n")
        lowest, highest = min(calibration["threshold"]), max(calibration["threshold"])
        calibrated += f", a threshold for each label, {lowest:.3g} to {highest:.3g}"
    else:
        print(format_multiclass_report(metrics, baseline, data_name) + "\n")
    print(calibrated + ".\n")
    if "groups" in assessment:
        groups = {name: _pair(of_group) for name, of_group in assessment["groups"].items()}
        all_sets = _pair(assessment["all_sets"]) if "all_sets" in assessment else None
        print(format_groups(groups, all_sets) + "\n")


def _pair(metrics: dict) -> tuple[dict, dict]:
    """Return the metrics of the model and of the baseline as `format_groups` takes them."""
    return most_probable_metrics(metrics["test"]), metrics["baseline"]


def _calibration(validation: Split, logits: np.ndarray) -> Calibration:
    """Return the calibration; raise an InputError for a useless model, the usual result of a too high learning rate.

    Args:
        logits: (texts, outputs), of the validation split.
    """
    label_set, labels, loss = validation.label_set, validation.labels, np.nan
    if np.isfinite(logits).all():
        calibration = calibrate(label_set, labels, logits)
        loss = log_loss(labels, label_set.probabilities(logits / calibration.temperature))
    majority_loss = majority_log_loss(labels)
    if not loss <= MAX_LOSS_RATIO * majority_loss:  # true for NaN too
        raise InputError(
            f"the model is useless and was not saved: its validation loss is {loss:.3g}, while predicting the class "
            f"frequencies for every text gives {majority_loss:.3g}; try a smaller learning rate"
        )
    return calibration
