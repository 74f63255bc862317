"""Pre-trains the mini-BERT by masked language modelling, on any text, and writes `mini_bert_zh_hk.keras`."""

import argparse
import sys
import time
from pathlib import Path

from system.command_line import (
    exits_with_status,
    parse_arguments,
    positive_float,
    positive_int,
    probability,
    seed,
    share,
)
from system.errors import InputError
from system.files import check_writable
from system.libraries import quiet_imports

BATCH_SIZE = 128
EPOCHS = 5
LEARNING_RATE = 3e-3
MASK_RATE = 0.2
SEED = 42
CORPUS = "wikimedia/wikipedia:20231101.zh"
RUN_FOLDER = "runs/pretraining"
CACHE_FOLDER = "runs/cache"
PRESETS = {
    "mini": {"d_model": 64, "num_layers": 2, "num_heads": 4, "dff": 256},
    "small": {"d_model": 128, "num_layers": 4, "num_heads": 4, "dff": 512},
}
# What a model that is trained on has already.
FIXED_BY_PRETRAINED = ("tokenizer", "max_seq_len", "preset", *PRESETS["mini"], "dropout_rate")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    text = parser.add_argument_group("text")
    text.add_argument(
        "--corpus",
        nargs="+",
        default=[CORPUS],
        metavar="SOURCE",
        help="text files with one document a line, tables, folders, globs, hub data sets (ID:CONFIGURATION), or sample",
    )
    text.add_argument(
        "--exclude", nargs="+", default=[], metavar="SOURCE", help="leave out the texts that stand here, of a test say"
    )
    text.add_argument("--text-column", metavar="NAME", help="column of the text in tables; found by itself if usual")
    text.add_argument("--max-documents", type=positive_int, metavar="N", help="read no more than N documents")
    text.add_argument(
        "--tokenizer", default="own", help="own, bert-base-chinese, or a tokenizer.json, a vocab.txt or their folder"
    )
    text.add_argument("--held-out-share", type=share, default=0.01, help="share of the documents to measure on")
    text.add_argument("--cache-folder", default=CACHE_FOLDER, help="where the text is kept as integers")

    network = parser.add_argument_group("network")
    network.add_argument("--pretrained", metavar="FILE", help="go on from this model instead of from nothing")
    network.add_argument("--max-seq-len", type=positive_int, default=64, help="tokens a row")
    network.add_argument(
        "--preset", choices=PRESETS, default="mini", help="sizes: 1.46 million parameters, or 3.5 million"
    )
    for name, meaning in (
        ("--d-model", "width"),
        ("--num-layers", "encoders"),
        ("--num-heads", "attention heads an encoder"),
        ("--dff", "width of the feed-forward networks"),
    ):
        values = ", ".join(f"{preset} {sizes[name[2:].replace('-', '_')]}" for preset, sizes in PRESETS.items())
        network.add_argument(
            name, type=positive_int, default=argparse.SUPPRESS, help=f"{meaning} (default: of the preset: {values})"
        )
    network.add_argument("--dropout-rate", type=probability, default=0.0, help="dropout during pre-training")

    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=positive_int, default=EPOCHS, help="times to go through the text")
    training.add_argument("--max-steps", type=positive_int, metavar="N", help="train for no more than N batches")
    training.add_argument("--max-minutes", type=positive_float, metavar="M", help="train for no more than M minutes")
    training.add_argument("--batch-size", type=positive_int, default=BATCH_SIZE, help="rows a batch")
    training.add_argument("--learning-rate", type=positive_float, default=LEARNING_RATE, help="highest rate")
    training.add_argument("--mask-rate", type=share, default=MASK_RATE, help="share of the tokens that are hidden")
    training.add_argument("--whole-words", action="store_true", help="hide words whole, never a part of one")
    training.add_argument(
        "--precision",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        default="float32",
        help="mixed_float16 or mixed_bfloat16 is faster on a GPU",
    )
    training.add_argument("--no-xla", action="store_true", help="do not compile the training step with XLA")
    training.add_argument("--seed", type=seed, default=SEED, help="of weights, order and masks")

    result = parser.add_argument_group("result")
    result.add_argument("--output", default="mini_bert_zh_hk.keras", metavar="FILE", help="where the model goes")
    result.add_argument("--run-folder", default=RUN_FOLDER, help="curves, metrics.json, run.json and checkpoint")
    result.add_argument(
        "--checkpoint-seconds", type=positive_float, default=60.0, help="time between two writings of the checkpoint"
    )
    result.add_argument("--resume", action="store_true", help="go on with the interrupted run of the run folder")
    result.add_argument("--dry-run", action="store_true", help="prepare everything, say what would be done, and stop")
    return parser


@exits_with_status
def main(argv=None) -> None:
    parser = build_parser()
    args, given = parse_arguments(parser, argv)
    args = argparse.Namespace(**PRESETS[args.preset] | vars(args))
    if args.pretrained and (fixed := [name for name in FIXED_BY_PRETRAINED if name in given]):
        options = ", ".join("--" + name.replace("_", "-") for name in fixed)
        parser.error(f"the model of --pretrained has its own tokenizer and sizes: leave out {options}")
    from recipes.run_folder import run_in_folder

    with run_in_folder(vars(args), given) as arguments:
        _pretrain(argparse.Namespace(**arguments))


def _pretrain(args: argparse.Namespace) -> None:
    """Pre-train with the arguments of the run, and save model and report."""
    with quiet_imports():  # only now, so that --help does not wait for them
        import keras

        from evaluation.report.plots import plot_training_curves
        from evaluation.report.terminal import write_metrics
        from network.model_file import save_model
        from recipes.pretraining import print_filled_blanks
        from recipes.run_folder import CHECKPOINT_NAME, environment, finish_run
        from text.sources import source_name
        from text.tokens.masking import Masker
        from text.tokens.packing import pack_corpus
        from text.tokens.tokenizer import MASK, special_ids, tokenizer_from_json
        from training.engine.checkpoint import Checkpoint
        from training.masked_lm import pretrain
        from training.plans import PretrainingPlan

    check_writable(args.output)
    keras.utils.set_random_seed(args.seed)
    keras.mixed_precision.set_global_policy(args.precision)
    model = _load_or_build(args)
    tokenizer = tokenizer_from_json(model.tokenizer_json)
    corpus = pack_corpus(
        args.corpus,
        tokenizer,
        model.config.max_seq_len,
        args.cache_folder,
        exclude=args.exclude,
        text_column=args.text_column,
        held_out_share=args.held_out_share,
        whole_words=args.whole_words,
        max_documents=args.max_documents,
    )
    for part, rows in (("training", corpus.train), ("held out", corpus.held_out)):
        print(
            f"{part}: {rows.documents:,} documents, {rows.characters:,} characters, {rows.tokens:,} tokens "
            f"({rows.characters_per_token:.2f} characters a token), {len(rows.input_ids):,} rows"
        )
    print(f"model: {model.count_params():,} parameters, on {keras.backend.backend()}")
    if args.dry_run:
        return
    masker = Masker(
        model.config.vocab_size,
        special_ids(tokenizer),
        tokenizer.token_to_id(MASK),
        model.config.max_seq_len,
        args.mask_rate,
    )
    plan = PretrainingPlan(
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
        max_steps=args.max_steps,
        max_minutes=args.max_minutes,
        jit_compile=not args.no_xla,
    )
    run_folder = Path(args.run_folder)
    started = time.monotonic()
    checkpoint = Checkpoint(run_folder / CHECKPOINT_NAME, args.checkpoint_seconds, corpus.sha256)
    history = pretrain(
        model,
        corpus,
        masker,
        plan,
        checkpoint,
        resume=args.resume,
        after_epoch=lambda: print_filled_blanks(model, tokenizer),
    )
    metrics = {
        "corpus": {
            "sources": [source_name(source) for source in args.corpus],
            "sha256": corpus.sha256,
            "documents": corpus.train.documents,
            "characters": corpus.train.characters,
            "tokens": corpus.train.tokens,
        },
        "epochs": len(history["loss"]),
        "seconds": round(time.monotonic() - started, 1),
        "held_out": {name: history[f"val_{name}"][-1] for name in ("loss", "perplexity", "masked_accuracy")},
    } | environment()
    model.metadata = metrics
    save_model(model, args.output)
    write_metrics(run_folder / "metrics.json", metrics | {"history": history})
    plot_training_curves(history, run_folder / "pretraining_curves.png")
    finish_run(args.run_folder)
    print(f"Model saved to {args.output}; curves and metrics.json in {run_folder}")


def _load_or_build(args: argparse.Namespace):
    """Returns the model to train: a fresh one, or the one of `--pretrained`."""
    from network.bert import BertConfig, BertMaskedLM
    from network.model_file import load_model
    from text.tokens.tokenizer import load_tokenizer

    if args.pretrained:
        return load_model(args.pretrained, BertMaskedLM)
    tokenizer = load_tokenizer(args.tokenizer)
    if args.max_seq_len < 3:
        raise InputError(f"--max-seq-len {args.max_seq_len} has no room for a token between [CLS] and [SEP]")
    if args.d_model % args.num_heads:
        raise InputError(f"--num-heads {args.num_heads} does not divide --d-model {args.d_model}")
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_seq_len=args.max_seq_len,
        d_model=args.d_model,
        num_layers=args.num_layers,
        num_heads=args.num_heads,
        dff=args.dff,
        dropout_rate=args.dropout_rate,
    )
    return BertMaskedLM(config, tokenizer.to_str())


if __name__ == "__main__":
    sys.exit(main())
