"""The settings of a fine-tuning, each field an option; a default that a script defines is not repeated here."""

import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from system.command_line import option, option_name, positive_float, positive_int, probability
from system.errors import InputError
from system.files import is_part_of
from text.dataset.options import DataOptions
from training.plans.grid import combinations
from training.plans.shared import (
    CHECKPOINT_SECONDS_HELP,
    CHECKPOINT_STEPS_HELP,
    DRY_RUN_HELP,
    LANGUAGES,
    RESUME_HELP,
    require_model_names,
    require_page_name,
)
from training.plans.training_options import TrainingOptions

_study, _result = (functools.partial(option, group=heading) for heading in ("studies", "result"))
NUM_POSSIBLE_SEEDS = 2**32
MOST_DOUBTED = 200  # rows that a person reads in an hour
# The options that name what a run reads, and the models that it writes.
DATA_FILES = ("dataset", "validation_dataset", "test_dataset", "also", "exclude", "label_map", "label_corrections")
TRAINING_FILES = (
    "unlabelled",
    "teachers",
    "soft_labels",
    "corpus",
    "prune_vocab",
    "pretrained",
    "output",
    "backbone_output",
)


@dataclass(frozen=True, kw_only=True)
class FineTuningPlan(TrainingOptions, DataOptions):
    """The settings of a fine-tuning: its data, its training and its results.

    Raises:
        InputError: a window setting is out of range.
    """

    seeds: int | None = _study(
        None,
        type=positive_int,
        metavar="N",
        help="train one model for each of N seeds, starting at --seed, and report means and standard deviations; "
        "each model has its own folder, seed-SEED in --run-folder",
        unset="train once",
    )
    grid: list[str] = _study(
        [],
        nargs="+",
        metavar="NAME=VALUE,VALUE…",
        help="train one model for each combination of values of these options, such as learning_rate=1e-4,5e-4 "
        "epochs=2,3, and compare them on the validation split",
        unset="train once",
    )
    learning_curve: int | None = _study(
        None,
        type=positive_int,
        metavar="N",
        help="train on 1/16, 1/8, 1/4, 1/2 and all of the training texts, N times each with other texts and seeds, "
        "compare the models with TF-IDF on the validation split, and predict what twice the texts would give; from 2 "
        "on the prediction has an interval",
        unset="train once",
    )

    threshold: float | None = _result(
        None,
        type=probability,
        help="threshold for the metrics in the report, not stored in the model; only for two labels or --multi-label",
        unset="0.7 for sentiment, 0.5 for two other labels, the best one of each label with --multi-label",
    )
    output: str = _result("mini_bert_sentiment_classifier.keras", metavar="FILE", help="file to save the model to")
    backbone_output: str | None = _result(
        None,
        metavar="FILE",
        help="file to save the trained network without its head to, as a --pretrained model for further fine-tuning",
    )
    report_folder: str = _result(
        ".", metavar="FOLDER", help="folder for learning curves, confusion matrix and metrics.json"
    )
    report: str | None = _result(
        None,
        metavar="FILE.html",
        help="HTML page about the test, which needs no other file and no network: how sure each metric is, the "
        "thresholds, the calibration, and the words that caused mistakes",
    )
    language: str | None = _result(
        None,
        choices=LANGUAGES,
        help="language of the pages of --report, --audit-labels and --learning-curve: Chinese or English",
        unset="that of the locale",
    )
    audit_labels: int | None = _result(
        None,
        type=positive_int,
        nargs="?",
        const=MOST_DOUBTED,
        metavar="N",
        help="before the training, list the N training and validation rows whose labels are most in doubt in "
        "label_audit.html and label_audit.csv in --report-folder; its column corrected_label is for "
        f"--label-corrections. Without N: {MOST_DOUBTED}. With --dry-run, nothing is trained",
        unset="no audit",
    )
    run_folder: str = _result(
        "runs/fine_tuning", metavar="FOLDER", help="folder for run.json, the checkpoint and the runs of a study"
    )
    checkpoint_seconds: float = _result(60.0, type=positive_float, help=CHECKPOINT_SECONDS_HELP)
    checkpoint_steps: int | None = _result(
        None, type=positive_int, metavar="N", help=CHECKPOINT_STEPS_HELP, unset="by time alone"
    )
    resume: bool = _result(False, help=RESUME_HELP)
    dry_run: bool = _result(False, help=DRY_RUN_HELP)

    def check(self, typed: Collection[str]) -> None:
        """Check that the options do not contradict each other.

        Args:
            typed: the names of the fields that the command line sets.

        Raises:
            InputError: two options contradict each other, or the name of a model file does not end with .keras.
        """
        if self.study is not None:
            self._check_study(typed)
        if self.study == "grid":
            return  # each combination is checked; it may set what the other options need
        require_model_names(self.output, self.backbone_output)
        self.check_data(typed)
        self.check_training(typed)
        self._check_balance()
        if self.audit_labels and self.distributed:
            raise InputError("--distributed trains only: audit the labels before, without it and with --dry-run")
        if self.save_soft_labels:
            self._check_saved_soft_labels(Path(self.save_soft_labels))
        if self.report is not None:
            require_page_name("--report", self.report)
        elif self.language is not None and not (self.audit_labels or self.learning_curve):
            raise InputError("--language is that of --report, --audit-labels and --learning-curve: add one of them")
        if self.backbone_output and self.unfreeze == 0:
            raise InputError("--backbone-output would save an unchanged model: add --unfreeze")
        if self.document_loss and self.unfreeze == 0 and self.aggregate in ("max", "logsumexp"):
            raise InputError(
                f"--document-loss with --aggregate {self.aggregate} needs --unfreeze: the head alone is trained on the "
                "mean of a text's windows"
            )
        if self.backbone_output and Path(self.backbone_output).resolve() == Path(self.output).resolve():
            raise InputError("--backbone-output and --output must be different files")

    def _check_saved_soft_labels(self, path: Path) -> None:
        """Check that the soft labels are saved to a CSV file that is nothing else, and in no folder that is read."""
        if path.suffix.lower() != ".csv":
            raise InputError(f"--save-soft-labels {path}: the name of the file must end with .csv")
        further = {"also": self.further_sources, "soft_labels": self.soft_sources}
        for name in (*DATA_FILES, *TRAINING_FILES):
            values = [each.source for each in further[name]] if name in further else getattr(self, name)
            for value in [values] if isinstance(values, str) else values or ():
                if is_part_of(path, value):
                    raise InputError(f"--save-soft-labels {path} is also in {option_name(name)}; choose another file")

    def _check_balance(self) -> None:
        """Check that what presumes one label per text, or several, goes with the labels."""
        if self.monitor == "micro_f1" and not self.multi_label:
            raise InputError("--monitor micro_f1 needs --multi-label; with one label per text, use --monitor accuracy")
        for name, unset in (("class_weights", "none"), ("balanced_sampling", False)):
            if self.multi_label and getattr(self, name) != unset:
                raise InputError(
                    f"{option_name(name)} needs one label per text: leave it out with --multi-label, which chooses a "
                    "threshold for each label instead"
                )

    @property
    def study(self) -> str | None:
        """The name of the option that asks for several models, such as "seeds" or "folds"; None for one model."""
        if self.folds is not None and self.fold is None:
            return "folds"
        return next((name for name in ("seeds", "grid", "learning_curve") if getattr(self, name)), None)

    def _check_study(self, typed: Collection[str]) -> None:
        several = [name for name in ("seeds", "grid", "folds", "learning_curve") if getattr(self, name)]
        if len(several) > 1:
            raise InputError(f"{' and '.join(map(option_name, several))} cannot be combined: leave out all but one")
        if self.distributed:
            raise InputError(f"--distributed trains one model: leave out {option_name(self.study)}")
        if self.audit_labels:
            raise InputError(
                f"{option_name(self.study)} would audit the labels once for each model: leave out --audit-labels, and "
                "audit them before by a command of its own, with --dry-run"
            )
        for name in ("output", "backbone_output", "report_folder", "report"):
            if name in typed:
                raise InputError(
                    f"{option_name(self.study)} saves each model and its report in --run-folder: leave out "
                    f"{option_name(name)}"
                )
        if self.save_soft_labels:
            raise InputError(
                f"{option_name(self.study)} would save the soft labels once for each model: leave out "
                "--save-soft-labels, and save them before by a command of its own, with --dry-run"
            )
        if self.study == "learning_curve":
            for name in ("soft_labels", "teachers"):
                if getattr(self, name):
                    raise InputError(
                        "--learning-curve trains on parts of the texts, but teachers may have learnt all of them: "
                        f"leave out {option_name(name)}"
                    )
            if self.threshold is not None:
                raise InputError("--threshold is for a test, and --learning-curve tests nothing: leave out --threshold")
        if self.study == "folds" and self.soft_labels:
            raise InputError(
                "--folds test on every row in turn, but the teachers of --soft-labels may have learnt some of these "
                "rows: train for one --fold at a time, with soft labels of its own"
            )
        for combination in combinations(self.grid) if self.grid else ():
            try:
                replace(self, grid=[], **combination.values).check({*typed, *combination.values})
            except InputError as error:
                raise InputError(f"--grid {combination}: {error}") from error
        if self.learning_curve and self.train_fraction is not None:
            raise InputError("--learning-curve sets the fractions itself: leave out --train-fraction")
        for name in ("seeds", "learning_curve"):
            count = getattr(self, name)
            if count is not None and self.seed + count > NUM_POSSIBLE_SEEDS:
                raise InputError(
                    f"--seed {self.seed} is too large for {option_name(name)} {count}: seeds end at "
                    f"{NUM_POSSIBLE_SEEDS - 1}"
                )
