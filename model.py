"""The basic training of the sentiment classifier. `import model` registers the model classes with Keras."""

import dataclasses
import random
import sys

from system.command_line import Parser, add_options, exits_with_status, parse_plan
from system.files import here_or_beside
from system.libraries import quiet_imports, without_extras_of_keras
from text.dataset.options import TEST_SIZE
from training.plans.fine_tuning import FineTuningPlan

if __name__ != "__main__":  # the --help of the script need not wait for Keras
    from network.backbone import BertConfig  # noqa: F401  (programs get the classes by `import model`)
    from network.bert import (  # noqa: F401
        BertClassifier,
        BertMaskedLM,
        BertModel,
        TokenizerAsset,
        classifier_from_pretrained,
    )
    from network.model_file import load_model, save_model  # noqa: F401

MAX_SEQ_LEN = 64
BATCH_SIZE = 32
EPOCHS = 15
LEARNING_RATE = 2e-5  # for pre-trained weights, which are frozen here
HEAD_LEARNING_RATE = 1e-2
DROPOUT_RATE = 0.1  # for later training of the encoders; a frozen backbone does not need it

PRETRAINED_PATH = "mini_bert_zh_hk.keras"
CLASSIFIER_PATH = "mini_bert_sentiment_classifier.keras"
DATASET = "XiangPan/ChnSentiCorp_htl_8k"

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
    head_fit="epochs",
    output=CLASSIFIER_PATH,
    seed=0,  # unused, because each run draws its own
)


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(description="Train the head of the sentiment classifier. fine_tuning.py has more options.")
    add_options(parser, PLAN, only=OPTIONS)
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    """Train and save the classifier."""
    plan, _ = parse_plan(build_parser(), PLAN, argv)
    with quiet_imports():  # only now, so that --help does not wait for them
        with without_extras_of_keras():
            import keras  # noqa: F401 (all that follows imports it)
        from recipes.fine_tuning import train_basic
    train_basic(dataclasses.replace(plan, seed=random.randrange(2**31)))


if __name__ == "__main__":
    sys.exit(main())
