"""Fine-tunes the pre-trained mini-BERT on labelled reviews, and writes `mini_bert_sentiment_classifier.keras`.

Trains the 65 parameters of the head on a frozen backbone, or more of the network with --unfreeze.
"""

import argparse
import functools
import hashlib
import sys
from pathlib import Path

from system.command_line import (
    add_window_arguments,
    exits_with_status,
    parse_arguments,
    positive_float,
    positive_int,
    probability,
    seed,
    share,
)
from system.errors import InputError
from system.files import check_writable, keep_previous, sha256_of_file
from system.libraries import quiet_imports

MAX_SEQ_LEN = 64  # of the original; a run takes the length that its pre-trained model has
BATCH_SIZE = 32
EPOCHS = 5
LEARNING_RATE = 5e-5
HEAD_LEARNING_RATE = 1e-2
TEST_SIZE = 1 / 6
DROPOUT_RATE = 0.1
SEED = 42
PLOT_SAVE_PATH = "training_curves.png"
DATASET = "XiangPan/ChnSentiCorp_htl_8k"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset", default=DATASET, metavar="SOURCE", help="CSV, TSV, JSONL or Parquet file, hub data set, or sample"
    )
    data.add_argument("--text-column", metavar="NAME", help="column of the text, also of --unlabelled; found if usual")
    data.add_argument("--label-column", metavar="NAME", help="column of the label; found by itself if usual")
    data.add_argument(
        "--group-column",
        metavar="NAME",
        help="column of the domain, say: every part gets its share of each group, and each has its own figures",
    )
    data.add_argument(
        "--unlabelled",
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="texts without labels, as pretrain.py takes them; TF-IDF with logistic regression judges them",
    )
    data.add_argument(
        "--teachers",
        nargs="+",
        default=[],
        metavar="FILE",
        help="classifiers that judge those texts as well, and together count as much as it",
    )
    data.add_argument(
        "--mixtures",
        type=positive_int,
        metavar="N",
        help="also let them judge N new texts, made of clauses of the training texts and of those without labels",
    )
    add_window_arguments(data)
    data.add_argument("--test-size", type=share, default=TEST_SIZE, help="share of the rows to test on")

    training = parser.add_argument_group("training")
    training.add_argument("--pretrained", default="mini_bert_zh_hk.keras", metavar="FILE", help="model to start from")
    training.add_argument(
        "--unfreeze", type=_unfreeze, default=0, metavar="N", help="train the top N encoders with the head, or: all"
    )
    training.add_argument("--epochs", type=positive_int, default=EPOCHS, help="times to go through the data")
    training.add_argument(
        "--batch-size", type=positive_int, default=BATCH_SIZE, help="reviews a batch; windows of them with --unfreeze"
    )
    training.add_argument(
        "--learning-rate", type=positive_float, default=LEARNING_RATE, help="of pre-trained weights, if unfrozen"
    )
    training.add_argument(
        "--head-learning-rate", type=positive_float, default=HEAD_LEARNING_RATE, help="of the new layer"
    )
    training.add_argument(
        "--dropout-rate", type=probability, default=DROPOUT_RATE, help="share of values dropped in unfrozen training"
    )
    training.add_argument("--no-xla", action="store_true", help="do not compile the training step with XLA")
    training.add_argument("--seed", type=seed, default=SEED, help="of weights, order and dropout")

    result = parser.add_argument_group("result")
    result.add_argument("--threshold", type=probability, default=0.7, help="the application's, to be reported")
    result.add_argument(
        "--output", default="mini_bert_sentiment_classifier.keras", metavar="FILE", help="where the model goes"
    )
    result.add_argument(
        "--backbone-output",
        metavar="FILE",
        help="also write the model of --pretrained with the layers as they are trained now, to fine-tune it further",
    )
    result.add_argument("--report-folder", default=".", help="where curves, confusion matrix and metrics.json go")
    result.add_argument("--run-folder", default="runs/fine_tuning", help="where run.json and the checkpoint go")
    result.add_argument("--resume", action="store_true", help="go on with the interrupted run of the run folder")
    result.add_argument("--dry-run", action="store_true", help="prepare everything, say what would be done, and stop")
    return parser


def _unfreeze(text: str) -> int | str:
    if text == "all":
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number of encoders nor all")


@exits_with_status
def main(argv=None) -> None:
    parser = build_parser()
    args, given = parse_arguments(parser, argv)
    if args.teachers and not (args.unlabelled or args.mixtures):
        parser.error("--teachers judge the texts of --unlabelled and --mixtures: give one of them, or no teachers")
    if args.backbone_output and args.unfreeze == 0:
        parser.error("--backbone-output has nothing new to write without --unfreeze")
    if args.backbone_output and Path(args.backbone_output).resolve() == Path(args.output).resolve():
        parser.error("--backbone-output and --output must be two files")
    with quiet_imports():  # only now, so that --help does not wait for them
        import keras

        from evaluation.assessment import assess, print_assessment
        from evaluation.report.plots import plot_confusion_matrix, plot_training_curves
        from evaluation.report.terminal import write_metrics
        from network.bert import BertMaskedLM, BertModel, classifier_from_pretrained, copy_backbone
        from network.model_file import load_model, save_classifier, save_model
        from recipes.run_folder import CHECKPOINT_NAME, environment, finish_run, start_run
        from serving.export.onnx_file import export_onnx
        from text.dataset import load_splits, print_splits
        from text.sources import source_name
        from text.tokens.tokenizer import tokenizer_from_json
        from text.tokens.window_settings import WindowSettings
        from training.classification import predict_probabilities, train_classifier
        from training.engine.checkpoint import Checkpoint
        from training.plans import FineTuningPlan

    args = argparse.Namespace(**start_run(vars(args), given))
    for path in (args.output, args.backbone_output or args.output, Path(args.report_folder, PLOT_SAVE_PATH)):
        check_writable(path)
    keras.utils.set_random_seed(args.seed)
    pretrained = load_model(args.pretrained, BertMaskedLM if args.backbone_output else BertModel)
    classifier = classifier_from_pretrained(pretrained, args.unfreeze, args.dropout_rate)
    settings = WindowSettings(args.window, args.stride, args.max_windows, args.aggregate)
    reviews = load_splits(
        args.dataset,
        tokenizer_from_json(classifier.tokenizer_json),
        classifier.config.max_seq_len,
        test_size=args.test_size,
        settings=settings,
        text_column=args.text_column,
        label_column=args.label_column,
        group_column=args.group_column,
    )
    print_splits(reviews)
    classifier.summary()
    if args.dry_run:
        return
    taught = _taught(args, reviews, classifier, settings) if args.unlabelled or args.mixtures else None
    plan = FineTuningPlan(
        args.epochs,
        args.batch_size,
        args.learning_rate,
        args.head_learning_rate,
        args.seed,
        jit_compile=not args.no_xla,
    )
    data = [reviews.labelled.sha256, sha256_of_file(args.pretrained)]
    if taught:
        data += [str(taught.labels.tolist()), *taught.texts]
    data_sha256 = hashlib.sha256("\n".join(data).encode()).hexdigest()
    checkpoint = Checkpoint(Path(args.run_folder, CHECKPOINT_NAME), data_sha256=data_sha256)
    history = train_classifier(classifier, reviews, plan, checkpoint, taught=taught, resume=args.resume)

    assessment = assess(functools.partial(predict_probabilities, classifier), reviews, args.threshold)
    print_assessment(assessment, source_name(reviews.labelled.name))
    save_classifier(classifier, args.output, reviews.labelled, assessment, settings)
    export_onnx(args.output)
    if args.backbone_output:
        copy_backbone(classifier, pretrained)
        # The figures of the masked language model were those of other layers.
        pretrained.metadata = {name: value for name, value in pretrained.metadata.items() if name != "held_out"}
        pretrained.metadata["fine_tuned_on"] = classifier.metadata["data"]
        keep_previous(args.backbone_output)
        save_model(pretrained, args.backbone_output)
    folder = Path(args.report_folder)
    plot_training_curves(history, folder / PLOT_SAVE_PATH)
    plot_confusion_matrix(
        assessment["test"]["at_half"]["confusion_matrix"],
        folder / "confusion_matrix.png",
        title="Test set, threshold 0.5",
    )
    write_metrics(folder / "metrics.json", assessment | {"history": history} | environment())
    finish_run(args.run_folder)
    print(
        f"Model saved to {args.output}; {PLOT_SAVE_PATH}, confusion_matrix.png and metrics.json in {folder.resolve()}"
    )


def _taught(args: argparse.Namespace, reviews, student, settings):
    """Returns the texts of `--unlabelled` and `--mixtures` with what the teachers say of them, a `Split`."""
    from evaluation.baseline import baseline_probabilities
    from recipes.teachers import mixed_texts
    from serving.predictor import Predictor
    from text.dataset import Split
    from text.sources import iter_texts, leave_out
    from text.tokens.tokenizer import tokenizer_from_json
    from text.tokens.windows import encode_windows
    from training.classification import teacher_probabilities

    kept_apart = reviews.validation.texts + reviews.test.texts
    texts = list(leave_out(iter_texts(args.unlabelled, args.text_column, or_usual=True), kept_apart))
    if args.unlabelled and not texts:
        raise InputError("--unlabelled holds no text beside those of the validation and the test part")
    if args.mixtures:
        texts += mixed_texts(reviews.train.texts + texts, args.mixtures, args.seed)
    print(f"teaching on {len(texts):,} texts without labels", flush=True)
    judgements = [baseline_probabilities(reviews.train.texts, reviews.train.labels, texts)]
    if args.teachers:
        teachers = [Predictor(path) for path in args.teachers]
        # Together they count as much as TF-IDF does: the two kinds of model err differently.
        judgements.append(teacher_probabilities([teacher.raw_probabilities(texts) for teacher in teachers]))
    windows = encode_windows(tokenizer_from_json(student.tokenizer_json), texts, student.config.max_seq_len, settings)
    return Split(texts, teacher_probabilities(judgements).astype("float32"), windows)


if __name__ == "__main__":
    sys.exit(main())
