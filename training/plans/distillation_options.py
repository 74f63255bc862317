"""The options of texts without labels, and of the teachers that label them."""

import functools
from collections.abc import Collection
from dataclasses import dataclass

from system.command_line import option, positive_float, positive_int, probability
from system.errors import InputError
from text.dataset.options import FurtherSource, parse_further_source
from training.plans.shared import CACHE_FOLDER

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
        help="classifiers with the same labels that also label these texts: .keras or .onnx files, folders with a "
        "BERT classifier of Hugging Face, or the hub ids of such classifiers. Together they count as much as TF-IDF. "
        f"{CACHE_FOLDER} keeps their answers",
    )
    teacher_temperature: float = _unlabelled(
        1.0,
        type=positive_float,
        metavar="X",
        help="divisor of the logits of the teachers and, for their texts, of those of the model in training; above 1 "
        "the less probable labels count more. Also for --soft-labels",
    )
    hard_label_weight: float = _unlabelled(
        1.0,
        type=probability,
        metavar="X",
        help="weight of its own label in the loss of a training text, from 0 to 1; the prediction of --teachers has "
        "the rest. 1: they do not label training texts. TF-IDF never does, because it has learnt these",
    )
    hidden_loss_weight: float | None = _unlabelled(
        None,
        type=positive_float,
        metavar="X",
        help="weight of the mean squared error between the hidden states of the model, projected to the width of the "
        "teacher, and those of one of --teachers with the same tokenizer, in the loss of all texts; with --unfreeze",
        unset="off",
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
            InputError: there are none, an option has no effect, or the weight of a file is not a number.
        """
        has_own_texts = bool(self.unlabelled or self.mixtures)
        if self.hard_label_weight < 1 and not self.teachers:
            raise InputError("--hard-label-weight leaves the rest to teachers: add --teachers")
        if self.hidden_loss_weight is not None:
            self._check_state_teacher()
        elif self.teachers and not self.asks_teachers:
            raise InputError(
                "--teachers have no texts to label: add --unlabelled, --mixtures or, for the training texts, "
                "--hard-label-weight; or let one of them teach its hidden states, with --hidden-loss-weight"
            )
        if self.teacher_temperature != 1 and not (self.asks_teachers or self.soft_labels):
            raise InputError(
                "--teacher-temperature has no teachers: add --unlabelled, --mixtures, --soft-labels or --teachers"
            )
        if self.save_soft_labels and not has_own_texts:
            raise InputError("--save-soft-labels has no texts to save: add --unlabelled or --mixtures")
        _ = self.soft_sources  # raises for a wrong weight

    def _check_state_teacher(self) -> None:
        """Check that there is one teacher, and that it may have hidden states."""
        if len(self.teachers) != 1:
            raise InputError(
                f"--hidden-loss-weight needs the hidden states of one teacher, but --teachers names "
                f"{len(self.teachers) or 'no'} files: name one"
            )
        if self.teachers[0].lower().endswith(".onnx"):
            raise InputError(
                f"--hidden-loss-weight: {self.teachers[0]} gives no hidden states; name the .keras file or the folder "
                "that it was made from"
            )

    @property
    def asks_teachers(self) -> bool:
        """Whether teachers label texts in this run."""
        return bool(self.unlabelled or self.mixtures or self.hard_label_weight < 1)

    @property
    def has_soft_loss(self) -> bool:
        """Whether the loss compares with labels and with teachers in different ways."""
        return self.teacher_temperature != 1 or self.hard_label_weight < 1

    @property
    def soft_sources(self) -> list[FurtherSource]:
        """The files of `soft_labels`, with their weights."""
        return [parse_further_source(word, "--soft-labels") for word in self.soft_labels]
