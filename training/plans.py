"""The settings of a training, each field an option of its script; a default that a script defines is not repeated."""

import argparse
import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from system.command_line import fraction, option, option_name, positive_float, positive_int, probability, seed
from system.errors import InputError
from text.tokens.window_options import WINDOW_OPTIONS
from text.tokens.window_settings import WindowSettings

# Options by the heading under which --help shows them.
_data, _text, _network, _training, _result = (
    functools.partial(option, group=heading) for heading in ("data", "text", "network", "training", "result")
)
USUAL_NAME = "detected by common names"
RESUME_HELP = "continue the interrupted run in the run folder"
DRY_RUN_HELP = "check all input, print what the run would use, and stop before training"
PRESETS = {
    "mini": {"d_model": 64, "num_layers": 2, "num_heads": 4, "dff": 256},
    "small": {"d_model": 128, "num_layers": 4, "num_heads": 4, "dff": 512},
}
# Fixed by the model that training continues from.
FIXED_BY_PRETRAINED = ("tokenizer", "max_seq_len", "preset", *PRESETS["mini"], "dropout_rate")
NUM_POSSIBLE_SEEDS = 2**32


def _unfreeze(text: str) -> int | str:
    if text == "all":
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number of encoders nor all")


def _require_model_names(*paths: str | None) -> None:
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
    test_size: float = _data(type=fraction, help="fraction of the rows in the test split")
    save_splits: str | None = _data(
        None,
        metavar="FOLDER",
        help="folder for the splits: train.csv (training and validation) and test.csv",
    )

    pretrained: str = _training(metavar="FILE", help="pre-trained model to start from")
    unfreeze: int | str = _training(
        0,
        type=_unfreeze,
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

    threshold: float = _result(
        0.7, type=probability, help="threshold of the application, for the metrics in the report"
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
        _require_model_names(self.output, self.backbone_output)
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
    cache_folder: str = _text("runs/cache", metavar="FOLDER", help="folder for the tokenized corpus")

    pretrained: str | None = _network(None, metavar="FILE", help="model to continue training", unset="a new model")
    max_seq_len: int = _network(64, type=positive_int, help="maximum number of tokens that the model reads at once")
    preset: str = _network(
        "mini", choices=tuple(PRESETS), help="size of the network: mini 1.46 million parameters, small 3.5 million"
    )
    d_model: int | None = _size_option("d_model", "width of the network")
    num_layers: int | None = _size_option("num_layers", "number of encoders")
    num_heads: int | None = _size_option("num_heads", "number of attention heads per encoder")
    dff: int | None = _size_option("dff", "width of the hidden layer of the feed-forward networks")
    dropout_rate: float = _network(0.0, type=probability, help="dropout rate in pre-training")

    epochs: int = _training(type=positive_int, help="number of passes over the text")
    max_steps: int | None = _training(
        None, type=positive_int, metavar="N", help="maximum number of training steps", unset="no limit"
    )
    max_minutes: float | None = _training(
        None, type=positive_float, metavar="M", help="maximum training time in minutes", unset="no limit"
    )
    batch_size: int = _training(type=positive_int, help="rows per batch")
    learning_rate: float = _training(type=positive_float, help="peak learning rate")
    mask_rate: float = _training(type=fraction, help="fraction of the tokens to mask")
    whole_words: bool = _training(False, help="mask whole words instead of single tokens")
    precision: str = _training(
        "float32",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        help="precision of the computation; the mixed ones are faster on a GPU",
    )
    no_xla: bool = _training(False, help="do not compile the training step with XLA")
    seed: int = _training(type=seed, help="seed for initial weights, order of the rows and masks")

    output: str = _result("mini_bert_zh_hk.keras", metavar="FILE", help="file to save the model to")
    run_folder: str = _result(
        "runs/pretraining",
        metavar="FOLDER",
        help="folder for learning curves, metrics.json, run.json and the checkpoint",
    )
    checkpoint_seconds: float = _result(60.0, type=positive_float, help="seconds between two checkpoints")
    resume: bool = _result(False, help=RESUME_HELP)
    dry_run: bool = _result(False, help=DRY_RUN_HELP)

    def __post_init__(self) -> None:
        if self.pretrained:
            return  # the model has its own sizes
        sizes = self.sizes
        if self.max_seq_len < 3:
            raise InputError(
                f"--max-seq-len {self.max_seq_len} is too short: it must be at least 3, for [CLS], a token and [SEP]"
            )
        if sizes["d_model"] % sizes["num_heads"]:
            raise InputError(f"--num-heads {sizes['num_heads']} does not divide --d-model {sizes['d_model']}")

    def check(self, typed: Collection[str]) -> None:
        """Check that the options do not contradict each other.

        Args:
            typed: the names of the fields that the command line sets.

        Raises:
            InputError: two options contradict each other, or the name of the model file does not end with .keras.
        """
        _require_model_names(self.output)
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
