"""The options of texts without labels, and of the teachers that label them."""

import functools
from collections.abc import Collection
from dataclasses import dataclass

from system.command_line import option, positive_int
from system.errors import InputError
from text.dataset.options import FurtherSource, parse_further_source

_unlabelled = functools.partial(option, group="unlabelled texts")


@dataclass(frozen=True, kw_only=True)
class DistillationOptions:
    """The options of texts without labels, and of the teachers that label them."""

    unlabelled: list[str] = _unlabelled(
        [],
        nargs="+",
        metavar="SOURCE",
        help="further training texts without labels, from the same kinds of sources as --corpus of pretrain.py; TF-IDF "
        "with logistic regression labels them",
    )
    teachers: list[str] = _unlabelled(
        [],
        nargs="+",
        metavar="FILE",
        help="classifiers with the same labels that also label these texts; together they count as much as TF-IDF",
    )
    mixtures: int | None = _unlabelled(
        None,
        type=positive_int,
        metavar="N",
        help="number of new texts, made of clauses of the training texts and --unlabelled, for the teachers to label",
    )

    soft_labels: list[str] = _unlabelled(
        [],
        nargs="+",
        metavar="FILE[=WEIGHT]",
        help="further training texts with the probability of each label in columns probability_LABEL, as "
        "--save-soft-labels and application.py --all-probabilities write them. Each text counts WEIGHT times as much "
        "as one of --dataset. Their teachers must not have learnt the test split of this run, so all --folds at once "
        "are refused",
    )
    save_soft_labels: str | None = _unlabelled(
        None,
        metavar="FILE",
        help="CSV file to save the texts that the teachers label to, for --soft-labels; also with --dry-run. "
        "A study is refused: save before it, by a command of its own",
        unset="none",
    )

    def check_distillation(self, typed: Collection[str]) -> None:
        """Check that there are texts for the teachers.

        Args:
            typed: the names of the fields that the command line sets.

        Raises:
            InputError: there are none, or the weight of a file is not a number.
        """
        if self.teachers and not (self.unlabelled or self.mixtures):
            raise InputError("--teachers have no texts to label: add --unlabelled or --mixtures")
        if self.save_soft_labels and not (self.unlabelled or self.mixtures):
            raise InputError("--save-soft-labels has no texts to save: add --unlabelled or --mixtures")
        _ = self.soft_sources  # raises for a wrong weight

    @property
    def soft_sources(self) -> list[FurtherSource]:
        """The files of `soft_labels`, with their weights."""
        return [parse_further_source(word, "--soft-labels") for word in self.soft_labels]
