"""Training of a classifier: the head alone on features computed once, or the head and more of the network."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np

from network.backbone import backbone_layers, checkpoint_gradients
from network.bert import BertClassifier, BertModel, logits_model
from text.dataset.splits import Split, Splits
from text.labels import LabelSet
from text.tokens.window_settings import NUM_SPECIAL_TOKENS
from training.engine.batches.document_batches import DocumentBatches
from training.engine.batches.epoch_batches import (
    EpochBatches,
    LabelledBatches,
    LengthGroupedBatches,
    choose_padded_lengths,
)
from training.engine.checkpoint import Checkpoint
from training.engine.distribution.replicas import in_main, replica, require_divisible
from training.engine.loop import History
from training.engine.precision import in_precision
from training.fitting import Validate, fit, predict
from training.frozen_head import start_head, train_head
from training.logistic_regression import Head
from training.objectives.balancing import balance
from training.objectives.distillation import targets_of
from training.objectives.document_loss import document_batches, document_model, most_windows
from training.objectives.hidden_states import student_batches, student_model
from training.objectives.masked_rows import MaskedText, joint_batches, joint_model, keep_language_model
from training.objectives.regularization import RegularizedModel
from training.plans.fine_tuning import FineTuningPlan


def train_classifier(
    classifier: BertClassifier,
    splits: Splits,
    plan: FineTuningPlan,
    validate: Validate,
    checkpoint: Checkpoint | None = None,
    *,
    distilled: Sequence[Split] = (),
    kept: Head | None = None,
    new_layers: Sequence[str] = (),
    masked_text: MaskedText | None = None,
    state_teacher: BertModel | None = None,
    resume: bool = False,
) -> History:
    """Train the layers that are not frozen, in place.

    All windows of a text have its target, and together they weigh as much as one text; with `document_loss` the loss is
    that of the text. Validation is by text.

    Args:
        classifier: the model to train.
        splits: the training split, and the validation split for the metrics.
        plan: the settings.
        validate: returns the metrics of the validation split from its logits.
        checkpoint: where to save the state of the training.
        distilled: further texts, with a teacher's probabilities as targets; see `training.objectives.distillation`.
        kept: the head of the pre-trained model, to start from; None for a new one.
        new_layers: the names of further layers that start from random weights; they learn as fast as the head.
        masked_text: what to go on learning masked language modelling from; its model then gets the trained layers too.
        state_teacher: the model whose hidden states to learn too, see `training.objectives.hidden_states`.
        resume: whether to continue the run in `checkpoint`.

    Returns:
        The metrics of each epoch.

    Raises:
        InputError: the checkpoint cannot be resumed, or the loss is no longer a number.
    """
    trained_on = [splits.train, *distilled]
    if classifier.unfreeze == 0:
        return train_head(
            classifier, trained_on, splits.validation, plan, validate, checkpoint, kept=kept, resume=resume
        )
    start_head(classifier, trained_on, plan, kept)
    return _train_network(
        classifier,
        trained_on,
        splits.validation,
        plan,
        validate,
        checkpoint,
        new_layers=new_layers,
        masked_text=masked_text,
        state_teacher=state_teacher,
        resume=resume,
    )


def _train_network(
    classifier: BertClassifier,
    trained_on: list[Split],
    validation: Split,
    plan: FineTuningPlan,
    validate: Validate,
    checkpoint: Checkpoint | None,
    *,
    new_layers: Sequence[str],
    masked_text: MaskedText | None,
    state_teacher: BertModel | None,
    resume: bool,
) -> History:
    """Train the head and the layers that are not frozen."""
    with in_precision(classifier, plan.precision) as precise:
        validated = logits_model(precise)
        with replica(precise, enabled=plan.distributed) as trained:
            model, batches_of = _model_and_batches(trained, trained_on, plan, masked_text, state_teacher)
            require_divisible(plan.batch_size)
            # Predicts the validation split; as the training, compiled with XLA.
            validated.compile(jit_compile=plan.jit_compile)
            history = fit(
                model,
                validation.label_set,
                batches_of,
                in_main(precise, trained, lambda: validate(document_logits(validated, validation))),
                plan,
                checkpoint,
                backbone=[layer.name for layer in backbone_layers(trained)],
                new_layers=new_layers,
                resume=resume,
                jit_compile=plan.jit_compile,
                unit=" texts" if plan.document_loss else " windows",
            )
            if masked_text is not None:
                keep_language_model(model, trained, masked_text)
    return history


def _model_and_batches(
    trained: BertClassifier,
    trained_on: list[Split],
    plan: FineTuningPlan,
    masked_text: MaskedText | None,
    state_teacher: BertModel | None,
) -> tuple[keras.Model, Callable[..., EpochBatches]]:
    """Return the model with the loss of the plan, and a function that returns its batches of an epoch."""
    labels = trained_on[0].label_set
    if plan.gradient_checkpointing:
        checkpoint_gradients(trained)
    model = logits_model(trained)
    if plan.document_loss:
        batches_of = _document_batches(trained_on, labels, plan)
        model = document_model(model, trained_on[0].windows.aggregate, batches_of().batch_size)
    else:
        batches_of = _window_batches(trained_on, labels, plan)
        if batches_of.func is LengthGroupedBatches:
            model = logits_model(trained, any_length=True)
    model = _regularized(model, labels, plan)
    if masked_text is not None:
        model = joint_model(model, trained, masked_text, plan.masked_lm_weight)
        batches_of = joint_batches(batches_of, masked_text, plan)
    if state_teacher is not None:
        model = student_model(trained, state_teacher, plan.hidden_loss_weight)
        batches_of = student_batches(batches_of)
    return model, batches_of


def _document_batches(
    trained_on: Sequence[Split], labels: LabelSet, plan: FineTuningPlan
) -> Callable[..., DocumentBatches]:
    """Return a function that returns the batches of whole texts of an epoch.

    Raises:
        InputError: a batch has more windows than fit into memory.
    """
    weights, frequencies = balance(labels, trained_on, plan)
    batches_of = document_batches(trained_on, plan, weights, frequencies)
    most_windows(batches_of, plan.epochs)  # raises before the first epoch
    return batches_of


def _window_batches(trained_on: Sequence[Split], labels: LabelSet, plan: FineTuningPlan) -> functools.partial:
    """Return a function that returns the batches of windows of an epoch, by length where that saves time."""
    targets = targets_of(trained_on, plan)
    text_index = _text_index(trained_on)
    weights, frequencies = (
        None if values is None else values[text_index] for values in balance(labels, trained_on, plan)
    )
    window_weights = np.concatenate([split.windows.weights for split in trained_on])
    if weights is not None:
        window_weights *= weights
    inputs = [split.windows.inputs for split in trained_on]
    lengths = np.concatenate([split.windows.num_tokens for split in trained_on]) + NUM_SPECIAL_TOKENS
    padded_lengths = choose_padded_lengths(lengths, plan.epochs)
    batches_of = LabelledBatches
    if padded_lengths.min() < trained_on[0].windows.input_ids.shape[1]:
        batches_of = functools.partial(LengthGroupedBatches, padded_lengths=padded_lengths)
    return functools.partial(
        batches_of,
        {name: np.concatenate([arrays[name] for arrays in inputs]) for name in inputs[0]},
        targets[text_index],
        plan.batch_size,
        weights=window_weights / window_weights.mean(),
        frequencies=frequencies,
        seed=plan.seed,
    )


def _text_index(trained_on: Sequence[Split]) -> np.ndarray:
    """Return the index of the text of each window, (windows,), counted over all splits."""
    starts = np.cumsum([0, *(len(split.texts) for split in trained_on[:-1])])
    return np.concatenate([split.windows.text_index + start for split, start in zip(trained_on, starts, strict=True)])


def _regularized(model: keras.Model, labels: LabelSet, plan: FineTuningPlan) -> keras.Model:
    """Return a model that shares the weights of `model` and trains with R-Drop and FGM, where the plan has them."""
    if plan.r_drop is None and plan.fgm is None:
        return model
    return RegularizedModel(model.input, model.output, labels.activation, plan.r_drop, plan.fgm)


def document_logits(model: keras.Model, split: Split) -> np.ndarray:
    """Return the logits of each text, float64, (texts, outputs).

    Args:
        model: returns the logits of windows, see `network.bert.logits_model`.
        split: the texts.
    """
    return split.windows.document_logits(predict(model, split.windows.inputs))
