"""The basic training of the sentiment classifier. `import model` registers the model classes with Keras."""

import argparse
import functools
import random
import sys

from network.bert import (  # noqa: F401  (`import model` is how programs get the classes)
    BertClassifier,
    BertConfig,
    BertMaskedLM,
    BertModel,
    TokenizerAsset,
    classifier_from_pretrained,
)
from network.model_file import load_model, save_classifier
from system.command_line import exits_with_status, positive_float, positive_int
from system.files import check_writable
from text.sources import source_name
from text.tokens.window_settings import WindowSettings

MAX_SEQ_LEN = 64
BATCH_SIZE = 32
EPOCHS = 15
LEARNING_RATE = 2e-5  # of pre-trained weights, which stay frozen here
HEAD_LEARNING_RATE = 1e-2
TEST_SIZE = 1 / 6

PRETRAINED_PATH = "mini_bert_zh_hk.keras"
CLASSIFIER_PATH = "mini_bert_sentiment_classifier.keras"
DATASET = "XiangPan/ChnSentiCorp_htl_8k"
POSITIVE_THRESHOLD = 0.7


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Trains the head of the sentiment classifier: the basic script. fine_tuning.py does more.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--dataset", default=DATASET, metavar="SOURCE", help="a file, a hub data set, or sample")
    parser.add_argument("--text-column", metavar="NAME", help="column of the text; found by itself if usual")
    parser.add_argument("--label-column", metavar="NAME", help="column of the label; found by itself if usual")
    parser.add_argument("--pretrained", default=PRETRAINED_PATH, metavar="FILE", help="model to start from")
    parser.add_argument("--output", default=CLASSIFIER_PATH, metavar="FILE", help="where the model goes")
    parser.add_argument("--epochs", type=positive_int, default=EPOCHS, help="times to go through the data")
    parser.add_argument("--batch-size", type=positive_int, default=BATCH_SIZE, help="reviews a batch")
    parser.add_argument("--head-learning-rate", type=positive_float, default=HEAD_LEARNING_RATE, help="of the head")
    return parser


@exits_with_status
def main(argv=None) -> None:
    args = build_parser().parse_args(argv)
    from evaluation.assessment import assess, print_assessment
    from serving.export.onnx_file import export_onnx
    from text.dataset import load_splits, print_splits
    from text.tokens.tokenizer import tokenizer_from_json
    from training.classification import predict_probabilities, train_classifier
    from training.plans import FineTuningPlan

    check_writable(args.output)
    classifier = classifier_from_pretrained(load_model(args.pretrained))
    reviews = load_splits(
        args.dataset,
        tokenizer_from_json(classifier.tokenizer_json),
        classifier.config.max_seq_len,
        test_size=TEST_SIZE,
        text_column=args.text_column,
        label_column=args.label_column,
    )
    print_splits(reviews)
    plan = FineTuningPlan(
        args.epochs, args.batch_size, LEARNING_RATE, args.head_learning_rate, seed=random.randrange(2**31)
    )
    train_classifier(classifier, reviews, plan)
    assessment = assess(functools.partial(predict_probabilities, classifier), reviews, POSITIVE_THRESHOLD)
    print_assessment(assessment, source_name(reviews.labelled.name))
    save_classifier(classifier, args.output, reviews.labelled, assessment, WindowSettings())
    export_onnx(args.output)
    print(f"Model saved to {args.output}")


if __name__ == "__main__":
    sys.exit(main())
