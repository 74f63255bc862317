"""Fine-tune the pre-trained mini-BERT on texts with labels of any kind, and test it.

Without --unfreeze, only the head is trained, the last layer with 65 parameters for two labels; --unfreeze all trains
the whole network, which takes longer and gives a better model.
"""

import sys

from system.command_line import Parser, add_options, exits_with_status, parse_plan
from system.files import here_or_beside
from system.libraries import quiet_imports, without_extras_of_keras
from text.dataset.options import TEST_SIZE
from training.plans.fine_tuning import FineTuningPlan

MAX_SEQ_LEN = 64  # of the original; a run uses the length of its pre-trained model
BATCH_SIZE = 32
EPOCHS = 5
LEARNING_RATE = 5e-5  # of the original, whose backbone is frozen and needs none
UNFREEZE_LEARNING_RATE = 3e-4
HEAD_LEARNING_RATE = 1e-2
DROPOUT_RATE = 0.1
SEED = 42
PLOT_SAVE_PATH = "training_curves.png"
DATASET = "XiangPan/ChnSentiCorp_htl_8k"

PLAN = FineTuningPlan(
    dataset=DATASET,
    test_size=TEST_SIZE,
    pretrained=here_or_beside("mini_bert_zh_hk.keras", __file__),
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    learning_rate=UNFREEZE_LEARNING_RATE,
    head_learning_rate=HEAD_LEARNING_RATE,
    dropout_rate=DROPOUT_RATE,
    seed=SEED,
)


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    add_options(parser, PLAN)
    return parser


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    plan, typed = parse_plan(build_parser(), PLAN, argv)
    plan = plan.with_typed(typed)
    with quiet_imports():  # imported here so that --help does not wait for them
        with without_extras_of_keras():
            import keras  # noqa: F401 (all that follows imports it)
        from recipes.fine_tuning import fine_tune
        from recipes.studies.study import holds_study, study
    if plan.study or holds_study(plan.run_folder):
        study(plan, PLAN, typed, plot_name=PLOT_SAVE_PATH)
    else:
        fine_tune(plan, typed, plot_name=PLOT_SAVE_PATH)


if __name__ == "__main__":
    sys.exit(main())
