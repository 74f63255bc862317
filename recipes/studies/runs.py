"""What all studies are made of: their runs, each in a folder of its own, and their report."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from recipes.runs.run_folder import CHECKPOINT_NAME
from training.plans.fine_tuning import FineTuningPlan

MODEL_NAME = "classifier.keras"

Results = dict[str, dict[str, Any]]  # by key of the run


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        key: its name among the results.
        title: what it is, at the terminal.
        plan: its settings.
    """

    key: str
    title: str
    plan: FineTuningPlan

    @property
    def folder(self) -> Path:
        """The folder of all its files."""
        return Path(self.plan.run_folder)


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of a study, for people and for programs.

    Attributes:
        printed: what the terminal shows.
        markdown: the content of study.md.
        content: the content of study.json.
        closing: the end of the last line at the terminal: where the results are.
        files: functions that write a picture or a page to the path that they are given, by the name of the file.
    """

    printed: str
    markdown: str
    content: dict[str, Any]
    closing: str
    files: Mapping[str, Callable[[Path], object]] = dataclasses.field(default_factory=dict)


class Study(Protocol):
    """A kind of study.

    Attributes:
        runs: the runs, in the order in which they are trained.
        is_tested: whether each run tests and saves its model. If not, it ends with its validation, and a run that
            cannot be trained does not end the study.
        validates_baseline: whether each run that is not tested validates the baseline too.
        intention: a sentence about the runs, for a dry run.
    """

    runs: list[Run]
    is_tested: bool
    validates_baseline: bool
    intention: str

    def measure(self, run: Run) -> dict[str, Any]:
        """Return the results of a run that has finished, as JSON values."""

    def report(self, results: Results) -> Report:
        """Return the report of all runs."""


def run_of(plan: FineTuningPlan, folder_name: str, key: str, title: str, **changes: Any) -> Run:
    """Return a run of a study, which resumes its own interrupted run if there is one.

    Args:
        plan: the settings of the study.
        folder_name: the name of the run's folder in that of the study.
        key: see `Run`.
        title: see `Run`.
        changes: the settings in which the run differs, by field.
    """
    folder = Path(plan.run_folder, folder_name)
    own = {
        "seeds": None,
        "grid": [],
        "learning_curve": None,
        "output": str(folder / MODEL_NAME),
        "report_folder": str(folder),
        "run_folder": str(folder),
        "resume": plan.resume and (folder / CHECKPOINT_NAME).is_file(),
    }
    return Run(key, title, dataclasses.replace(plan, **own, **changes))
