"""A cross-validation: one fine-tuning for each fold of the rows, so that every row is tested once."""

from typing import Any

from evaluation.metrics import pooled_metrics
from recipes.studies.results import MODEL, measure_run, runs_table, summary_table, unseen_texts
from recipes.studies.runs import MODEL_NAME, Report, Results, Run, run_of
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.labelled_texts import LabelledTexts
from training.plans.fine_tuning import FineTuningPlan


class FoldStudy:
    """A study of `plan.folds` folds, each in a folder fold-NUMBER.

    Args:
        plan: the settings.
        labelled: the rows of the data set.

    Raises:
        InputError: in a fold, a split lacks one of the labels.
    """

    is_tested = True
    validates_baseline = False

    def __init__(self, plan: FineTuningPlan, labelled: LabelledTexts) -> None:
        self.runs = [run_of(plan, f"fold-{fold}", str(fold), f"Fold {fold}", fold=fold) for fold in range(plan.folds)]
        self.intention = f"The study would train one model for each of {plan.folds} folds, each in a folder of its own."
        self._folder, self._labelled = plan.run_folder, labelled
        # All of them, so that a fold that cannot be tested is known before the first is trained.
        self._rows = {run.key: rows_of_splits(labelled, run.plan).test for run in self.runs}

    def measure(self, run: Run) -> dict[str, Any]:
        """Return the metrics of a run by row of the table."""
        return measure_run(run, unseen_texts(self._labelled, self._rows[run.key]))

    def report(self, results: Results) -> Report:
        """Return means and deviations over the folds, and the metrics over all rows."""
        names = next(iter(results.values()))
        pooled = {name: pooled_metrics([run[name] for run in results.values()]) for name in names}
        title = (
            f"{pooled[MODEL]['count']:,} texts, each tested in one of {len(results)} folds; mean ± standard deviation "
            "over the folds; pooled over all texts"
        )
        tables = "\n\n".join([summary_table(results, pooled), runs_table(results, "fold")])
        return Report(
            printed=f"{title}\n\n{tables}",
            markdown=f"# {len(results)} folds\n\n{title}.\n\n{tables}",
            content={"folds": results, "pooled": pooled},
            closing=f"Models saved to {self._folder}/fold-*/{MODEL_NAME}",
        )
