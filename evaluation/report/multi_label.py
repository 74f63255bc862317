"""The report of the test of a classifier of several labels a text, as text for a terminal."""

from collections.abc import Sequence

import numpy as np

from evaluation.report.layout import BASELINE, columns, starred_box
from system.output.display import printable, shorten
from text.labels import EVEN_THRESHOLD

MAJORITY = "Always the labels of most texts"
LABELS_SHOWN = 40
NAME_WIDTH = 36
UNLABELLED_LIMIT = 0.95
METRICS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "accuracy": "accuracy", "log_loss": "log-loss"}


def format_multi_label_report(model: dict, model_at_half: dict, baseline: dict, data_name: str) -> str:
    """Format the model's metrics beside those of the baseline, with a line a label, and warnings.

    Args:
        model: the metrics of the model at the thresholds of the application, as `multi_label_metrics` returns them.
        model_at_half: the same at 0.5; not shown if the application has the same threshold.
        baseline: the metrics of the baseline on the same texts.
        data_name: the name of the data set.

    Returns:
        The report, without a newline at its end.
    """
    first = (
        f"Test on {printable(data_name)}: {model['count']:,} texts, {len(model['f1']):,} labels, "
        f"{model['labels_per_text']:.2f} labels per text, {model['unlabelled_fraction']:.1%} of the texts have none"
    )
    models = [model] if model["threshold"] == model_at_half["threshold"] else [model_at_half, model]
    explanation = "Accuracy is the fraction of texts with exactly their labels."
    if any(len(set(metrics["threshold"].values())) > 1 for metrics in (model, baseline)):
        explanation += "\nOwn thresholds: one for each label, those of the validation split."
    tables = [f"{_totals(models, baseline)}\n{explanation}", _label_table(model, baseline)]
    return "\n\n".join([first, *tables, *_warnings(model), *_lead_of_baseline(model, baseline)])


def most_frequent_labels(metrics: dict, count: int = LABELS_SHOWN) -> list[str]:
    """Return the names of the most frequent labels of a test, in the order of all labels.

    Args:
        metrics: as `multi_label_metrics` returns them.
        count: the largest number of names.
    """
    names, counts = list(metrics["label_counts"]), np.array(list(metrics["label_counts"].values()))
    return [names[index] for index in sorted(np.argsort(-counts, kind="stable")[:count])]


def _totals(models: Sequence[dict], baseline: dict) -> str:
    rows = [["", *METRICS.values()]]
    rows.append([MAJORITY, *(f"{models[0][f'majority_{metric}']:.3f}" for metric in METRICS)])
    named = [(_name(BASELINE, baseline), baseline), *((_name("Mini-BERT", model), model) for model in models)]
    rows += [[name, *(f"{metrics[metric]:.3f}" for metric in METRICS)] for name, metrics in named]
    return columns(rows)


def _name(name: str, metrics: dict) -> str:
    """Return the name of a model with its thresholds."""
    thresholds = set(metrics["threshold"].values())
    if len(thresholds) == 1:
        return f"{name} at {thresholds.pop():.3g}"
    return f"{name} at its own thresholds"


def _label_table(model: dict, baseline: dict) -> str:
    rows = [["Label", "texts", "threshold", "precision", "recall", "F1", "baseline F1"]]
    shown = most_frequent_labels(model)
    for label in shown:
        scores = (model["precision"][label], model["recall"][label], model["f1"][label], baseline["f1"][label])
        numbers = (f"{value:.3f}" for value in (model["threshold"][label], *scores))
        rows.append([shorten(label, NAME_WIDTH), f"{model['label_counts'][label]:,}", *numbers])
    if hidden := len(model["f1"]) - len(shown):
        rows.append([f"({hidden:,} more in metrics.json)", *[""] * 6])
    totals = (model["micro_precision"], model["micro_recall"], model["micro_f1"], baseline["micro_f1"])
    count = sum(model["label_counts"].values())
    rows.append(["All labels together", f"{count:,}", "", *(f"{value:.3f}" for value in totals)])
    return columns(rows)


def _warnings(model: dict) -> list[str]:
    """Return the warnings in a box, if there are any."""
    warnings = []
    if model["log_loss"] >= model["majority_log_loss"]:
        warnings.append(
            "WARNING: the model is no better than predicting the frequency of each label for every text; its log-loss "
            f"is {model['log_loss']:.3f} against {model['majority_log_loss']:.3f}."
        )
    if model["micro_f1"] <= model["majority_micro_f1"]:
        majority = [label for label, fraction in model["label_fractions"].items() if fraction > EVEN_THRESHOLD]
        described = ", ".join(f"'{shorten(label, NAME_WIDTH)}'" for label in majority) or "no label"
        warnings.append(
            f"WARNING: the model is no better than always predicting {described}; its micro-F1 is "
            f"{model['micro_f1']:.3f} against {model['majority_micro_f1']:.3f}."
        )
    if model["predicted_unlabelled_fraction"] > max(UNLABELLED_LIMIT, model["unlabelled_fraction"]):
        warnings.append(
            f"WARNING: the model predicts no label for {model['predicted_unlabelled_fraction']:.1%} of the texts, but "
            f"only {model['unlabelled_fraction']:.1%} of them have none."
        )
    return [starred_box(warnings)] if warnings else []


def _lead_of_baseline(model: dict, baseline: dict) -> list[str]:
    """Return a sentence that says in what the baseline is better, if it is."""
    better = [
        f"{METRICS[metric]} ({baseline[metric]:.3f} against {model[metric]:.3f})"
        for metric in ("micro_f1", "macro_f1")
        if baseline[metric] > model[metric]
    ]
    return [f"{BASELINE} has a better {' and '.join(better)} than Mini-BERT."] if better else []
