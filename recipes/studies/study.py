"""A study of one kind, from its first run to its table, and on again where it was interrupted."""

import dataclasses
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from recipes.fine_tuning import PLOT_NAME, fine_tune
from recipes.runs.distillation.classifiers import teacher_sha256
from recipes.runs.resumption import data_sha256, further_fingerprints
from recipes.runs.run_folder import (
    CHECKPOINT_NAME,
    PROGRESS_NAME,
    environment,
    finish_run,
    forget_finished,
    has_finished,
    run_in_folder,
)
from recipes.studies.folds import FoldStudy
from recipes.studies.grid import GridStudy
from recipes.studies.learning_curve import LearningCurveStudy
from recipes.studies.progress import Progress
from recipes.studies.runs import Report, Results, Run, Study
from recipes.studies.seeds import SeedStudy
from system.errors import InputError, OutputError
from system.files import sha256_of_file, write_atomically
from system.output.display import say
from text.corpus import corpus_files
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.splits import read_further_sets, read_rows
from training.plans.fine_tuning import FineTuningPlan

STUDY_NAME, MARKDOWN_NAME = "study.json", "study.md"


def study(
    plan: FineTuningPlan,
    defaults: FineTuningPlan,
    typed: Mapping[str, object] | None = None,
    plot_name: str = PLOT_NAME,
) -> Results | None:
    """Fine-tune several times, as the option `plan.study` says, and print one table of the metrics.

    The run folder gets study.md with the table, study.json with all metrics, and a folder for each run. `plan.output`
    is not written.

    Args:
        plan: the settings. A resumed study uses those in the run.json of the interrupted one, except for its folder,
            and does not repeat the runs that are finished.
        defaults: the plan of the script, whose values the commands in a report need not repeat.
        typed: the fields that the user set, with their values; a resumed study refuses one that differs.
        plot_name: the file name of the learning curves in each folder.

    Returns:
        The results of each run; None for a dry run.

    Raises:
        InputError: the data, a model or a folder cannot be used, there is no study to resume, or no run could be
            trained.
    """
    with run_in_folder(dataclasses.asdict(plan), typed or {}, has_model=False) as arguments:
        return _study(FineTuningPlan(**arguments), defaults, plot_name)


def holds_study(folder: str) -> bool:
    """Return whether a run folder holds an interrupted study."""
    return Path(folder, PROGRESS_NAME).is_file()


def _study(plan: FineTuningPlan, defaults: FineTuningPlan, plot_name: str) -> Results | None:
    labelled = read_rows(plan)
    kind = _kind_of(plan, labelled, defaults)
    if plan.dry_run:
        fine_tune(kind.runs[0].plan, plot_name=plot_name, test=kind.is_tested)
        print(kind.intention)
        return None
    sha256 = _sha256(labelled, kind.runs)
    if not plan.resume:
        for run in kind.runs:
            forget_finished(run.plan.run_folder)
    progress = Progress(Path(plan.run_folder, PROGRESS_NAME), sha256, resume=plan.resume)
    try:
        for number, run in enumerate(kind.runs, start=1):
            if run.key not in progress.results:
                print(f"\n{run.title}, {number} of {len(kind.runs)}", flush=True)
                progress.record(run.key, _train(kind, run, plot_name, progress))
            if progress.results[run.key] is None:
                progress.record(run.key, kind.measure(run))
    except KeyboardInterrupt:
        print(f"The study is saved in {plan.run_folder}; continue it with --resume.", file=sys.stderr)
        raise
    _write(Path(plan.run_folder), kind.report(progress.results))
    finish_run(plan.run_folder)
    failures = [result["failed"] for result in progress.results.values() if "failed" in result]
    if len(failures) == len(kind.runs):
        raise InputError(f"{plan.run_folder}: no run could be trained: {failures[0]}")
    return progress.results


def _kind_of(plan: FineTuningPlan, labelled: LabelledTexts, defaults: FineTuningPlan) -> Study:
    if plan.study == "grid":
        return GridStudy(plan, labelled, defaults)
    return {"seeds": SeedStudy, "folds": FoldStudy, "learning_curve": LearningCurveStudy}[plan.study](plan, labelled)


def _sha256(labelled: LabelledTexts, runs: list[Run]) -> str:
    """Return a hash of what the runs start from: the rows, the models, and other texts in files."""
    plan = runs[0].plan
    files = [*corpus_files(plan.unlabelled, "--unlabelled"), *corpus_files(plan.corpus)]
    files += [source for source, _ in plan.soft_sources]
    hashes = [*further_fingerprints(plan, read_further_sets(plan, labelled)), *map(sha256_of_file, files)]
    for teacher in plan.teachers:
        hashes += teacher_sha256(teacher)
    pretrained = dict.fromkeys(run.plan.pretrained for run in runs)
    return "\n".join(data_sha256(labelled, path, hashes) for path in pretrained)


def _train(kind: Study, run: Run, plot_name: str, progress: Progress) -> dict[str, Any] | None:
    """Train one run, unless it finished just before the study was interrupted.

    Returns:
        None; why the training failed as "failed", if that is a result.
    """
    arguments = dataclasses.asdict(run.plan)
    if has_finished(arguments):
        finish_run(run.plan.run_folder)  # it may have been interrupted in doing so
        return None
    keras.utils.clear_session()  # so that a run gives what it gives in a process of its own
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of each new compilation
    try:
        # All fields count as typed, so that only a run of this study is resumed.
        fine_tune(
            run.plan,
            arguments,
            plot_name=plot_name,
            test=kind.is_tested,
            validate_baseline=kind.validates_baseline,
        )
    except InputError as error:
        is_resumable = Path(run.folder, CHECKPOINT_NAME).is_file()
        if not (kind.is_tested or is_resumable or isinstance(error, OutputError)):
            say(f"error: {error}")
            return {"failed": str(error)}
        if not (progress.results or is_resumable):
            progress.forget()  # nothing is trained yet
        raise
    return None


def _write(folder: Path, report: Report) -> None:
    """Print the report, and write study.md, study.json and its other files."""
    print(f"\n{report.printed}")
    with write_atomically(folder / STUDY_NAME) as file:
        json.dump(report.content | environment(), file, indent=2, ensure_ascii=False)
        file.write("\n")
    with write_atomically(folder / MARKDOWN_NAME) as file:
        file.write(f"{report.markdown}\n")
    for name, write in report.files.items():
        write(folder / name)
    *names, last = (*report.files, MARKDOWN_NAME, STUDY_NAME)
    print(f"\n{report.closing}; {', '.join(names)} and {last} in {folder.resolve()}")
