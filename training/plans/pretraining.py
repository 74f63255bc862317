"""The settings of a pre-training, each field an option; a default that a script defines is not repeated here."""

import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from system.command_line import fraction, option, option_name, positive_float, positive_int, probability, seed
from system.errors import InputError
from text.dataset.options import USUAL_NAME
from training.plans.shared import (
    CACHE_FOLDER,
    CHECKPOINT_SECONDS_HELP,
    CHECKPOINT_STEPS_HELP,
    DISTRIBUTED_HELP,
    DRY_RUN_HELP,
    MASK_RATE,
    PRECISION_HELP,
    PRECISIONS,
    PRETRAINED_HELP,
    RESUME_HELP,
    require_model_names,
    require_room,
)

# Options by the heading under which --help shows them.
_text, _network, _training, _result = (
    functools.partial(option, group=heading) for heading in ("text", "network", "training", "result")
)
PRESETS = {
    "mini": {"d_model": 64, "num_layers": 2, "num_heads": 4, "dff": 256},
    "small": {"d_model": 128, "num_layers": 4, "num_heads": 4, "dff": 512},
}
# Fixed by the model that training continues from.
FIXED_BY_PRETRAINED = ("tokenizer", "preset", *PRESETS["mini"], "dropout_rate", "post_norm")


def _size_option(name: str, meaning: str) -> Any:
    sizes = ", ".join(f"{values[name]} for {preset}" for preset, values in PRESETS.items())
    return _network(None, type=positive_int, help=meaning, unset=f"from --preset, {sizes}")


@dataclass(frozen=True, kw_only=True)
class PretrainingPlan:
    """The settings of a pre-training: its text, the sizes of the network, its training and its results.

    `max_steps` and `max_minutes` end the training before its last epoch.

    Raises:
        InputError: the sizes contradict each other.
    """

    corpus: list[str] = _text(
        nargs="+",
        metavar="SOURCE",
        help="text files with one document per line, tables (CSV, TSV, JSONL, Parquet), folders, glob patterns, hub "
        "ids of data sets (OWNER/NAME or OWNER/NAME:CONFIGURATION), or sample",
    )
    exclude: list[str] = _text(
        [], nargs="+", metavar="SOURCE", help="sources of texts to leave out, such as a test split"
    )
    text_column: str | None = _text(None, metavar="NAME", help="text column of tables", unset=USUAL_NAME)
    max_documents: int | None = _text(
        None, type=positive_int, metavar="N", help="maximum number of documents to read", unset="all"
    )
    tokenizer: str = _text(
        "own",
        metavar="SOURCE",
        help="own (included), a tokenizer.json, a vocab.txt, a folder with one, or a hub id (bert-base-chinese)",
    )
    held_out_fraction: float = _text(0.01, type=fraction, help="fraction of the documents to hold out for evaluation")
    cache_folder: str = _text(CACHE_FOLDER, metavar="FOLDER", help="folder for the tokenized corpus")

    pretrained: str | None = _network(
        None,
        metavar="FILE",
        help=f"model to continue from: {PRETRAINED_HELP}",
        unset="a new model",
    )
    prune_vocab: list[str] = _network(
        [],
        nargs="+",
        metavar="SOURCE",
        help="cut the vocabulary of the pre-trained model to the tokens of these texts and of the corpus, which makes "
        "the model smaller; the same kinds of sources as for the corpus",
        unset="keep all tokens",
    )
    max_seq_len: int | None = _network(
        None,
        type=positive_int,
        metavar="N",
        help="maximum number of tokens that the model reads at once",
        unset="64 or that of the model to continue",
    )
    preset: str = _network(
        "mini", choices=tuple(PRESETS), help="size of the network: mini 1.46 million parameters, small 3.5 million"
    )
    d_model: int | None = _size_option("d_model", "size of the vector of each token")
    num_layers: int | None = _size_option("num_layers", "number of encoders")
    num_heads: int | None = _size_option("num_heads", "number of attention heads per encoder")
    dff: int | None = _size_option("dff", "width of the hidden layer of the feed-forward networks")
    dropout_rate: float = _network(0.0, type=probability, help="dropout rate")
    post_norm: bool = _network(
        False,
        help="normalise after each sub-layer and use GELU, as BERT does, so that other programs can read the model; "
        "without it the model is normalised before, which is easier to train",
    )

    epochs: int = _training(type=positive_int, help="number of passes over the text")
    max_steps: int | None = _training(
        None, type=positive_int, metavar="N", help="maximum number of training steps", unset="no limit"
    )
    max_minutes: float | None = _training(
        None, type=positive_float, metavar="M", help="maximum training time in minutes", unset="no limit"
    )
    batch_size: int = _training(type=positive_int, help="rows of tokens per batch")
    learning_rate: float = _training(type=positive_float, help="peak learning rate")
    mask_rate: float = _training(MASK_RATE, type=fraction, help="fraction of the tokens to mask")
    whole_words: bool = _training(False, help="mask whole words instead of single tokens")
    next_sentence: bool = _training(
        False,
        help="also predict whether the second text of a row follows the first one in their document; half of the rows "
        "get the second text of another document",
    )
    precision: str = _training("float32", choices=PRECISIONS, help=PRECISION_HELP)
    no_xla: bool = _training(False, help="do not compile the training step with XLA")
    distributed: bool = _training(False, help=DISTRIBUTED_HELP)
    seed: int = _training(type=seed, help="seed for initial weights, order of the rows and masks")

    output: str = _result("mini_bert_zh_hk.keras", metavar="FILE", help="file to save the model to")
    run_folder: str = _result(
        "runs/pretraining",
        metavar="FOLDER",
        help="folder for learning curves, metrics.json, run.json and the checkpoint",
    )
    checkpoint_seconds: float = _result(60.0, type=positive_float, help=CHECKPOINT_SECONDS_HELP)
    checkpoint_steps: int | None = _result(
        None, type=positive_int, metavar="N", help=CHECKPOINT_STEPS_HELP, unset="by time alone"
    )
    resume: bool = _result(False, help=RESUME_HELP)
    dry_run: bool = _result(False, help=DRY_RUN_HELP)

    def __post_init__(self) -> None:
        require_room(self.max_seq_len)
        if self.pretrained:
            return  # the model has its own sizes
        sizes = self.sizes
        if sizes["d_model"] % sizes["num_heads"]:
            raise InputError(f"--num-heads {sizes['num_heads']} does not divide --d-model {sizes['d_model']}")

    def check(self, typed: Collection[str]) -> None:
        """Check that the options do not contradict each other.

        Args:
            typed: the names of the fields that the command line sets.

        Raises:
            InputError: two options contradict each other, or the name of the model file does not end with .keras.
        """
        require_model_names(self.output)
        if self.prune_vocab and not self.pretrained:
            raise InputError("--prune-vocab cuts the vocabulary of a pre-trained model: add --pretrained")
        if self.distributed and self.no_xla:
            raise InputError("--distributed compiles the training step with XLA: leave out --no-xla")
        if self.pretrained and (fixed := [name for name in FIXED_BY_PRETRAINED if name in typed]):
            options = ", ".join(map(option_name, fixed))
            raise InputError(f"the model of --pretrained already has a tokenizer and sizes: leave out {options}")

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the network, by name; those that are None come from the preset."""
        return {name: getattr(self, name) or size for name, size in PRESETS[self.preset].items()}

    def with_sizes(self) -> "PretrainingPlan":
        """Return this plan with the sizes of the preset filled in, as `run.json` records it."""
        return replace(self, **self.sizes)

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the training step."""
        return not self.no_xla
