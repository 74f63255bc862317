"""A learning curve: one fine-tuning on growing parts of the training texts, and what twice the texts would give."""

import functools
from typing import Any

from evaluation.analysis.power_law import LEAST_SIZES, Curve, Forecast, curve_of
from evaluation.report.learning_curve import plot_learning_curve
from recipes.studies.results import BASELINE, METRIC_TITLES, MODEL, mean_and_deviation, metrics_of
from recipes.studies.runs import Report, Results, Run, run_of
from system.errors import InputError
from system.output.markdown import markdown_table
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.labelled_texts import LabelledTexts
from training.plans.fine_tuning import FineTuningPlan

PLOT_NAME = "learning_curve.png"
FRACTIONS = {"1/16": 1 / 16, "1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2, "all": None}
# Of fewer texts, and of fewer of each label, the errors say more about the draw than about the number of texts.
LEAST_TEXTS, LEAST_TEXTS_OF_LABEL = 16, 2
SECTIONS = {MODEL: "validation", BASELINE: "baseline"}  # of a run's metrics.json
NO_GAIN = 0.0005  # a smaller one is 0.0 points


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
        count = len(rows_of_splits(labelled, plan).train)
        least = max(LEAST_TEXTS, LEAST_TEXTS_OF_LABEL * len(labelled.label_set.names))
        if round(count / 2) < least:
            raise InputError(
                f"{plan.dataset}: {count:,} training texts are too few for --learning-curve, whose smallest part needs "
                f"{least}; label more texts first"
            )
        self._parts = {name: part for name, part in FRACTIONS.items() if part is None or round(part * count) >= least}
        self.runs = [
            run_of(
                plan,
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

    def measure(self, run: Run) -> dict[str, Any]:
        """Return the number of training texts of a run, and the validation metrics of the model and the baseline."""
        metrics = metrics_of(run)
        return {name: metrics[name] for name in ("train_texts", *SECTIONS.values())}

    def report(self, results: Results) -> Report:
        """Return the table of all sizes, the forecasts and the plot."""
        trained = {key: result for key, result in results.items() if "failed" not in result}
        failures = [f"{key}: {results[key]['failed']}" for key in results if key not in trained]
        curves = {name: self._curve(trained, section) for name, section in SECTIONS.items()}
        title, count = METRIC_TITLES[self._metric], "1 draw" if self._draws == 1 else f"{self._draws} draws"
        forecasts = [_sentence(name, title, curve, self._draws) for name, curve in curves.items()]
        parts = [
            f"{title[0].upper()}{title[1:]} on the validation split, {_count(trained):,} texts; mean ± standard "
            f"deviation of {count}. Nothing was tested, and no model was saved.",
            self._table(trained),
            *(f"Not trained: {failure}" for failure in failures),
            # Both sentences give the same reason for too few sizes.
            *dict.fromkeys(forecasts),
        ]
        if self._metric == "accuracy" and trained:
            parts.append(_uncertainty(trained))
        laws = {name: curve.forecast._asdict() if curve.forecast else None for name, curve in curves.items()}
        plot = functools.partial(
            plot_learning_curve, curves, error_title=f"Error on the validation split (1 − {title})"
        )
        return Report(
            printed="\n\n".join(parts),
            markdown="\n\n".join(["# Learning curve", *parts, f"![Learning curve]({PLOT_NAME})"]),
            content={"metric": self._metric, "learning_curve": results, "forecasts": laws},
            closing=f"Validation metrics and history of each run in {self._folder}/part-*",
            plots={PLOT_NAME: plot} if trained else {},
        )

    def _curve(self, trained: Results, section: str) -> Curve:
        errors = [1 - result[section][self._metric] for result in trained.values()]
        return curve_of([result["train_texts"] for result in trained.values()], errors)

    def _table(self, trained: Results) -> str:
        """Return a table with a line for each size: means and deviations of the model and of the baseline."""
        metrics = list(dict.fromkeys((self._metric, "accuracy", "macro_f1")))
        lines = [["part", "texts", *(cell for name in metrics for cell in (METRIC_TITLES[name], "baseline"))]]
        for part in self._parts:
            runs = [result for key, result in trained.items() if key.split(",")[0] == part]
            if runs:
                cells = [
                    mean_and_deviation([run[section][name] for run in runs])
                    for name in metrics
                    for section in SECTIONS.values()
                ]
                lines.append([part, f"{runs[0]['train_texts']:,}", *cells])
        return markdown_table(lines)


def _count(trained: Results) -> int:
    """Return the number of validation texts."""
    return next((result["validation"]["count"] for result in trained.values()), 0)


def _sentence(name: str, metric: str, curve: Curve, draws: int) -> str:
    """Return what twice the texts are expected to give, in a sentence or two."""
    forecast = curve.forecast
    if forecast is None:
        sizes = len(set(curve.num_texts))
        return (
            f"No forecast: {sizes} sizes were trained, and a power law needs {LEAST_SIZES}. Label more texts, and draw "
            "the curve again."
        )
    if forecast.gain < NO_GAIN:
        return (
            f"{name}: its {metric} no longer rises with the number of training texts, so twice as many "
            f"({forecast.target:,}) are not expected to raise it."
        )
    return (
        f"{name}: with twice the training texts ({forecast.target:,}), the expected {metric} is about "
        f"{1 - forecast.error_at_target:.3f}{_errors_interval(forecast)} instead of "
        f"{1 - forecast.error_at_largest:.3f}: {100 * forecast.gain:.1f} points more{_gain_interval(forecast)}."
        + (" A single draw gives no interval; --learning-curve 3 gives one." if draws == 1 else "")
    )


def _errors_interval(forecast: Forecast) -> str:
    if forecast.error_interval is None:
        return ""
    low, high = forecast.error_interval
    return f" (95% interval {1 - high:.3f} to {1 - low:.3f})"


def _gain_interval(forecast: Forecast) -> str:
    if forecast.gain_interval is None:
        return ""
    low, high = forecast.gain_interval
    chance = ", so perhaps no more at all" if low < NO_GAIN else ""
    return f" ({100 * low:.1f} to {100 * high:.1f}{chance})"


def _uncertainty(trained: Results) -> str:
    """Return how uncertain the number of validation texts alone makes every accuracy."""
    accuracy = max(result["validation"]["accuracy"] for result in trained.values())
    margin = 1.96 * (accuracy * (1 - accuracy) / _count(trained)) ** 0.5
    return (
        "The intervals contain the chance of draws and seeds. That of the validation texts comes on top: with so many "
        f"of them any accuracy is uncertain by ±{100 * margin:.1f} points, but all sizes in much the same direction."
    )
