"""The settings of a fine-tuning, each field an option; a default that a script defines is not repeated here."""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.command_line import (
    count,
    fraction,
    option,
    option_name,
    or_word,
    positive_float,
    positive_int,
    probability,
    seed,
)
from system.errors import InputError
from text.tokens.window_options import WINDOW_OPTIONS
from text.tokens.window_settings import WindowSettings

# Options by the heading under which --help shows them.
_data, _training, _result = (functools.partial(option, group=heading) for heading in ("data", "training", "result"))
USUAL_NAME = "detected by common names"
RESUME_HELP = "continue the interrupted run in the run folder"
DRY_RUN_HELP = "check all input, print what the run would use, and stop before training"
NUM_POSSIBLE_SEEDS = 2**32


def require_model_names(*paths: str | None) -> None:
    """Require the suffix .keras, without which Keras would refuse to save the model after hours of training."""
    for path in paths:
        # The attempt to write to a folder has its own error message.
        if path is not None and Path(path).suffix != ".keras" and not Path(path).is_dir():
            raise InputError(f"{path}: the name of a model file must end with .keras")


def _window_option(name: str) -> Any:
    return _data(getattr(WindowSettings, name), **WINDOW_OPTIONS[name])


@dataclass(frozen=True, kw_only=True)
class FineTuningPlan:
    """The settings of a fine-tuning: its data, its training and its results.

    Raises:
        InputError: a window setting is out of range.
    """

    dataset: str = _data(
        metavar="SOURCE",
        help="labelled texts: a CSV, TSV, JSONL or Parquet file, a folder, the hub id of a data set, or sample",
    )
    text_column: str | None = _data(None, metavar="NAME", help="text column", unset=USUAL_NAME)
    label_column: str | None = _data(None, metavar="NAME", help="label column", unset=USUAL_NAME)
    group_column: str | None = _data(
        None,
        metavar="NAME",
        help="column of groups, such as domains; every split gets the same fraction of each group, and the report has "
        "metrics for each group",
    )
    unlabelled: list[str] = _data(
        [],
        nargs="+",
        metavar="SOURCE",
        help="further training texts without labels, from the same kinds of sources as --corpus of pretrain.py; TF-IDF "
        "with logistic regression labels them",
    )
    teachers: list[str] = _data(
        [],
        nargs="+",
        metavar="FILE",
        help="classifiers that also label these texts; together they count as much as TF-IDF",
    )
    mixtures: int | None = _data(
        None,
        type=positive_int,
        metavar="N",
        help="number of new texts, made of clauses of the training texts and --unlabelled, for the teachers to label",
    )
    window: int | None = _window_option("window")
    stride: int | None = _window_option("stride")
    max_windows: int | None = _window_option("max_windows")
    aggregate: str = _window_option("aggregate")
    labels: list[str] = _data(
        [],
        nargs="+",
        metavar="LABEL",
        help="labels to use, in order; rows with another label are left out",
        unset="all labels of the data set",
    )
    label_map: str | None = _data(
        None,
        metavar="FILE",
        help="CSV file with the columns label and new_label, to rename or merge labels; an empty new label leaves out "
        "the rows of a label",
    )
    stratify: bool = _data(
        False, help="give every split the same fraction of each label (always on for more than two labels)"
    )
    test_size: float = _data(type=fraction, help="fraction of the rows in the test split")
    save_splits: str | None = _data(
        None,
        metavar="FOLDER",
        help="folder for the splits: train.csv (training and validation) and test.csv",
    )

    pretrained: str = _training(metavar="FILE", help="pre-trained model to start from")
    unfreeze: int | str = _training(
        0,
        type=or_word("all", count, "all"),
        metavar="N",
        help="number of encoders to train besides the head, from the top, or all to train the whole network",
    )
    epochs: int = _training(type=positive_int, help="number of passes over the training data")
    batch_size: int = _training(type=positive_int, help="texts per batch, or windows per batch if encoders are trained")
    learning_rate: float = _training(
        type=positive_float, help="learning rate of the pre-trained weights, with --unfreeze"
    )
    head_learning_rate: float = _training(type=positive_float, help="learning rate of the head")
    dropout_rate: float = _training(type=probability, help="dropout rate, with --unfreeze")
    no_xla: bool = _training(False, help="do not compile the training step with XLA")
    seed: int = _training(type=seed, help="seed for initial weights, order of the texts and dropout")
    seeds: int | None = _training(
        None,
        type=positive_int,
        metavar="N",
        help="train one model for each of N seeds, starting at --seed, and report means and standard deviations; "
        "each model has its own folder, seed-SEED in --run-folder",
        unset="train once",
    )

    threshold: float | None = _result(
        None,
        type=probability,
        help="threshold of the application, for the metrics in the report; only for two labels",
        unset="0.7 for sentiment, 0.5 for two other labels",
    )
    output: str = _result("mini_bert_sentiment_classifier.keras", metavar="FILE", help="file to save the model to")
    backbone_output: str | None = _result(
        None,
        metavar="FILE",
        help="file to save the --pretrained model with the fine-tuned encoders to, for further fine-tuning",
    )
    report_folder: str = _result(
        ".", metavar="FOLDER", help="folder for learning curves, confusion matrix and metrics.json"
    )
    run_folder: str = _result("runs/fine_tuning", metavar="FOLDER", help="folder for run.json and the checkpoint")
    resume: bool = _result(False, help=RESUME_HELP)
    dry_run: bool = _result(False, help=DRY_RUN_HELP)

    def __post_init__(self) -> None:
        _ = self.windows  # raises

    def check(self, typed: Collection[str]) -> None:
        """Check that the options do not contradict each other.

        Args:
            typed: the names of the fields that the command line sets.

        Raises:
            InputError: two options contradict each other, or the name of a model file does not end with .keras.
        """
        require_model_names(self.output, self.backbone_output)
        if self.teachers and not (self.unlabelled or self.mixtures):
            raise InputError("--teachers have no texts to label: add --unlabelled or --mixtures")
        if self.backbone_output and self.unfreeze == 0:
            raise InputError("--backbone-output would save an unchanged model: add --unfreeze")
        if self.backbone_output and Path(self.backbone_output).resolve() == Path(self.output).resolve():
            raise InputError("--backbone-output and --output must be different files")
        if self.seeds is None:
            return
        for name in ("output", "backbone_output", "report_folder"):
            if name in typed:
                raise InputError(
                    f"--seeds saves each model and its report in --run-folder: leave out {option_name(name)}"
                )
        if self.seed + self.seeds > NUM_POSSIBLE_SEEDS:
            raise InputError(
                f"--seed {self.seed} is too large for --seeds {self.seeds}: seeds end at {NUM_POSSIBLE_SEEDS - 1}"
            )

    @property
    def windows(self) -> WindowSettings:
        """The window settings."""
        return WindowSettings(
            window=self.window, stride=self.stride, max_windows=self.max_windows, aggregate=self.aggregate
        )

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the training step."""
        return not self.no_xla
