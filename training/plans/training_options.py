"""The options of the training of a classifier: its loss, its optimizer and when it ends."""

import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

from system.command_line import (
    fraction,
    option,
    option_name,
    positive_float,
    positive_int,
    probability,
    seed,
)
from system.errors import InputError
from training.plans.distillation_options import DistillationOptions
from training.plans.network_options import NetworkOptions
from training.plans.shared import DISTRIBUTED_HELP, PRECISION_HELP, PRECISIONS

# Options by the heading under which --help shows them.
_loss, _masked, _training = (
    functools.partial(option, group=heading) for heading in ("loss", "masked language modelling", "training")
)
FEW_TEXTS = 2000
# Options that mean nothing for a head that is fitted until it converges.
OF_EPOCHS = (
    "epochs",
    "batch_size",
    "accumulate",
    "head_learning_rate",
    "schedule",
    "warmup",
    "weight_decay",
    "clip_norm",
    "ema",
    "monitor",
    "patience",
)
MONITORS = ("loss", "accuracy", "macro_f1", "micro_f1")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(NetworkOptions, DistillationOptions):
    """The options of the training of a classifier."""

    loss: str = _loss(
        "cross-entropy",
        choices=("cross-entropy", "focal"),
        help="loss function; focal gives less weight to texts that the model already predicts well",
    )
    focal_gamma: float = _loss(2.0, type=positive_float, help="exponent of the focal loss, with --loss focal")
    label_smoothing: float = _loss(
        0.0, type=probability, help="fraction of each target to distribute evenly over all labels"
    )
    class_weights: str = _loss(
        "none",
        choices=("none", "balanced", "effective"),
        help="weight of each label in the loss: balanced, the inverse of its number of texts, or effective, the "
        "inverse of its effective number, which hardly differs between labels of more than 1,000 texts",
    )
    balanced_sampling: bool = _loss(
        False,
        help="draw the texts of an epoch, as many as there are, so that every label is equally frequent; instead of "
        "--class-weights",
    )
    document_loss: bool = _loss(
        False,
        help="train on the combined logits of a text's windows, not on each window, with --unfreeze; --batch-size then "
        "counts whole texts",
    )
    r_drop: float | None = _loss(
        None,
        type=positive_float,
        metavar="X",
        help="weight of R-Drop, which makes the predictions with two dropout masks agree, with --unfreeze; doubles the "
        "time",
        unset="off",
    )
    fgm: float | None = _loss(
        None,
        type=positive_float,
        metavar="X",
        help="norm of the change of the token embeddings in adversarial training (FGM), with --unfreeze; triples the "
        "time",
        unset="off",
    )

    corpus: list[str] = _masked(
        [],
        nargs="+",
        metavar="SOURCE",
        help="texts to go on learning masked language modelling from, beside the labels, with --unfreeze; so the model "
        "of --backbone-output remains a language model. The same kinds of sources as --corpus of pretrain.py; texts to "
        "validate and test on are left out",
    )
    masked_rows: float = _masked(
        0.125, type=positive_float, help="rows of masked text per batch, as a fraction of --batch-size, with --corpus"
    )
    masked_lm_weight: float = _masked(
        0.1, type=positive_float, help="weight of the loss of the masked tokens, with --corpus"
    )

    head_fit: str = _training(
        "auto",
        choices=("auto", "convergence", "epochs"),
        help="how to train the head of a frozen network, and to start it with --unfreeze: until it converges, with the "
        "penalty that cross-validation chooses, or for --epochs; auto is convergence for fewer than "
        f"{FEW_TEXTS:,} training texts, unless an option of the epochs is given for a frozen network",
    )
    epochs: int = _training(type=positive_int, help="number of passes over the training data")
    batch_size: int = _training(
        type=positive_int, help="texts per batch; with --unfreeze windows per batch, except for --document-loss"
    )
    accumulate: int = _training(1, type=positive_int, help="number of batches per step, whose gradients are averaged")
    learning_rate: float = _training(
        type=positive_float, help="peak learning rate of the pre-trained weights, with --unfreeze"
    )
    head_learning_rate: float = _training(
        type=positive_float, help="peak learning rate of the head, and of a pooler that --pretrained lacks"
    )
    layer_decay: float = _training(
        1.0,
        type=probability,
        help="factor of --learning-rate from each encoder to the one below it and to the embeddings, with --unfreeze",
    )
    schedule: str = _training(
        "cosine",
        choices=("cosine", "linear", "constant"),
        help="course of the learning rates after the warm-up; all but constant end at 0",
    )
    warmup: float = _training(
        0.06, type=probability, help="fraction of the steps, from the first, in which the learning rates rise"
    )
    weight_decay: float = _training(
        0.0, type=probability, help="weight decay of AdamW, except for biases and normalisations"
    )
    clip_norm: float = _training(1.0, type=positive_float, help="maximum norm of the gradient of all weights")
    ema: float | None = _training(
        None,
        type=fraction,
        metavar="X",
        help="momentum per step of an exponential moving average of the weights, which is validated and saved",
        unset="off",
    )
    monitor: str | None = _training(
        None,
        choices=MONITORS,
        help="keep the weights of the epoch with the best value of this validation metric; micro_f1 needs "
        "--multi-label",
        unset="those of the last epoch",
    )
    patience: int | None = _training(
        None,
        type=positive_int,
        metavar="N",
        help="stop after N epochs without a better value of --monitor",
        unset="train all epochs",
    )
    precision: str = _training("float32", choices=PRECISIONS, help=f"{PRECISION_HELP}; with --unfreeze")
    no_xla: bool = _training(False, help="do not compile the training step with XLA")
    distributed: bool = _training(
        False, help=f"{DISTRIBUTED_HELP}. Only with --unfreeze: the head alone is trained in seconds"
    )
    seed: int = _training(type=seed, help="seed for initial weights, order of the texts and dropout")

    def check_training(self, typed: Collection[str]) -> None:
        """Check that the options of the training do not contradict each other.

        Args:
            typed: the names of the fields that the command line sets.

        Raises:
            InputError: two options contradict each other.
        """
        self.check_distillation(typed)
        self.check_network()
        if self.class_weights != "none" and self.balanced_sampling:
            raise InputError(
                "--class-weights and --balanced-sampling would correct the frequencies of the labels twice: leave out "
                "one of the two"
            )
        if "focal_gamma" in typed and self.loss != "focal":
            raise InputError("--focal-gamma needs --loss focal")
        if self.head_fit == "convergence" and self.loss != "cross-entropy":
            raise InputError("--head-fit convergence minimises the cross-entropy: leave out --loss or --head-fit")
        if self.patience is not None and self.monitor is None:
            raise InputError("--patience needs --monitor")
        if self.unfreeze == 0:
            self._refuse_without_unfreeze()
        if self.r_drop is not None and self.dropout_rate == self.head_dropout_rate == 0:
            raise InputError("--r-drop compares two dropout masks: set --dropout-rate above 0")
        if self.distributed:
            self._refuse_beside(
                "distributed", {"corpus": [], "hidden_loss_weight": None, "teachers": [], "no_xla": False}
            )
        if self.hidden_loss_weight is not None:
            self._refuse_beside("hidden_loss_weight", {"corpus": [], "prune_vocab": []})
        if self.corpus:
            self._refuse_beside("corpus", {})
        elif given := [name for name in ("masked_rows", "masked_lm_weight") if name in typed]:
            raise InputError(f"{option_name(given[0])} needs --corpus")
        if self.fgm is not None and self.precision == "mixed_float16":
            raise InputError("--fgm needs gradients that 16 bits round to 0: use --precision mixed_bfloat16 or float32")

    def _refuse_without_unfreeze(self) -> None:
        """Refuse the options that would do nothing because only the head is trained, on features computed once."""
        defaults = {"r_drop": None, "fgm": None, "layer_decay": 1.0, "precision": "float32"}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                raise InputError(f"{option_name(name)} changes nothing while the backbone is frozen: add --unfreeze")

    def _refuse_beside(self, second: str, others: dict[str, object]) -> None:
        """Refuse the options that a second task beside the labels cannot be combined with.

        Args:
            second: the option of the second task.
            others: further options to refuse, with their values when they are not set.
        """
        if self.unfreeze == 0:
            raise InputError(f"{option_name(second)} changes nothing while the backbone is frozen: add --unfreeze")
        for name, unset in {"document_loss": False, "r_drop": None, "fgm": None, **others}.items():
            if getattr(self, name) != unset:
                raise InputError(
                    f"{option_name(second)} cannot be combined with {option_name(name)}: leave out one of the two"
                )

    def with_typed(self, typed: Collection[str]) -> Self:
        """Return the plan that trains the head by epochs if one of their options was typed for a frozen network.

        Args:
            typed: the names of the fields that the user set.
        """
        if self.head_fit == "auto" and self.unfreeze == 0 and not {*OF_EPOCHS}.isdisjoint(typed):
            return replace(self, head_fit="epochs")
        return self

    def fits_head(self, num_texts: int) -> bool:
        """Whether the head is fitted until it converges, for so many training texts."""
        if self.head_fit == "auto":
            return num_texts < FEW_TEXTS and self.loss == "cross-entropy"
        return self.head_fit == "convergence"

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the training step."""
        return not self.no_xla
