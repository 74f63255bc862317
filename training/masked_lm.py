"""Training of the masked language model on packed rows, with or without the prediction of next sentences."""

import functools
import math
import time
from collections.abc import Callable

import keras
from keras import KerasTensor, ops

from network.backbone import backbone_layers
from network.bert import BertMaskedLM
from network.heads import MASKED_LM_HEAD
from system.errors import InputError
from text.packing.packed_rows import PackedCorpus
from text.tokens.masking import Masker
from training.engine.batches.epoch_batches import MaskedBatches
from training.engine.checkpoint import START_AGAIN, Checkpoint
from training.engine.distribution.processes import shared
from training.engine.distribution.replicas import in_main, local_rows, replica, require_divisible
from training.engine.loop import History, ProgressBar, TimeLimit, fit_epochs
from training.engine.optimizer import pretraining_optimizer
from training.engine.precision import with_loss_scaling
from training.plans.pretraining import PretrainingPlan

CALIBRATION_STEPS = 10
# The held-out rows have the same masks in all epochs and runs, so that their metrics can be compared.
HELD_OUT_SEED = 0
# With a second task, the metrics of the first one keep their names, so that runs with and without it can be compared.
NAMES_OF_METRICS = {
    "masked_lm_loss": "loss",
    "masked_lm_masked_accuracy": "masked_accuracy",
    "next_sentence_loss": "next_sentence_loss",
    "next_sentence_next_sentence_accuracy": "next_sentence_accuracy",
}


def pretrain(
    model: BertMaskedLM,
    corpus: PackedCorpus,
    masker: Masker,
    plan: PretrainingPlan,
    checkpoint: Checkpoint,
    *,
    resume: bool = False,
    after_epoch: Callable[[], None] | None = None,
) -> History:
    """Train the masked language model in place.

    Training metrics refer to a sample of the vocabulary (see `MaskedLMHead`), held-out metrics to all of it. The
    learning rate falls to zero at the last step. With a limit in minutes the number of steps is estimated from a few
    steps, whose effect is undone; the run ends after these minutes in any case.

    Args:
        model: the model to train. A head for next sentences is trained on rows of pairs only; see `TwoTasksModel`.
        corpus: the rows to train on, and the rows for the metrics.
        masker: masks the tokens.
        plan: the settings.
        checkpoint: where to save the state of the training.
        resume: whether to continue the run in `checkpoint`.
        after_epoch: called after the metrics of each epoch are printed.

    Returns:
        The metrics of each epoch.

    Raises:
        InputError: the checkpoint cannot be resumed, or the loss is no longer a number.
    """
    with replica(model, enabled=plan.distributed) as copy:
        return _pretrain(
            copy,
            corpus,
            masker,
            plan,
            checkpoint,
            resume=resume,
            after_epoch=in_main(model, copy, after_epoch) if after_epoch else None,
        )


def _pretrain(
    model: BertMaskedLM,
    corpus: PackedCorpus,
    masker: Masker,
    plan: PretrainingPlan,
    checkpoint: Checkpoint,
    *,
    resume: bool,
    after_epoch: Callable[[], None] | None,
) -> History:
    end = time.monotonic() + 60 * (plan.max_minutes or math.inf)
    batches_of = functools.partial(
        MaskedBatches, corpus.train, masker, plan.batch_size, mask_seed=plan.seed, seed=plan.seed, targets_as_input=True
    )
    two_tasks = corpus.train.pairs is not None
    trained = sampled_masked_lm(model, next_sentence=two_tasks)
    steps_per_epoch = len(batches_of())
    require_divisible(plan.batch_size)
    if resume:
        checkpoint.load()
        total_steps = checkpoint.progress.get("total_steps")
        if total_steps is None:
            raise InputError(f"{checkpoint.path}: the checkpoint is of another kind of training; {START_AGAIN}")
    else:
        total_steps = _total_steps(trained, batches_of, steps_per_epoch, plan)
    checkpoint.progress["total_steps"] = total_steps
    compile_for_pretraining(trained, plan.learning_rate, total_steps, plan.jit_compile)
    if resume:
        checkpoint.restore(trained)
    tokens_per_batch = batches_of().batch_size * model.config.max_seq_len
    return fit_epochs(
        trained,
        functools.partial(_remaining_batches, batches_of, total_steps, steps_per_epoch),
        held_out_metrics(model, corpus, masker, plan.batch_size, jit_compile=plan.jit_compile),
        math.ceil(total_steps / steps_per_epoch),
        checkpoint=checkpoint,
        callbacks=[ProgressBar(" tokens", tokens_per_batch), *([TimeLimit(end)] if plan.max_minutes else [])],
        after_epoch=after_epoch,
    )


def _total_steps(
    model: keras.Model, batches_of: Callable[..., MaskedBatches], steps_per_epoch: int, plan: PretrainingPlan
) -> int:
    """Return the number of steps within the epochs, steps and minutes of the plan, the same in all processes."""
    total_steps = min(plan.epochs * steps_per_epoch, plan.max_steps or math.inf)
    if plan.max_minutes:
        total_steps = min(total_steps, _affordable_steps(model, batches_of(last_batch=2 * CALIBRATION_STEPS), plan))
    return shared(total_steps)


def _remaining_batches(
    batches_of: Callable[..., MaskedBatches], total_steps: int, steps_per_epoch: int, epoch: int, first_batch: int
) -> MaskedBatches:
    """Return the batches of an epoch from `first_batch` on, up to the last step of the run."""
    steps_left = total_steps - epoch * steps_per_epoch
    last_batch = max(first_batch, min(steps_left, steps_per_epoch))
    return batches_of(epoch=epoch, first_batch=first_batch, last_batch=last_batch)


def held_out_metrics(
    model: BertMaskedLM, corpus: PackedCorpus, masker: Masker, batch_size: int, *, jit_compile: bool
) -> Callable[[], dict[str, float]]:
    """Return a function that evaluates `model`, as it then is, on the held-out rows, over the whole vocabulary.

    It returns the "loss" in nats a masked token, the "masked_accuracy" and the "perplexity", and for rows of pairs
    the metrics of the next sentences.

    Args:
        model: the model.
        corpus: its held-out rows are evaluated, with the same masks every time.
        masker: masks the tokens.
        batch_size: rows per batch.
        jit_compile: whether XLA compiles the evaluation.
    """
    evaluated = whole_vocabulary_model(model, next_sentence=corpus.held_out.pairs is not None)
    evaluated.compile(**objectives(evaluated), jit_compile=jit_compile)
    held_out = local_rows(MaskedBatches(corpus.held_out, masker, batch_size, mask_seed=HELD_OUT_SEED))

    def evaluate() -> dict[str, float]:
        metrics = evaluated.evaluate(held_out, verbose=0, return_dict=True)
        return metrics | {"perplexity": math.exp(min(metrics["loss"], 100.0))}

    return evaluate


class TwoTasksModel(keras.Model):
    """A model for masked language modelling and the prediction of next sentences.

    Its `loss` is that of masked language modelling, as without the second task; the optimizer minimises the sum of
    both.
    """

    def get_metrics_result(self) -> dict[str, KerasTensor]:
        metrics = super().get_metrics_result()
        return {name: metrics[keras_name] for keras_name, name in NAMES_OF_METRICS.items() if keras_name in metrics}


def sampled_masked_lm(model: BertMaskedLM, next_sentence: bool = False) -> keras.Model:
    """Return a model that shares the weights of `model` and scores each target against a sample of the vocabulary.

    It has one more input: the masked tokens as `targets`, int32, (batch, predictions). The logit of the target comes
    first, so the correct prediction is always 0; see `MaskedLMHead`.

    Args:
        next_sentence: whether it also predicts next sentences.
    """
    targets = keras.Input((None,), dtype="int32", name="targets")
    sequence = backbone_layers(model)[-1].output
    logits = model.get_layer(MASKED_LM_HEAD)(sequence, model.input["masked_positions"], targets)
    return _pretraining_model(model, {**model.input, "targets": targets}, logits, next_sentence=next_sentence)


def whole_vocabulary_model(model: BertMaskedLM, next_sentence: bool = False) -> keras.Model:
    """Return a model that shares the weights of `model` and scores the whole vocabulary; see `sampled_masked_lm`."""
    return _pretraining_model(model, model.input, model.masked_lm_output, next_sentence=next_sentence)


def _pretraining_model(
    model: BertMaskedLM, inputs: dict[str, KerasTensor], logits: KerasTensor, *, next_sentence: bool
) -> keras.Model:
    if not next_sentence:
        return keras.Model(inputs, logits)
    return TwoTasksModel(inputs, {"masked_lm": logits, "next_sentence": model.output["next_sentence"]})


def compile_for_pretraining(
    model: keras.Model, learning_rate: float, total_steps: int, jit_compile: bool = True
) -> None:
    """Compile `model` with optimizer, loss and metric; the learning rate falls to zero at `total_steps`."""
    optimizer = with_loss_scaling(pretraining_optimizer(learning_rate, total_steps), model)
    model.compile(optimizer, **objectives(model), jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)


def objectives(model: keras.Model) -> dict[str, object]:
    """Return the losses and the metrics of a model, as arguments of its `compile`."""
    if not isinstance(model, TwoTasksModel):
        return {"loss": masked_lm_loss(), "weighted_metrics": [masked_accuracy]}
    return {
        "loss": {"masked_lm": masked_lm_loss(), "next_sentence": next_sentence_loss()},
        "weighted_metrics": {"masked_lm": [masked_accuracy], "next_sentence": [next_sentence_accuracy]},
    }


def _affordable_steps(model: keras.Model, batches: MaskedBatches, plan: PretrainingPlan) -> int:
    """Return the number of steps within `max_minutes`, estimated from the time of a few steps.

    As many steps come before these, unmeasured, because the first ones include the compilation. At the end the weights
    are restored.
    """
    started = time.monotonic()
    weights = model.get_weights()
    compile_for_pretraining(model, plan.learning_rate, len(batches), plan.jit_compile)
    ends = []
    model.fit(
        local_rows(batches),
        epochs=math.ceil(2 * CALIBRATION_STEPS / len(batches)),  # a small corpus has fewer batches
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.monotonic()))
        ],
    )
    model.set_weights(weights)
    half = len(ends) // 2
    seconds_per_step = (ends[-1] - ends[half - 1]) / (len(ends) - half)
    # A little less than the time allows, to leave time for the held-out metrics.
    return max(1, int(0.97 * (60 * plan.max_minutes - (time.monotonic() - started)) / seconds_per_step))


def masked_lm_loss() -> keras.losses.Loss:
    """Return the loss: the cross-entropy of the masked tokens in nats, divided by the number of real targets."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def next_sentence_loss() -> keras.losses.Loss:
    """Return the loss of the prediction of next sentences: the mean cross-entropy of the pairs in nats."""
    return keras.losses.BinaryCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def next_sentence_accuracy(labels: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return 1 where the logit has the sign of the label, and 0 elsewhere: float32, (batch, 1).

    Args:
        labels: (batch, 1), 1 for a next sentence, else 0.
        logits: (batch, 1).
    """
    return ops.cast(ops.equal(ops.greater(logits, 0), ops.greater(labels, 0)), "float32")


def masked_accuracy(targets: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return 1 where the masked token has the highest score, and 0 elsewhere: float32, (batch, predictions).

    It compares the score of the target with the highest score, which the loss computes anyway; the index of the highest
    score would cost another pass over the vocabulary.

    Args:
        targets: (batch, predictions).
        logits: (batch, predictions, scored tokens).
    """
    targets = ops.expand_dims(ops.cast(targets, "int32"), -1)
    target_scores = ops.squeeze(ops.take_along_axis(logits, targets, axis=-1), -1)
    return ops.cast(target_scores >= ops.max(logits, axis=-1), "float32")
