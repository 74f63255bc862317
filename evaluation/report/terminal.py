"""The report of a test, as text for a terminal and as JSON for a program."""

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.metrics import beats_majority, classification_metrics
from evaluation.report.layout import BASELINE, LABEL_WIDTH, REPORT_WIDTH, ROW_NAME_WIDTH, columns, starred_box
from system.files import write_atomically
from system.output.display import display_width, ljust, printable, rjust, shorten
from text.labels import SENTIMENT, LabelSet

SAME_PREDICTION_LIMIT = 0.95
MAJORITY = "Always the majority class"
ALL_SETS = "All test texts"
PAIR_WIDTH = 17  # of the two columns precision and recall
MATRIX_LABELS = 10  # with more of them a confusion matrix is too wide
CONFUSIONS_SHOWN = 10


def format_report(model_at_half: dict, model_at_threshold: dict, baseline: dict | None, data_name: str) -> str:
    """Format the model's metrics beside those of the majority class and the baseline, with warnings, for two labels.

    Args:
        model_at_half: the metrics of the model at 0.5, as `classification_metrics` returns them.
        model_at_threshold: the same at the application's threshold; shown once if that is 0.5.
        baseline: the metrics of the baseline on the same texts; None leaves its row out.
        data_name: the name of the data set.

    Returns:
        The report, without a newline at its end.
    """
    models = [model_at_half]
    if model_at_threshold["threshold"] != model_at_half["threshold"]:
        models.append(model_at_threshold)
    tables = [_binary_table(models, baseline), _binary_matrices(models)]
    return "\n\n".join([_data_line(model_at_half, data_name), *tables, *_remarks(models, baseline)])


def format_multiclass_report(model: dict, baseline: dict | None, data_name: str) -> str:
    """Format the same for more than two labels, with a line a label.

    Args:
        model: the metrics of the model, as `classification_metrics` returns them.
        baseline: the metrics of the baseline on the same texts; None leaves it out.
        data_name: the name of the data set.

    Returns:
        The report, without a newline at its end.
    """
    is_small = len(model["confusion_matrix"]) <= MATRIX_LABELS
    confusions = _multiclass_matrix(model) if is_small else _most_frequent_confusions(model)
    tables = [_multiclass_table(model, baseline), _label_table(model, baseline), confusions]
    return "\n\n".join([_data_line(model, data_name), *tables, *_remarks([model], baseline)])


def format_groups(groups: Mapping[str, tuple[dict, dict]], all_sets: tuple[dict, dict] | None = None) -> str:
    """Format the metrics of each group of texts, one group a line.

    Args:
        groups: by group, the metrics of the model, of two labels those at 0.5, and those of the baseline.
        all_sets: the same for the test texts of several sets, for a last line; None for one set.

    Returns:
        The table, without a newline at its end.
    """
    is_multi_label = any("micro_f1" in model for model, _ in groups.values())
    metrics = {"micro_f1": "micro-F1"} if is_multi_label else {"accuracy": "accuracy"}
    metrics["macro_f1"] = "macro-F1"
    lines = [
        f"{'':{ROW_NAME_WIDTH}}  {'':7}" + "".join(f"  {title:>19}" for title in metrics.values()),
        f"{'Group':{ROW_NAME_WIDTH}}  {'texts':>7}" + 2 * f"  {'Mini-BERT':>9}  {'baseline':>8}",
    ]
    last = [] if all_sets is None else [(ALL_SETS, all_sets)]
    for name, (model, baseline) in [*groups.items(), *last]:
        line = f"{ljust(printable(name) or '(none)', ROW_NAME_WIDTH)}  {model['count']:7,}"
        for metric in metrics:
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


def _names(metrics: dict) -> list[str]:
    """Return the names of the labels, fit for a line."""
    return [shorten(name, LABEL_WIDTH) for name in metrics["f1"]]


def _counts(metrics: dict) -> np.ndarray:
    """Return the number of texts with each true label, (labels,)."""
    return np.sum(metrics["confusion_matrix"], axis=1)


def _last_argmax(values: np.ndarray) -> int:
    """Return the index of the largest value; of equal ones the last, because 0.5 counts as the second of two labels."""
    return len(values) - 1 - int(np.argmax(values[::-1]))


def _data_line(metrics: dict, data_name: str) -> str:
    start, names = f"Test on {printable(data_name)}: {metrics['count']:,} texts", _names(metrics)
    if tuple(names) == SENTIMENT.english_names:
        return f"{start}, {metrics['positive_fraction']:.1%} of them positive"
    most_frequent = names[_last_argmax(_counts(metrics))]
    return (
        f"{start}, {len(names)} labels, the most frequent one {most_frequent} with {metrics['majority_fraction']:.1%}"
    )


def _majority_metrics(metrics: dict) -> dict:
    """Return the metrics of always predicting the frequency of each label, on the texts of `metrics`."""
    counts = _counts(metrics)
    labels = np.repeat(np.arange(len(counts)), counts)
    probabilities = np.tile(counts / counts.sum(), (len(labels), 1))
    return classification_metrics(LabelSet(tuple(metrics["f1"])), labels, probabilities)


def _binary_table(models: Sequence[dict], baseline: dict | None) -> str:
    titles = "".join("  " + rjust(shorten(name, PAIR_WIDTH), PAIR_WIDTH) for name in _names(models[0]))
    lines = [
        f"{'':{ROW_NAME_WIDTH}}  {'':8}  {'':8}  {'':7}{titles}",
        f"{'':{ROW_NAME_WIDTH}}  accuracy  macro-F1  ROC-AUC  precision  recall  precision  recall",
        _binary_row(MAJORITY, _majority_metrics(models[0])),
    ]
    if baseline is not None:
        lines.append(_binary_row(BASELINE, baseline))
    return "\n".join([*lines, *(_binary_row(_model_name(metrics), metrics) for metrics in models)])


def _binary_row(name: str, metrics: dict) -> str:
    roc_auc = "-" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.3f}"
    row = f"{name:{ROW_NAME_WIDTH}}  {metrics['accuracy']:8.3f}  {metrics['macro_f1']:8.3f}  {roc_auc:>7}"
    for precision, recall in zip(metrics["precision"].values(), metrics["recall"].values(), strict=True):
        row += f"  {precision:9.3f}  {recall:6.3f}"
    return row


def _binary_matrices(models: Sequence[dict]) -> str:
    names = _names(models[0])
    rows = [["Confusion matrix", *(f"predicted {name}" for name in names)]]
    for metrics in models:
        for name, counts in zip(names, metrics["confusion_matrix"], strict=True):
            rows.append([f"At {metrics['threshold']:.3g}, labelled {name}", *(f"{count:,}" for count in counts)])
    return columns(rows)


def _multiclass_table(model: dict, baseline: dict | None) -> str:
    by_row = {MAJORITY: _majority_metrics(model), BASELINE: baseline, _model_name(model): model}
    rows = [["", "accuracy", "macro-F1", "log-loss"]]
    for name, metrics in by_row.items():
        if metrics is not None:
            rows.append([name, *(f"{metrics[metric]:.3f}" for metric in ("accuracy", "macro_f1", "log_loss"))])
    return columns(rows)


def _label_table(model: dict, baseline: dict | None) -> str:
    rows = [["Label", "texts", "precision", "recall", "F1", *([] if baseline is None else ["F1 of the baseline"])]]
    by_label = [model["precision"], model["recall"], model["f1"], *([] if baseline is None else [baseline["f1"]])]
    values = zip(*(metric.values() for metric in by_label), strict=True)
    for name, count, of_label in zip(_names(model), _counts(model), values, strict=True):
        rows.append([name, f"{count:,}", *(f"{value:.3f}" for value in of_label)])
    return columns(rows)


def _multiclass_matrix(metrics: dict) -> str:
    """Return the confusion matrix, under names that are cut where the line would be too long."""
    names, matrix = _names(metrics), np.array(metrics["confusion_matrix"])
    row_width = max(ROW_NAME_WIDTH // 2, *map(display_width, names))
    head_width = max((REPORT_WIDTH - row_width) // len(names) - 2, len(f"{matrix.max():,}"), 4)
    rows = [["True label", *(shorten(name, head_width) for name in names)]]
    rows += [[name, *(f"{count:,}" for count in counts)] for name, counts in zip(names, matrix, strict=True)]
    return "Confusion matrix: a line for each true label, a column for each predicted one\n" + columns(rows, row_width)


def _most_frequent_confusions(metrics: dict) -> str:
    names, matrix = _names(metrics), np.array(metrics["confusion_matrix"])
    np.fill_diagonal(matrix, 0)
    cells = np.argsort(-matrix, axis=None, kind="stable")[:CONFUSIONS_SHOWN]
    confusions = [(*np.unravel_index(cell, matrix.shape), matrix.flat[cell]) for cell in cells if matrix.flat[cell]]
    if not confusions:
        return "No confusions: every text got its true label"
    lines = (
        f"true {names[true]} predicted {names[predicted]}: {count:,} {'text' if count == 1 else 'texts'}"
        for true, predicted, count in confusions
    )
    return "\n".join(["Most frequent confusions", *lines])


def _model_name(metrics: dict) -> str:
    return "Mini-BERT" if metrics["threshold"] is None else f"Mini-BERT at {metrics['threshold']:.3g}"


def _remarks(models: Sequence[dict], baseline: dict | None) -> list[str]:
    """Return the warnings in a box, and the lead of a better baseline, where there are any."""
    remarks = []
    if warnings := [warning for metrics in models for warning in _warnings(metrics)]:
        remarks.append(starred_box(warnings))
    if baseline is not None and baseline["accuracy"] > models[0]["accuracy"]:
        remarks.append(_baseline_sentence(models[0], baseline))
    return remarks


def _warnings(metrics: dict) -> list[str]:
    warnings, names = [], _names(metrics)
    subject = "the model" if metrics["threshold"] is None else f"at {metrics['threshold']:.3g} the model"
    if not beats_majority(metrics):
        warnings.append(
            f"WARNING: {subject} is no better than always predicting '{names[_last_argmax(_counts(metrics))]}'; "
            f"its accuracy is {metrics['accuracy']:.3f} against {metrics['majority_fraction']:.3f}."
        )
    fractions = np.sum(metrics["confusion_matrix"], axis=0) / metrics["count"]
    if fractions.max() > SAME_PREDICTION_LIMIT:
        name = names[int(fractions.argmax())]
        warnings.append(f"WARNING: {subject} predicts '{name}' for {fractions.max():.1%} of the texts.")
    return warnings


def _baseline_sentence(model: dict, baseline: dict) -> str:
    points = 100 * (baseline["accuracy"] - model["accuracy"])
    return (
        f"{BASELINE} is better than {_model_name(model)} by {points:.1f} points "
        f"of accuracy ({baseline['accuracy']:.3f} against {model['accuracy']:.3f})."
    )
