"""The options of a labelled data set: its sources, its labels, its splits and its windows."""

import functools
import math
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from system.command_line import count, fraction, option, option_name, positive_int
from system.errors import InputError
from text.tokens.window_options import WINDOW_OPTIONS
from text.tokens.window_settings import WindowSettings

TEST_SIZE = 1 / 6  # of the original
USUAL_NAME = "detected by common names"
CLEANINGS = ("urls", "names", "hashtags", "reposts", "emoticons")
WEIGHT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

# Options by the heading under which --help shows them.
_data, _labels, _splits, _windows = (
    functools.partial(option, group=heading) for heading in ("data", "labels", "splits", "long texts")
)


def _window_option(name: str) -> Any:
    return _windows(getattr(WindowSettings, name), **WINDOW_OPTIONS[name])


class FurtherSource(NamedTuple):
    """A source of further labelled texts, and the weight of each of its training texts in the loss."""

    source: str
    weight: float


def parse_further_source(word: str, option: str = "--also") -> FurtherSource:
    """Parse SOURCE or SOURCE=WEIGHT, a value of `--also` or of another option.

    The name of a source may contain "=": only a number after the last one is a weight, and not even that where the
    whole word is the name of a file or folder, such as `year=2024`.

    Raises:
        InputError: the weight is not above 0, or there is nothing before it.
    """
    source, _, number = word.rpartition("=")
    if "=" not in word or not WEIGHT.fullmatch(number) or os.path.exists(word):
        return FurtherSource(word, 1.0)
    weight = float(number)
    if not source:
        raise InputError(f"{option} {word}: name a source before the weight, such as reviews.csv{word}")
    if not 0 < weight < math.inf:
        raise InputError(f"{option} {word}: the weight must be a number above 0")
    return FurtherSource(source, weight)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The options of a labelled data set.

    Raises:
        InputError: a window setting is out of range.
    """

    dataset: str = _data(
        metavar="SOURCE",
        help="labelled texts: a CSV, TSV, JSONL or Parquet file, a folder, the hub id of a data set, or sample, "
        "which is included",
    )
    validation_dataset: str | None = _data(
        None,
        metavar="SOURCE",
        help="official validation split, in any form of --dataset; of a folder or a hub data set with several splits, "
        "validation or dev is read",
        unset="a tenth of the training split",
    )
    test_dataset: str | None = _data(
        None,
        metavar="SOURCE",
        help="official test split, in any form of --dataset; of several splits, test is read",
        unset="drawn from --dataset, see --test-size",
    )
    also: list[str] = _data(
        [],
        nargs="+",
        metavar="SOURCE[=WEIGHT]",
        help="further labelled texts, in any form of --dataset, to train, validate and test on as well; the labels are "
        "those of --dataset, and so is the test set of the report, which has a line for each further set or group. A "
        "folder or a hub data set with several splits keeps them. Each training text counts WEIGHT times as much as "
        "one of --dataset",
    )
    exclude: list[str] = _data(
        [],
        nargs="+",
        metavar="SOURCE",
        help="sources of texts to leave out of training, validation, --unlabelled, --soft-labels and --corpus, as in "
        "pretrain.py; test texts are then left out of training and validation too",
    )
    text_column: str | None = _data(None, metavar="NAME", help="text column", unset=USUAL_NAME)
    label_column: str | None = _data(None, metavar="NAME", help="label column", unset=USUAL_NAME)
    group_column: str | None = _data(
        None,
        metavar="NAME",
        help="column of groups, such as domains; every split gets the same fraction of each group, and the report has "
        "metrics for each group. With --also a set may lack it, and a further set may have a column named group "
        "instead",
    )
    multi_label: bool = _labels(False, help="a text may have several labels, or none")
    label_separator: str | None = _labels(
        None, metavar="TEXT", help="separator of the labels in the label column, with --multi-label", unset="|"
    )
    label_columns: list[str] = _labels(
        [],
        nargs="+",
        metavar="NAME",
        help="columns of 0 and 1, one for each label, in the order of the labels; instead of a label column, with "
        "--multi-label",
    )
    labels: list[str] = _labels(
        [],
        nargs="+",
        metavar="LABEL",
        help="labels to use, in order; rows with another label are left out, or with --multi-label the other labels",
        unset="all labels of the data set",
    )
    label_map: str | None = _labels(
        None,
        metavar="FILE",
        help="CSV file with the columns label and new_label, to rename or merge labels; an empty new label leaves out "
        "the rows of a label, or with --multi-label the label",
    )
    label_corrections: str | None = _labels(
        None,
        metavar="FILE",
        help="labels to correct in training and validation, by text: a CSV, TSV, JSONL or Parquet file with the "
        "columns text and corrected_label, such as the label_audit.csv of --audit-labels after a reader has filled it "
        "in; an empty corrected_label changes nothing, and with --multi-label | alone means no label",
    )
    drop_duplicates: bool = _splits(
        False,
        help="leave out repeated texts, and from training and validation also texts that occur in a later split or "
        "have contradicting labels; --test-dataset stays complete. Texts are compared by their letters and digits",
    )
    clean: list[str] = _data(
        [],
        nargs="+",
        choices=("all", *CLEANINGS),
        metavar="WHAT",
        help=f"what to remove from every text: {', '.join(CLEANINGS)}, or all; names are @name, hashtags #topic#, "
        "reposts all from //@name on, emoticons [doge]. The model file stores it, and the application does the same",
        unset="nothing",
    )
    stratify: bool = _splits(
        False, help="give every split the same fraction of each label (always on for more than two labels)"
    )
    test_size: float = _splits(type=fraction, help="fraction of the rows in the test split")
    folds: int | None = _splits(
        None,
        type=positive_int,
        metavar="N",
        help="cross-validate: split the rows into N folds, and test on each a model that was trained on the others; "
        "each model has its own folder, fold-NUMBER in --run-folder",
        unset="train once",
    )
    fold: int | None = _splits(
        None,
        type=count,
        metavar="NUMBER",
        help="train for one of the --folds only; the first is 0",
        unset="all of them",
    )
    train_fraction: float | None = _splits(
        None,
        type=fraction,
        metavar="X",
        help="fraction of the training texts to train on, with about the same fraction of each label; validation and "
        "test splits stay as they are",
        unset="all of them",
    )
    train_draw: int = _splits(
        0,
        type=count,
        metavar="NUMBER",
        help="which texts --train-fraction draws; with the same number, a larger fraction contains a smaller one",
    )
    save_splits: str | None = _splits(
        None,
        metavar="FOLDER",
        help="folder to save the splits to: train.csv (training and validation) and test.csv; an official validation "
        "split is saved as validation.csv",
    )
    window: int | None = _window_option("window")
    stride: int | None = _window_option("stride")
    max_windows: int | None = _window_option("max_windows")
    spread_windows: int | None = _window_option("spread_windows")
    aggregate: str = _window_option("aggregate")

    def __post_init__(self) -> None:
        if self.max_windows is None or self.spread_windows is None:  # else `check_data` refuses them
            _ = self.windows  # raises

    def check_data(self, typed: Collection[str]) -> None:
        """Check that the options of the data do not contradict each other.

        Args:
            typed: the names of the fields that the command line sets.

        Raises:
            InputError: two options contradict each other.
        """
        if self.label_columns and self.label_column is not None:
            raise InputError("--label-columns replace --label-column: leave out one of the two")
        for name in ("label_columns", "label_separator"):
            if getattr(self, name) and not self.multi_label:
                raise InputError(f"{option_name(name)} needs --multi-label")
        if self.label_separator == "":
            raise InputError("--label-separator must not be empty")
        if len(set(self.label_columns)) < len(self.label_columns):
            raise InputError("--label-columns name a column twice")
        if self.label_columns and self.label_separator is not None:
            raise InputError("--label-separator splits the values of --label-column: leave out one of the two")
        _ = self.windows  # raises if two of their options contradict each other
        _ = self.further_sources  # raises for a wrong weight
        if self.also and self.save_splits is not None:
            raise InputError(
                "--save-splits saves the splits of one set: leave out --also, and save each set by a command of its own"
            )
        sizes_a_test = "test_size" in typed and not self.also  # else it is that of the further sets
        if self.test_dataset is not None and sizes_a_test:
            raise InputError("--test-dataset is the test split: leave out --test-size")
        if "train_draw" in typed and self.train_fraction is None:
            raise InputError("--train-draw needs --train-fraction")
        if self.folds is None:
            if self.fold is not None:
                raise InputError("--fold needs --folds")
            return
        if self.folds < 2:
            raise InputError("--folds must be at least 2")
        if self.fold is not None and self.fold >= self.folds:
            raise InputError(f"--fold {self.fold} is too large: the last of {self.folds} folds is {self.folds - 1}")
        for name in ("test_dataset", "save_splits"):
            if getattr(self, name) is not None:
                raise InputError(f"--folds test on every row in turn: leave out {option_name(name)}")
        if sizes_a_test:
            raise InputError("--folds set the size of the test splits: leave out --test-size")

    @property
    def further_sources(self) -> list[FurtherSource]:
        """The sources of `also`, with their weights."""
        return [parse_further_source(word) for word in self.also]

    @property
    def windows(self) -> WindowSettings:
        """The window settings."""
        return WindowSettings(**{name: getattr(self, name) for name in WINDOW_OPTIONS})
