"""The report of a test, as text for a terminal and as JSON for a program."""

import json
import os
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.metrics import CLASS_NAMES, beats_majority, binary_metrics
from system.files import write_atomically

REPORT_WIDTH = 96
ROW_NAME_WIDTH = 28
SAME_PREDICTION_LIMIT = 0.95
TABLE_HEADER = (
    f"{'':{ROW_NAME_WIDTH}}  {'':8}  {'':8}  {'':7}  {'negative':>17}  {'positive':>17}\n"
    f"{'':{ROW_NAME_WIDTH}}  accuracy  macro-F1  ROC-AUC  precision  recall  precision  recall"
)


def format_report(model_at_half: dict, model_at_threshold: dict, baseline: dict | None, data_name: str) -> str:
    """Format the model's metrics beside those of the majority class and the baseline, with warnings.

    Args:
        model_at_half: the metrics of the model at 0.5, as `binary_metrics` returns them.
        model_at_threshold: the same at the application's threshold; shown once if that is 0.5.
        baseline: the metrics of the baseline on the same texts; None leaves its row out.
        data_name: the name of the data set.

    Returns:
        The report, without a newline at its end.
    """
    models = [model_at_half]
    if model_at_threshold["threshold"] != model_at_half["threshold"]:
        models.append(model_at_threshold)
    paragraphs = [_data_line(model_at_half, data_name), _table(models, baseline), _confusion_matrices(models)]
    warnings = [warning for metrics in models for warning in _warnings(metrics)]
    if warnings:
        paragraphs.append(_starred_box(warnings))
    if baseline is not None and baseline["accuracy"] > model_at_half["accuracy"]:
        paragraphs.append(_baseline_sentence(model_at_half, baseline))
    return "\n\n".join(paragraphs)


def format_groups(groups: Mapping[str, tuple[dict, dict]]) -> str:
    """Format the metrics of each group of texts, one group a line.

    Args:
        groups: by group, the metrics of the model at 0.5 and those of the baseline.

    Returns:
        The table, without a newline at its end.
    """
    lines = [
        f"{'':{ROW_NAME_WIDTH}}  {'':7}  {'accuracy':>19}  {'macro-F1':>19}",
        f"{'Group':{ROW_NAME_WIDTH}}  {'texts':>7}" + 2 * f"  {'Mini-BERT':>9}  {'baseline':>8}",
    ]
    for name, (model, baseline) in groups.items():
        line = f"{name or '(none)':{ROW_NAME_WIDTH}}  {model['count']:7,}"
        for metric in ("accuracy", "macro_f1"):
            line += f"  {model[metric]:9.3f}  {baseline[metric]:8.3f}"
        lines.append(line)
    return "\n".join(lines)


def write_metrics(path: str | os.PathLike, metrics: dict) -> None:
    """Write metrics as indented UTF-8 JSON, in their order; the file appears whole or not at all.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
        TypeError: JSON cannot hold a value.
        OutputError: the file cannot be written.
    """
    content = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
    with write_atomically(path) as file:
        file.write(content + "\n")


def _data_line(metrics: dict, data_name: str) -> str:
    count, positive_fraction = metrics["count"], metrics["positive_fraction"]
    return f"Test on {data_name}: {count:,} texts, {positive_fraction:.1%} of them positive"


def _table(models: Sequence[dict], baseline: dict | None) -> str:
    rows = [_row("Always the majority class", _majority_metrics(models[0]))]
    if baseline is not None:
        rows.append(_row("TF-IDF + logistic regression", baseline))
    rows += [_row(_model_name(metrics), metrics) for metrics in models]
    return "\n".join([TABLE_HEADER, *rows])


def _row(name: str, metrics: dict) -> str:
    roc_auc = "-" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.3f}"
    row = f"{name:{ROW_NAME_WIDTH}}  {metrics['accuracy']:8.3f}  {metrics['macro_f1']:8.3f}  {roc_auc:>7}"
    for class_name in CLASS_NAMES:
        row += f"  {metrics['precision'][class_name]:9.3f}  {metrics['recall'][class_name]:6.3f}"
    return row


def _model_name(metrics: dict) -> str:
    return f"Mini-BERT at {metrics['threshold']:.3g}"


def _majority_class(metrics: dict) -> int:
    return int(metrics["positive_fraction"] >= 0.5)


def _majority_metrics(metrics: dict) -> dict:
    """Return the metrics of always predicting the majority class, on the texts of `metrics`."""
    (true_negatives, false_positives), (false_negatives, true_positives) = metrics["confusion_matrix"]
    labels = np.repeat([0, 1], [true_negatives + false_positives, false_negatives + true_positives])
    return binary_metrics(labels, np.tile(np.eye(2)[_majority_class(metrics)], (len(labels), 1)))


def _confusion_matrices(models: Sequence[dict]) -> str:
    lines = [f"{'Confusion matrix':{ROW_NAME_WIDTH}}  predicted negative  predicted positive"]
    for metrics in models:
        for class_name, (negative, positive) in zip(CLASS_NAMES, metrics["confusion_matrix"], strict=True):
            row_name = f"At {metrics['threshold']:.3g}, labelled {class_name}"
            lines.append(f"{row_name:{ROW_NAME_WIDTH}}  {negative:18,}  {positive:18,}")
    return "\n".join(lines)


def _warnings(metrics: dict) -> list[str]:
    warnings = []
    subject = f"WARNING: at {metrics['threshold']:.3g} the model"
    if not beats_majority(metrics):
        warnings.append(
            f"{subject} is no better than always predicting '{CLASS_NAMES[_majority_class(metrics)]}'; "
            f"its accuracy is {metrics['accuracy']:.3f} against {metrics['majority_fraction']:.3f}."
        )
    positive_fraction = metrics["predicted_positive_fraction"]
    fraction, class_name = max((positive_fraction, "positive"), (1 - positive_fraction, "negative"))
    if fraction > SAME_PREDICTION_LIMIT:
        warnings.append(f"{subject} predicts '{class_name}' for {fraction:.1%} of the texts.")
    return warnings


def _starred_box(paragraphs: Sequence[str]) -> str:
    inner_width = REPORT_WIDTH - 4
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, inner_width)]
    border = "*" * REPORT_WIDTH
    return "\n".join([border, *(f"* {line:{inner_width}} *" for line in lines), border])


def _baseline_sentence(model: dict, baseline: dict) -> str:
    points = 100 * (baseline["accuracy"] - model["accuracy"])
    return (
        f"TF-IDF + logistic regression is better than {_model_name(model)} by {points:.1f} points "
        f"of accuracy ({baseline['accuracy']:.3f} against {model['accuracy']:.3f})."
    )
