"""The basic training of the sentiment classifier. `import model` registers the model classes with Keras."""

import dataclasses
import random
import sys

from system.command_line import Parser, add_options, exits_with_status, parse_plan
from system.files import here_or_beside
from system.libraries import quiet_imports
from training.plans import FineTuningPlan

if __name__ != "__main__":  # the script's --help does not wait for Keras
    from network.bert import (  # noqa: F401  (`import model` is how programs get the classes)
        BertClassifier,
        BertConfig,
        BertMaskedLM,
        BertModel,
        TokenizerAsset,
        classifier_from_pretrained,
    )
    from network.model_file import load_model, save_model  # noqa: F401

MAX_SEQ_LEN = 64
BATCH_SIZE = 32
EPOCHS = 15
LEARNING_RATE = 2e-5  # of pre-trained weights, which stay frozen here
HEAD_LEARNING_RATE = 1e-2
TEST_SIZE = 1 / 6
DROPOUT_RATE = 0.1  # of a further training; a frozen backbone has no use for it

PRETRAINED_PATH = "mini_bert_zh_hk.keras"
CLASSIFIER_PATH = "mini_bert_sentiment_classifier.keras"
DATASET = "XiangPan/ChnSentiCorp_htl_8k"
POSITIVE_THRESHOLD = 0.7

OPTIONS = (
    "dataset",
    "text_column",
    "label_column",
    "pretrained",
    "output",
    "epochs",
    "batch_size",
    "head_learning_rate",
)
PLAN = FineTuningPlan(
    dataset=DATASET,
    test_size=TEST_SIZE,
    pretrained=here_or_beside(PRETRAINED_PATH, __file__),
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    learning_rate=LEARNING_RATE,
    head_learning_rate=HEAD_LEARNING_RATE,
    dropout_rate=DROPOUT_RATE,
    threshold=POSITIVE_THRESHOLD,
    output=CLASSIFIER_PATH,
    seed=0,  # of no run: each draws its own
)


def build_parser() -> Parser:
    parser = Parser(description="Trains the head of the sentiment classifier. fine_tuning.py does more.")
    add_options(parser, PLAN, only=OPTIONS)
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    plan, _ = parse_plan(build_parser(), PLAN, argv)
    with quiet_imports():  # only now, so that --help does not wait for them
        from recipes.fine_tuning import train_basic
    train_basic(dataclasses.replace(plan, seed=random.randrange(2**31)))


if __name__ == "__main__":
    sys.exit(main())
