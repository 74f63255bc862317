"""The test results of runs: the metrics of each model, and the tables of a study that compares runs on test texts."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.assessment import most_probable_metrics, threshold_key
from evaluation.metrics import classification_metrics
from recipes.fine_tuning import METRICS_NAME
from recipes.studies.runs import MODEL_NAME, Results, Run
from serving.predictor import Predictor
from system.output.markdown import markdown_table
from text.dataset.labelled_texts import LabelledTexts
from text.labels import LabelSet

METRIC_TITLES = {"accuracy": "accuracy", "micro_f1": "micro-F1", "macro_f1": "macro-F1", "roc_auc": "ROC-AUC"}
# The rows of the table, which are the keys of the results in study.json.
BASELINE, MODEL, MODEL_AT_THRESHOLD = "TF-IDF + logistic regression", "Mini-BERT", "Mini-BERT at the threshold"
ONE_WINDOW = "Mini-BERT, first window only"


@dataclass(frozen=True)
class UnseenTexts:
    """The texts that a run is tested on.

    Attributes:
        texts: the texts.
        labels: their labels, as `LabelSet` describes them.
        label_set: the labels of the data set.
    """

    texts: list[str]
    labels: np.ndarray
    label_set: LabelSet

    def measure(self, run: Run, texts: Sequence[str] | None = None, max_windows: int | None = None) -> dict[str, Any]:
        """Return the metrics of the model of a run, as `classification_metrics` does.

        Args:
            run: the run.
            texts: what the model reads in place of the texts, one for each; None for the texts themselves.
            max_windows: how many windows of a text it reads; None for as many as in its test.
        """
        windows = {} if max_windows is None else {"max_windows": max_windows}
        probabilities = Predictor(run.folder / MODEL_NAME, windows=windows).predict_proba(texts or self.texts)
        # A text without a known token has no probabilities: its label is anyone's guess, and it has none of several.
        guess = 0.0 if self.label_set.multi_label else 1 / len(self.label_set.names)
        probabilities = np.nan_to_num(probabilities, nan=guess)
        threshold = metrics_of(run)["application_threshold"] if self.label_set.multi_label else None
        return classification_metrics(self.label_set, self.labels, probabilities, threshold)


def unseen_texts(labelled: LabelledTexts, rows: np.ndarray) -> UnseenTexts:
    """Return some rows of a data set as the texts of a test."""
    return UnseenTexts([labelled.texts[row] for row in rows], labelled.labels[rows], labelled.label_set)


def metrics_of(run: Run) -> dict[str, Any]:
    """Return the content of a run's metrics.json."""
    return json.loads((run.folder / METRICS_NAME).read_text(encoding="utf-8"))


def measure_run(run: Run, test: UnseenTexts) -> dict[str, dict[str, Any]]:
    """Return the metrics of a run by row of the table: those that it wrote, and those with one window a text."""
    metrics = metrics_of(run)
    results = {BASELINE: metrics["baseline"], MODEL: most_probable_metrics(metrics["test"])}
    if test.label_set.is_binary:
        results[MODEL_AT_THRESHOLD] = metrics["test"]["thresholds"][threshold_key(metrics["application_threshold"])]
    results[ONE_WINDOW] = test.measure(run, max_windows=1)
    return results


def metrics_in(results: Results) -> list[str]:
    """Return those of `METRIC_TITLES` that every run has."""
    rows = [row for run in results.values() for row in run.values()]
    return [metric for metric in METRIC_TITLES if all(row.get(metric) is not None for row in rows)]


def mean_and_deviation(values: Sequence[float]) -> str:
    """Return the mean and the standard deviation of some values; of one value the deviation is 0."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


def summary_table(results: Results, pooled: dict[str, dict[str, Any]] | None = None) -> str:
    """Return a table with the means and deviations of each row of the results.

    Args:
        results: the metrics of each run, by row.
        pooled: the metrics over the texts of all runs, by row.
    """
    metrics, runs = metrics_in(results), list(results.values())
    of_pooled = [metric for metric in metrics if pooled and all(metric in row for row in pooled.values())]
    lines = [["", *(METRIC_TITLES[metric] for metric in metrics)]]
    lines[0] += [f"pooled {METRIC_TITLES[metric]}" for metric in of_pooled]
    for name in runs[0]:
        cells = [mean_and_deviation([run[name][metric] for run in runs]) for metric in metrics]
        lines.append([name, *cells, *(f"{pooled[name][metric]:.3f}" for metric in of_pooled)])
    return markdown_table(lines)


def runs_table(results: Results, title: str) -> str:
    """Return a table with the metrics of the model and the baseline in each run.

    Args:
        results: the metrics of each run, by row.
        title: the title of the first column, which names the run.
    """
    metrics = metrics_in(results)
    lines = [[title, "texts", *(cell for metric in metrics for cell in (METRIC_TITLES[metric], "baseline"))]]
    for key, run in results.items():
        cells = [f"{run[name][metric]:.3f}" for metric in metrics for name in (MODEL, BASELINE)]
        lines.append([key, f"{run[MODEL]['count']:,}", *cells])
    return markdown_table(lines)
