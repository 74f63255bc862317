"""A grid: one fine-tuning for each combination of option values, compared on the validation split alone."""

import dataclasses
import re
from typing import Any

from recipes.fine_tuning import METRICS_NAME
from recipes.studies.results import metrics_of
from recipes.studies.runs import Report, Results, Run, run_of
from system.command_line import option_name
from system.output.markdown import markdown_table
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.labelled_texts import LabelledTexts
from training.objectives.masked_rows import MASKED_LM
from training.plans.fine_tuning import FineTuningPlan
from training.plans.grid import Combination, combinations, command_of
from training.plans.training_options import MONITORS

MOST_CHARACTERS_OF_A_FOLDER = 100
NEED_UNFREEZE = ("learning_rate", "dropout_rate")  # others that do are refused without it
# The metrics of the table by the name that --monitor gives them, and their titles.
METRICS = dict(zip(MONITORS, ("log_loss", "accuracy", "macro_f1", "micro_f1"), strict=True))
TITLES = dict(zip(MONITORS, ("loss", "accuracy", "macro-F1", "micro-F1"), strict=True))


class GridStudy:
    """A study of the combinations of `plan.grid`, each in a folder grid-NUMBER-SETTINGS without a model.

    No run reads the test split, so that the best combination can be tested once, afterwards.

    Args:
        plan: the settings.
        labelled: the rows of the data set.
        defaults: the plan of the script, whose values a command line need not repeat.

    Raises:
        InputError: the grid is not one, or a split lacks one of the labels.
    """

    is_tested = False
    validates_baseline = False

    def __init__(self, plan: FineTuningPlan, labelled: LabelledTexts, defaults: FineTuningPlan) -> None:
        rows_of_splits(labelled, plan)  # raises before the first combination is trained
        self._combinations = {str(number): each for number, each in enumerate(combinations(plan.grid), start=1)}
        frozen = [each for each in self._combinations.values() if each.values.get("unfreeze", plan.unfreeze) == 0]
        for name in NEED_UNFREEZE:
            if any(name in each.values for each in frozen):
                print(f"{option_name(name)} changes nothing without --unfreeze: its values will give equal results")
        self.runs = [
            run_of(
                plan,
                _folder_name(number, each),
                number,
                str(each),
                save_splits=plan.save_splits if number == "1" else None,
                **each.values | {"head_fit": self._plan_of(plan, each).head_fit},
            )
            for number, each in self._combinations.items()
        ]
        self.intention = f"The study would compare {len(self.runs)} combinations on the validation split: " + "; ".join(
            run.title for run in self.runs
        )
        self._commands = {
            number: command_of(dataclasses.replace(plan, **each.values), defaults)
            for number, each in self._combinations.items()
        }
        self._monitor, self._folder = plan.monitor or MONITORS[0], plan.run_folder

    @staticmethod
    def _plan_of(plan: FineTuningPlan, combination: Combination) -> FineTuningPlan:
        """Return the plan of a combination, as if its options were typed."""
        return dataclasses.replace(plan, **combination.values).with_typed(combination.values)

    def measure(self, run: Run) -> dict[str, Any]:
        """Return the metrics of the weights that a run ended with: of the validation, and of the masked tokens."""
        metrics = metrics_of(run)
        return {name: metrics[name] for name in ("validation", MASKED_LM) if name in metrics}

    def report(self, results: Results) -> Report:
        """Return a table of all combinations, the best first, and the commands that train them."""
        failed = [key for key in results if "failed" in results[key]]
        trained = sorted(results.keys() - failed, key=lambda key: (self._rank(results[key]), int(key)))
        parts = [
            f"{len(results)} combinations, compared on the validation split by {TITLES[self._monitor]}. Nothing was "
            "tested, and no model was saved.",
            self._table(results, [*trained, *failed]),
            *(f"Run {key} failed: {results[key]['failed']}" for key in failed),
        ]
        best, others = trained[:1], trained[1:]
        parts += [f"To train and test the best one:\n\n    {self._commands[key]}" for key in best]
        lines = [f"    {self._commands[key]}" for key in others]
        entries = [
            {"run": key, "options": self._combinations[key].texts, **results[key], "command": self._commands[key]}
            for key in (*trained, *failed)
        ]
        return Report(
            printed="\n\n".join(parts),
            markdown="\n\n".join(["# Grid", *parts, *(["The others:", "\n".join(lines)] if lines else [])]),
            content={"monitor": self._monitor, "best": best[0] if best else None, "grid": entries},
            closing=f"Validation metrics and history of each run in {self._folder}/grid-*/{METRICS_NAME}",
        )

    def _rank(self, result: dict[str, Any]) -> float:
        """Return a number that is lower for a better run."""
        value = result["validation"][METRICS[self._monitor]]
        return value if self._monitor == "loss" else -value

    def _table(self, results: Results, keys: list[str]) -> str:
        """Return the table of the runs in the order of `keys`."""
        names = list(next(iter(self._combinations.values())).texts)
        measured = [results[key].get("validation", {}) for key in keys]
        # Only a text of several labels has a micro-F1.
        monitors = [name for name in MONITORS if name != "micro_f1" or any("micro_f1" in of_run for of_run in measured)]
        has_masked_lm = any(MASKED_LM in results[key] for key in keys)
        lines = [["", "run", *names, *(TITLES[name] for name in monitors), *["masked-LM loss"] * has_masked_lm]]
        for number, (key, metrics) in enumerate(zip(keys, measured, strict=True)):
            values = [f"{metrics[METRICS[name]]:.4f}" if metrics else "failed" for name in monitors]
            if has_masked_lm:
                values.append(f"{results[key][MASKED_LM]['loss']:.4f}" if MASKED_LM in results[key] else "")
            texts = self._combinations[key].texts
            lines.append(["best" if number == 0 and metrics else "", key, *(texts[name] for name in names), *values])
        return markdown_table(lines)


def _folder_name(number: str, combination: Combination) -> str:
    """Return the name of a run's folder, in characters that every file system and shell takes as they are."""
    settings = ",".join(f"{name}={re.sub(r'[^0-9A-Za-z.+-]+', '_', text)}" for name, text in combination.texts.items())
    return f"grid-{int(number):03}-{settings}"[:MOST_CHARACTERS_OF_A_FOLDER]
