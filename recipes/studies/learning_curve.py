"""A learning curve: one fine-tuning on growing parts of the training texts, and what twice the texts would give."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.analysis.power_law import Curve, curve_of
from evaluation.report.learning_curve.page import learning_curve_page
from evaluation.report.learning_curve.plot import plot_learning_curve
from evaluation.report.learning_curve.wording import forecast_sentence, introduction, uncertainty
from evaluation.report.page.language import ENGLISH, Language, default_language
from recipes.studies.results import BASELINE, METRIC_TITLES, MODEL, mean_and_deviation, metrics_of
from recipes.studies.runs import Report, Results, Run, run_of
from system.errors import InputError
from system.files import write_atomically
from system.output.markdown import markdown_table
from text.dataset.draws.rows_of_splits import rows_of_sets
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.splits import excluded_texts, read_further_sets
from training.plans.fine_tuning import FineTuningPlan

PLOT_NAME, PAGE_NAME = "learning_curve.png", "learning_curve.html"
FRACTIONS = {"1/16": 1 / 16, "1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2, "all": None}
# Of fewer texts, and of fewer of each label, the errors say more about the draw than about the number of texts.
LEAST_TEXTS, LEAST_TEXTS_OF_LABEL = 16, 2
SECTIONS = {MODEL: "validation", BASELINE: "baseline"}  # of a run's metrics.json


class LearningCurveStudy:
    """A study of `plan.learning_curve` draws of each fraction, each in a folder part-FRACTION-draw-NUMBER.

    No run reads the test split: how many texts to label is a decision like that for a setting, and a test whose result
    has guided decisions no longer tells how good the model is on new texts. All runs are compared on the same
    validation split. Each draw has a seed of its own, for the training too.

    Args:
        plan: the settings.
        labelled: the rows of the data set.

    Raises:
        InputError: there are too few training texts for two sizes, or a split lacks one of the labels.
    """

    is_tested = False
    validates_baseline = True

    def __init__(self, plan: FineTuningPlan, labelled: LabelledTexts) -> None:
        sets = [labelled, *read_further_sets(plan, labelled)]
        excluded = excluded_texts(plan) if plan.also or plan.exclude else None
        count = sum(len(rows.train) for rows in rows_of_sets(sets, plan, excluded=excluded))
        least = max(LEAST_TEXTS, LEAST_TEXTS_OF_LABEL * len(labelled.label_set.names))
        if round(count / 2) < least:
            raise InputError(
                f"{plan.dataset}: {count:,} training texts are too few for --learning-curve, whose smallest part needs "
                f"{least}; label more texts first"
            )
        self._parts = {name: part for name, part in FRACTIONS.items() if part is None or round(part * count) >= least}
        # All sizes alike, as suits the smallest: where --head-fit auto changes, the curve would have a step.
        smallest = round(count * min(part or 1 for part in self._parts.values()))
        fit = "convergence" if plan.fits_head(smallest) else "epochs"
        self.runs = [
            run_of(
                dataclasses.replace(plan, head_fit=fit),
                f"part-{name.replace('/', '_')}-draw-{draw + 1}",
                f"{name}, {draw + 1}",
                f"Training texts: {name}, draw {draw + 1} of {plan.learning_curve}",
                seed=plan.seed + draw,
                train_fraction=part,
                train_draw=draw,
                save_splits=plan.save_splits if part is None and draw == 0 else None,
            )
            for name, part in self._parts.items()
            for draw in range(plan.learning_curve)
        ]
        self.intention = (
            f"The study would train {len(self.runs)} models, on {', '.join(self._parts)} of the training texts, and "
            "compare them on the validation split."
        )
        default = "micro_f1" if labelled.label_set.multi_label else "accuracy"
        self._metric = plan.monitor if plan.monitor in METRIC_TITLES else default
        self._draws, self._folder = plan.learning_curve, plan.run_folder
        self._language = plan.language or default_language(os.environ)

    def measure(self, run: Run) -> dict[str, Any]:
        """Return the number of training texts of a run, and the validation metrics of the model and the baseline."""
        metrics = metrics_of(run)
        return {name: metrics[name] for name in ("train_texts", *SECTIONS.values())}

    def report(self, results: Results) -> Report:
        """Return the table of all sizes, the forecasts, the plot and the page."""
        trained = {key: result for key, result in results.items() if "failed" not in result}
        curves = {name: self._curve(trained, section) for name, section in SECTIONS.items()}
        english = Language(ENGLISH)
        first, *sentences = self._sentences(results, trained, curves, english)
        printed = [first, markdown_table(self._rows(trained, english)), *sentences]
        laws = {name: curve.forecast._asdict() if curve.forecast else None for name, curve in curves.items()}
        title = METRIC_TITLES[self._metric]
        plot = functools.partial(
            plot_learning_curve, curves, error_title=f"Error on the validation split (1 − {title})"
        )

        def write_page(path: Path) -> None:
            t = Language(self._language)
            sentences = self._sentences(results, trained, curves, t)
            with write_atomically(path) as file:
                file.write(learning_curve_page(curves, title, sentences, self._rows(trained, t), t))

        return Report(
            printed="\n\n".join(printed),
            markdown="\n\n".join(["# Learning curve", *printed, f"![Learning curve]({PLOT_NAME})"]),
            content={"metric": self._metric, "learning_curve": results, "forecasts": laws},
            closing=f"Validation metrics and history of each run in {self._folder}/part-*",
            files={PLOT_NAME: plot, PAGE_NAME: write_page} if trained else {},
        )

    def _sentences(self, results: Results, trained: Results, curves: Mapping[str, Curve], t: Language) -> list[str]:
        """Return what the curve says: what its numbers are, what is missing, the forecasts, and how sure they are."""
        title, count = METRIC_TITLES[self._metric], _count(trained)
        failed = {key: result["failed"] for key, result in results.items() if "failed" in result}
        sentences = [
            introduction(title, count, self._draws, t),
            *(t(f"Not trained: {key}: {reason}", f"未能训练：{key}：{reason}") for key, reason in failed.items()),
            # Both sentences give the same reason for too few sizes.
            *dict.fromkeys(forecast_sentence(name, title, curve, self._draws, t) for name, curve in curves.items()),
        ]
        if self._metric == "accuracy" and trained:
            most = max(result["train_texts"] for result in trained.values())
            of_most = [each["validation"]["accuracy"] for each in trained.values() if each["train_texts"] == most]
            sentences.append(uncertainty(sum(of_most) / len(of_most), count, t))
        return sentences

    def _curve(self, trained: Results, section: str) -> Curve:
        errors = [1 - result[section][self._metric] for result in trained.values()]
        return curve_of([result["train_texts"] for result in trained.values()], errors)

    def _rows(self, trained: Results, t: Language) -> list[list[str]]:
        """Return a table with a line for each size: means and deviations of the model and of the baseline."""
        metrics = list(dict.fromkeys((self._metric, "accuracy", "macro_f1")))
        titles = [cell for name in metrics for cell in (METRIC_TITLES[name], t("baseline", "基线"))]
        lines = [[t("part", "部分"), t("texts", "文本数"), *titles]]
        for part in self._parts:
            runs = [result for key, result in trained.items() if key.split(",")[0] == part]
            if runs:
                cells = [
                    mean_and_deviation([run[section][name] for run in runs])
                    for name in metrics
                    for section in SECTIONS.values()
                ]
                lines.append([part, f"{runs[0]['train_texts']:,}", *cells])
        return lines


def _count(trained: Results) -> int:
    """Return the number of validation texts."""
    return next((result["validation"]["count"] for result in trained.values()), 0)
