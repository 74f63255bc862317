"""Pre-train the mini-BERT by masked language modelling on any text, and write `mini_bert_zh_hk.keras`."""

import sys

from system.command_line import Parser, add_options, exits_with_status, parse_plan
from system.libraries import quiet_imports, without_extras_of_keras
from training.plans.pretraining import PretrainingPlan

BATCH_SIZE = 128
EPOCHS = 5
LEARNING_RATE = 3e-3
SEED = 42
CORPUS = "wikimedia/wikipedia:20231101.zh"

PLAN = PretrainingPlan(
    corpus=[CORPUS],
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    learning_rate=LEARNING_RATE,
    seed=SEED,
)


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    add_options(parser, PLAN)
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    plan, typed = parse_plan(build_parser(), PLAN, argv)
    with quiet_imports():  # imported here so that --help does not wait for them
        with without_extras_of_keras():
            import keras  # noqa: F401 (all that follows imports it)
        from recipes.pretraining import pre_train
    pre_train(plan, typed)


if __name__ == "__main__":
    sys.exit(main())
