"""A study of seeds: one fine-tuning repeated with several seeds, and the mean and standard deviation of its metrics."""

from typing import Any

from recipes.studies.results import (
    METRIC_TITLES,
    mean_and_deviation,
    measure_run,
    metrics_in,
    runs_table,
    summary_table,
    unseen_texts,
)
from recipes.studies.runs import MODEL_NAME, Report, Results, Run, run_of
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.labelled_texts import LabelledTexts
from training.plans.fine_tuning import FineTuningPlan

CONVERSIONS = {"s2t": "in Traditional characters", "s2hk": "in Hong Kong's characters"}  # by conversion of OpenCC


class SeedStudy:
    """A study with `plan.seeds` seeds from `plan.seed` on, each in a folder seed-SEED.

    Args:
        plan: the settings.
        labelled: the rows of the data set.
    """

    is_tested = True
    validates_baseline = False

    def __init__(self, plan: FineTuningPlan, labelled: LabelledTexts) -> None:
        self.runs = [
            run_of(
                plan,
                f"seed-{seed}",
                str(seed),
                f"Seed {seed}",
                seed=seed,
                save_splits=plan.save_splits if seed == plan.seed else None,
            )
            for seed in range(plan.seed, plan.seed + plan.seeds)
        ]
        self.intention = (
            f"The study would repeat this with {plan.seeds} seeds, from {plan.seed} on, each in a folder of its own."
        )
        self._folder = plan.run_folder
        self._test = unseen_texts(labelled, rows_of_splits(labelled, plan).test)

    def measure(self, run: Run) -> dict[str, Any]:
        """Return the metrics of a run by row of the table, those with converted characters too."""
        import opencc  # imported here, because other studies do not need it

        results = measure_run(run, self._test)
        for conversion, description in CONVERSIONS.items():
            convert = opencc.OpenCC(conversion).convert
            results[description] = self._test.measure(run, [convert(text) for text in self._test.texts])
        return results

    def report(self, results: Results) -> Report:
        """Return means and deviations, with the accuracy of each seed."""
        count = "1 seed" if len(results) == 1 else f"{len(results)} seeds"
        title = f"{len(self._test.texts):,} test texts; mean ± standard deviation of {count}"
        tables = (f"# {count}", f"{title}.", summary_table(results), runs_table(results, "seed"))
        return Report(
            printed=f"{title}, and the accuracy of each\n\n{_lines(results)}",
            markdown="\n\n".join(tables),
            content={"seeds": results},
            closing=f"Models saved to {self._folder}/seed-*/{MODEL_NAME}",
        )


def _lines(results: Results) -> str:
    """Return two lines for each row of the results: the means, and the first metric of each seed."""
    metrics, runs = metrics_in(results), list(results.values())
    lines = []
    for name in runs[0]:
        cells = (
            f"  {METRIC_TITLES[metric]} {mean_and_deviation([run[name][metric] for run in runs])}" for metric in metrics
        )
        lines.append(f"{name:30}" + "".join(cells))
        lines.append(f"{'':30}  " + ", ".join(f"{run[name][metrics[0]]:.4f}" for run in runs))
    return "\n".join(lines)
