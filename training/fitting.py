"""What every training of a classifier shares: its optimizer, its loss and its loop."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import KerasTensor

from system.errors import InputError
from text.labels import LabelSet
from training.engine.batches.epoch_batches import EpochBatches
from training.engine.best_epoch import BestEpoch
from training.engine.checkpoint import Checkpoint
from training.engine.loop import History, ProgressBar, fit_epochs
from training.engine.optimizer import fine_tuning_optimizer
from training.engine.precision import with_loss_scaling
from training.objectives.distillation import DistillationLoss, distillation_accuracy
from training.objectives.hidden_states import StudentModel
from training.objectives.losses import classification_accuracy, classification_loss
from training.objectives.masked_rows import JointModel
from training.plans.fine_tuning import FineTuningPlan

PREDICTION_BATCH_SIZE = 256
# Returns the metrics of the validation split from the logits of its texts, (texts, outputs).
Validate = Callable[[np.ndarray], dict[str, float]]
Metric = Callable[[KerasTensor, KerasTensor], KerasTensor] | keras.metrics.Metric


def predict(model: keras.Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the output of a model for windows, (windows, …)."""
    return model.predict(inputs, batch_size=PREDICTION_BATCH_SIZE, verbose=0)


def fit(
    model: keras.Model,
    labels: LabelSet,
    batches_of: Callable[..., EpochBatches],
    validate: Callable[[], dict[str, float]],
    plan: FineTuningPlan,
    checkpoint: Checkpoint | None,
    *,
    backbone: Sequence[str],
    new_layers: Sequence[str] = (),
    resume: bool,
    jit_compile: bool,
    unit: str,
) -> History:
    """Compile a model that returns logits, and train it.

    Args:
        model: the model; only its trainable weights change.
        labels: the labels, which decide the loss.
        batches_of: see `training.engine.loop.fit_epochs`.
        validate: returns the metrics of the validation split.
        plan: the settings.
        checkpoint: where to save the state of the training.
        backbone: the names of the layers below the head, from the bottom up.
        new_layers: the names of the layers besides the head that start from random weights.
        resume: whether to continue the run in `checkpoint`.
        jit_compile: whether XLA compiles the training step.
        unit: the unit of the progress bar, such as " texts".

    Returns:
        The metrics of each epoch.

    Raises:
        InputError: there are fewer batches than `--accumulate` joins, the checkpoint cannot be resumed, or the loss is
            no longer a number.
    """
    batches = batches_of()
    total_batches = plan.epochs * len(batches)
    if plan.accumulate > total_batches:
        raise InputError(f"--accumulate {plan.accumulate} is more than the {total_batches} batches of the training")
    loss, metric = _objective_of(plan, labels)
    joint = isinstance(model, JointModel | StudentModel)
    model.compile(
        with_loss_scaling(_optimizer_of(plan, total_batches, backbone, new_layers), model),
        **(model.objectives(loss, metric) if joint else {"loss": loss, "weighted_metrics": [metric]}),
        jit_compile=jit_compile,
    )
    model.optimizer.build(model.trainable_variables)
    if resume:
        checkpoint.load()
        checkpoint.restore(model)
    return fit_epochs(
        model,
        batches_of,
        validate,
        plan.epochs,
        checkpoint=checkpoint,
        callbacks=[ProgressBar(unit, batches.batch_size)],
        best=BestEpoch(plan.monitor, plan.patience) if plan.monitor else None,
    )


def _objective_of(plan: FineTuningPlan, labels: LabelSet) -> tuple[keras.losses.Loss, Metric]:
    """Return the loss and the metric of the targets of `training.objectives.distillation.targets_of`."""
    gamma = plan.focal_gamma if plan.loss == "focal" else None
    loss = classification_loss(labels, focal_gamma=gamma, label_smoothing=plan.label_smoothing)
    if plan.has_soft_loss:
        return DistillationLoss(loss, plan.teacher_temperature), distillation_accuracy(labels)
    return loss, classification_accuracy(labels)


def _optimizer_of(
    plan: FineTuningPlan, total_batches: int, backbone: Sequence[str], new_layers: Sequence[str]
) -> keras.optimizers.Optimizer:
    return fine_tuning_optimizer(
        plan.learning_rate,
        plan.head_learning_rate,
        total_batches,
        backbone_layers=backbone,
        new_layers=new_layers,
        layer_decay=plan.layer_decay,
        schedule=plan.schedule,
        warmup=plan.warmup,
        weight_decay=plan.weight_decay,
        clip_norm=plan.clip_norm,
        accumulate=plan.accumulate,
        ema=plan.ema,
    )
