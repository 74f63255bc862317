"""The settings of a training: one field, one option of its script. What a script fixes has no default here."""

import argparse
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from system.command_line import fraction, option, option_name, positive_float, positive_int, probability, seed
from system.errors import InputError
from text.tokens.window_options import WINDOW_OPTIONS
from text.tokens.window_settings import WindowSettings

DATA, TEXT, NETWORK, TRAINING, RESULT = "data", "text", "network", "training", "result"
USUAL_NAME = "found by its usual name"
PRESETS = {
    "mini": {"d_model": 64, "num_layers": 2, "num_heads": 4, "dff": 256},
    "small": {"d_model": 128, "num_layers": 4, "num_heads": 4, "dff": 512},
}
# A model that training continues from has these already.
FIXED_BY_PRETRAINED = ("tokenizer", "max_seq_len", "preset", *PRESETS["mini"], "dropout_rate")
MOST_SEEDS = 2**32


def _unfreeze(text: str) -> int | str:
    if text == "all":
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number of encoders nor all")


def _require_model_names(*paths: str | None) -> None:
    """Raise InputError for a name under which Keras would refuse to save a model, hours later."""
    for path in paths:
        # Of a folder the writing itself says what is wrong.
        if path is not None and Path(path).suffix != ".keras" and not Path(path).is_dir():
            raise InputError(f"a model is saved to a file whose name ends with .keras, not to {path}")


def _window_option(name: str):
    return option(getattr(WindowSettings, name), group=DATA, **WINDOW_OPTIONS[name])


@dataclass(frozen=True, kw_only=True)
class FineTuningPlan:
    """A fine-tuning: what to learn from, how, and where the results go.

    Raises:
        InputError: a window has no room for a token, or the stride is no step.
    """

    dataset: str = option(
        group=DATA,
        metavar="SOURCE",
        help="labelled texts: a CSV, TSV, JSONL or Parquet file, a hub data set, or: sample",
    )
    text_column: str | None = option(None, group=DATA, metavar="NAME", help="column of the text", unset=USUAL_NAME)
    label_column: str | None = option(None, group=DATA, metavar="NAME", help="column of the label", unset=USUAL_NAME)
    group_column: str | None = option(
        None,
        group=DATA,
        metavar="NAME",
        help="column of the domain, say: each split gets the same fraction of every group, and each group its metrics",
    )
    unlabelled: list[str] = option(
        [],
        group=DATA,
        nargs="+",
        metavar="SOURCE",
        help="texts without labels, as pretrain.py takes them, in tables from --text-column; TF-IDF with logistic "
        "regression labels them",
    )
    teachers: list[str] = option(
        [],
        group=DATA,
        nargs="+",
        metavar="FILE",
        help="classifiers that label those texts too; together they count as much as TF-IDF",
    )
    mixtures: int | None = option(
        None,
        group=DATA,
        type=positive_int,
        metavar="N",
        help="let them label N new texts too, made of clauses of the training texts and of those without labels",
    )
    window: int | None = _window_option("window")
    stride: int | None = _window_option("stride")
    max_windows: int | None = _window_option("max_windows")
    aggregate: str = _window_option("aggregate")
    test_size: float = option(group=DATA, type=fraction, help="fraction of the rows to test on")
    save_splits: str | None = option(
        None,
        group=DATA,
        metavar="FOLDER",
        help="write the rows to train and validate on to train.csv in this folder, those to test on to test.csv",
    )

    pretrained: str = option(group=TRAINING, metavar="FILE", help="model to start from")
    unfreeze: int | str = option(
        0, group=TRAINING, type=_unfreeze, metavar="N", help="train the top N encoders with the head, or: all"
    )
    epochs: int = option(group=TRAINING, type=positive_int, help="passes over the data")
    batch_size: int = option(
        group=TRAINING, type=positive_int, help="reviews per batch, or their windows where encoders are trained"
    )
    learning_rate: float = option(
        group=TRAINING, type=positive_float, help="learning rate of the pre-trained weights, with --unfreeze"
    )
    head_learning_rate: float = option(group=TRAINING, type=positive_float, help="learning rate of the head")
    dropout_rate: float = option(group=TRAINING, type=probability, help="dropout rate, with --unfreeze")
    no_xla: bool = option(False, group=TRAINING, help="do not compile the training step with XLA")
    seed: int = option(group=TRAINING, type=seed, help="seed of weights, order and dropout")
    seeds: int | None = option(
        None,
        group=TRAINING,
        type=positive_int,
        metavar="N",
        help="train with N seeds, from --seed on, and report means and deviations; "
        "each model stays in its own folder, seed-SEED in --run-folder",
        unset="train once",
    )

    threshold: float = option(0.7, group=RESULT, type=probability, help="threshold of the application, to report on")
    output: str = option(
        "mini_bert_sentiment_classifier.keras", group=RESULT, metavar="FILE", help="file to save the model to"
    )
    backbone_output: str | None = option(
        None,
        group=RESULT,
        metavar="FILE",
        help="also save the model of --pretrained with its layers as trained here, to fine-tune it further",
    )
    report_folder: str = option(".", group=RESULT, help="folder for learning curves, confusion matrix and metrics.json")
    run_folder: str = option("runs/fine_tuning", group=RESULT, help="folder for run.json and the checkpoint")
    resume: bool = option(False, group=RESULT, help="continue the interrupted run of the run folder")
    dry_run: bool = option(False, group=RESULT, help="prepare everything, say what would be done, and stop")

    def __post_init__(self):
        _ = self.windows

    def check(self, typed: Collection[str]) -> None:
        """Raise InputError where options contradict each other.

        Args:
            typed: the names of the fields that the command line sets.
        """
        _require_model_names(self.output, self.backbone_output)
        if self.teachers and not (self.unlabelled or self.mixtures):
            raise InputError("--teachers label the texts of --unlabelled and --mixtures: add one of these")
        if self.backbone_output and self.unfreeze == 0:
            raise InputError("--backbone-output has nothing new to save without --unfreeze")
        if self.backbone_output and Path(self.backbone_output).resolve() == Path(self.output).resolve():
            raise InputError("--backbone-output and --output must be two files")
        if self.seeds is None:
            return
        for name in ("output", "backbone_output", "report_folder"):
            if name in typed:
                raise InputError(
                    f"--seeds saves each model and its report in a folder of its own in --run-folder: "
                    f"leave out {option_name(name)}"
                )
        if self.seed + self.seeds > MOST_SEEDS:
            raise InputError(f"--seeds {self.seeds} from --seed {self.seed} on: seeds end at {MOST_SEEDS - 1}")

    @property
    def windows(self) -> WindowSettings:
        """How texts are read in windows."""
        return WindowSettings(
            window=self.window, stride=self.stride, max_windows=self.max_windows, aggregate=self.aggregate
        )

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the training step."""
        return not self.no_xla


def _size_option(name: str, meaning: str):
    sizes = ", ".join(f"{preset} {values[name]}" for preset, values in PRESETS.items())
    return option(None, group=NETWORK, type=positive_int, help=meaning, unset=f"of the preset: {sizes}")


@dataclass(frozen=True, kw_only=True)
class PretrainingPlan:
    """A pre-training: what to learn from, how big a network, how long, and where the results go.

    `max_steps` and `max_minutes` end the training before its last epoch.

    Raises:
        InputError: the sizes do not fit together.
    """

    corpus: list[str] = option(
        group=TEXT,
        nargs="+",
        metavar="SOURCE",
        help="text files with one document per line, tables, folders, globs, hub data sets (ID:CONFIGURATION), or: "
        "sample",
    )
    exclude: list[str] = option(
        [], group=TEXT, nargs="+", metavar="SOURCE", help="texts to leave out, such as those of a test"
    )
    text_column: str | None = option(
        None, group=TEXT, metavar="NAME", help="column of the text in tables", unset=USUAL_NAME
    )
    max_documents: int | None = option(
        None, group=TEXT, type=positive_int, metavar="N", help="most documents to read", unset="all"
    )
    tokenizer: str = option(
        "own", group=TEXT, help="own, bert-base-chinese, or a tokenizer.json, a vocab.txt or a folder with one of them"
    )
    held_out_fraction: float = option(0.01, group=TEXT, type=fraction, help="fraction of the documents to evaluate on")
    cache_folder: str = option("runs/cache", group=TEXT, help="folder for the tokenised corpus")

    pretrained: str | None = option(
        None, group=NETWORK, metavar="FILE", help="model to continue from", unset="a new model"
    )
    max_seq_len: int = option(64, group=NETWORK, type=positive_int, help="tokens per row")
    preset: str = option(
        "mini", group=NETWORK, choices=tuple(PRESETS), help="sizes with 1.46 million parameters, or 3.5 million"
    )
    d_model: int | None = _size_option("d_model", "width of the network")
    num_layers: int | None = _size_option("num_layers", "encoders")
    num_heads: int | None = _size_option("num_heads", "attention heads per encoder")
    dff: int | None = _size_option("dff", "width of the feed-forward networks")
    dropout_rate: float = option(0.0, group=NETWORK, type=probability, help="dropout rate in pre-training")

    epochs: int = option(group=TRAINING, type=positive_int, help="passes over the text")
    max_steps: int | None = option(
        None, group=TRAINING, type=positive_int, metavar="N", help="most batches to train on", unset="no limit"
    )
    max_minutes: float | None = option(
        None, group=TRAINING, type=positive_float, metavar="M", help="most minutes to train for", unset="no limit"
    )
    batch_size: int = option(group=TRAINING, type=positive_int, help="rows per batch")
    learning_rate: float = option(group=TRAINING, type=positive_float, help="highest learning rate")
    mask_rate: float = option(group=TRAINING, type=fraction, help="fraction of the tokens that are masked")
    whole_words: bool = option(False, group=TRAINING, help="mask whole words, never a part of one")
    precision: str = option(
        "float32",
        group=TRAINING,
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        help="mixed_float16 or mixed_bfloat16 is faster on a GPU",
    )
    no_xla: bool = option(False, group=TRAINING, help="do not compile the training step with XLA")
    seed: int = option(group=TRAINING, type=seed, help="seed of weights, order and masks")

    output: str = option("mini_bert_zh_hk.keras", group=RESULT, metavar="FILE", help="file to save the model to")
    run_folder: str = option(
        "runs/pretraining", group=RESULT, help="folder for learning curves, metrics.json, run.json and the checkpoint"
    )
    checkpoint_seconds: float = option(
        60.0, group=RESULT, type=positive_float, help="seconds between two writings of the checkpoint"
    )
    resume: bool = option(False, group=RESULT, help="continue the interrupted run of the run folder")
    dry_run: bool = option(False, group=RESULT, help="prepare everything, say what would be done, and stop")

    def __post_init__(self):
        if self.pretrained:
            return  # its sizes are those of the model
        sizes = self.sizes
        if self.max_seq_len < 3:
            raise InputError(f"--max-seq-len {self.max_seq_len} has no room for a token between [CLS] and [SEP]")
        if sizes["d_model"] % sizes["num_heads"]:
            raise InputError(f"--num-heads {sizes['num_heads']} does not divide --d-model {sizes['d_model']}")

    def check(self, typed: Collection[str]) -> None:
        """Raise InputError where options contradict each other.

        Args:
            typed: the names of the fields that the command line sets.
        """
        _require_model_names(self.output)
        if self.pretrained and (fixed := [name for name in FIXED_BY_PRETRAINED if name in typed]):
            options = ", ".join(map(option_name, fixed))
            raise InputError(f"the model of --pretrained has its own tokenizer and sizes: leave out {options}")

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the network, by name; the preset has those that are not given."""
        return {name: getattr(self, name) or size for name, size in PRESETS[self.preset].items()}

    def with_sizes(self) -> "PretrainingPlan":
        """Return this plan with every size given, as `run.json` records it."""
        return replace(self, **self.sizes)

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the training step."""
        return not self.no_xla
