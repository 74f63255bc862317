"""Training of a classifier: the head alone on features computed once, or the head and more of the network."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np

from network.backbone import backbone_layers
from network.bert import BertClassifier, logits_model
from network.heads import ClassificationLogits
from system.errors import InputError
from text.dataset.splits import Split, Splits
from text.labels import LabelSet
from text.tokens.window_settings import NUM_SPECIAL_TOKENS
from training.balancing import balance
from training.document_loss import document_batches, document_model, most_windows
from training.engine.batches import EpochBatches, LabelledBatches, LengthGroupedBatches, choose_padded_lengths
from training.engine.best_epoch import BestEpoch
from training.engine.checkpoint import Checkpoint
from training.engine.document_batches import DocumentBatches
from training.engine.loop import History, ProgressBar, fit_epochs
from training.engine.optimizer import fine_tuning_optimizer
from training.engine.precision import in_precision, with_loss_scaling
from training.losses import classification_accuracy, classification_loss
from training.plans.fine_tuning import FineTuningPlan
from training.regularization import RegularizedModel

PREDICTION_BATCH_SIZE = 256
# Returns the metrics of the validation split from the logits of its texts, (texts, outputs).
Validate = Callable[[np.ndarray], dict[str, float]]


def train_classifier(
    classifier: BertClassifier,
    splits: Splits,
    plan: FineTuningPlan,
    validate: Validate,
    checkpoint: Checkpoint | None = None,
    *,
    distilled: Split | None = None,
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
        distilled: further texts with a teacher's probabilities as targets. Hinton et al., "Distilling the Knowledge in
            a Neural Network" (2015).
        resume: whether to continue the run in `checkpoint`.

    Returns:
        The metrics of each epoch.

    Raises:
        InputError: the checkpoint cannot be resumed, or the loss is no longer a number.
    """
    trained_on = [splits.train] if distilled is None else [splits.train, distilled]
    if classifier.unfreeze == 0:
        return _train_head(classifier, trained_on, splits.validation, plan, validate, checkpoint, resume=resume)
    with in_precision(classifier, plan.precision) as trained:
        of_windows = logits_model(trained)
        if plan.document_loss:
            batches_of = _document_batches(trained_on, splits.label_set, plan)
            model = document_model(of_windows, splits.train.windows.aggregate, batches_of().batch_size)
        else:
            model, batches_of = of_windows, _window_batches(trained_on, splits.label_set, plan)
            if batches_of.func is LengthGroupedBatches:
                model = logits_model(trained, any_length=True)
        model = _regularized(model, splits.label_set, plan)
        if model is not of_windows:
            # Predicts the validation split; as the training, compiled with XLA.
            of_windows.compile(jit_compile=plan.jit_compile)
        return _fit(
            model,
            splits.label_set,
            batches_of,
            lambda: validate(document_logits(of_windows, splits.validation)),
            plan,
            checkpoint,
            backbone=[layer.name for layer in backbone_layers(trained)],
            resume=resume,
            jit_compile=plan.jit_compile,
            unit=" texts" if plan.document_loss else " windows",
        )


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
    targets = np.concatenate([split.targets for split in trained_on])
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


def feature_extractor(classifier: BertClassifier) -> keras.Model:
    """Return the layers of a classifier below its head, as a model that returns `pooled_output`, (batch, d_model)."""
    return keras.Model(classifier.input, classifier.get_layer("pooled_output").output, name="feature_extractor")


def document_logits(model: keras.Model, split: Split) -> np.ndarray:
    """Return the logits of each text, float64, (texts, outputs).

    Args:
        model: returns the logits of windows, see `network.bert.logits_model`.
        split: the texts.
    """
    return split.windows.document_logits(_predict(model, split.windows.inputs))


def _predict(model: keras.Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return model.predict(inputs, batch_size=PREDICTION_BATCH_SIZE, verbose=0)


def _train_head(
    classifier: BertClassifier,
    trained_on: list[Split],
    validation: Split,
    plan: FineTuningPlan,
    validate: Validate,
    checkpoint: Checkpoint | None,
    *,
    resume: bool,
) -> History:
    """Train the head (65 parameters for two labels) on whitened features, which the frozen backbone computes only once.

    The features of a text are the mean of the features of its windows, so that its logit is the mean of their logits.
    Training on correlated features of different scales converges slowly, so the features are whitened first. In the end
    the whitening is folded into the head, so that the form of the classifier does not change.
    """
    extractor = feature_extractor(classifier)
    features = np.concatenate([split.windows.mean(_predict(extractor, split.windows.inputs)) for split in trained_on])
    mean, whitening = _whitening(features)

    head = classifier.get_layer("classification_output")
    inputs = keras.Input((features.shape[1],), name="whitened_features")
    head_model = keras.Model(inputs, ClassificationLogits(head)(inputs), name="classification_head")
    # Of each window: their logits are combined as in use, which may be by another aggregate than the mean.
    validation_features = (_predict(extractor, validation.windows.inputs) - mean) @ whitening
    targets = np.concatenate([split.targets for split in trained_on])
    weights, frequencies = balance(validation.label_set, trained_on, plan)
    batches_of = functools.partial(
        LabelledBatches,
        (features - mean) @ whitening,
        targets,
        plan.batch_size,
        weights=weights,
        frequencies=frequencies,
        seed=plan.seed,
    )

    def validate_head() -> dict[str, float]:
        kernel, bias = head.get_weights()
        return validate(validation.windows.document_logits(validation_features @ kernel + bias))

    history = _fit(
        head_model,
        validation.label_set,
        batches_of,
        validate_head,
        plan,
        checkpoint,
        backbone=[],
        resume=resume,
        jit_compile=False,  # compilation would take longer than training 65 parameters
        unit=" texts",
    )

    kernel, bias = head.get_weights()
    kernel = whitening @ kernel
    head.set_weights([kernel, bias - mean @ kernel])
    return history


def _whitening(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean, (d,), and the matrix, (d, d), that make `features`, (n, d), uncorrelated, with variance 1."""
    mean = features.mean(0)
    variances, directions = np.linalg.eigh(np.cov(features, rowvar=False))
    # A direction with hardly any variance is noise, which must not be amplified.
    scales = 1 / np.sqrt(np.maximum(variances, 1e-4 * variances.max()) + 1e-12)
    # Rotated back to the axes of the features, because the sign of a direction depends on the machine.
    return mean, (directions * scales @ directions.T).astype(features.dtype)


def _fit(
    model: keras.Model,
    labels: LabelSet,
    batches_of: Callable[..., EpochBatches],
    validate: Callable[[], dict[str, float]],
    plan: FineTuningPlan,
    checkpoint: Checkpoint | None,
    *,
    backbone: Sequence[str],
    resume: bool,
    jit_compile: bool,
    unit: str,
) -> History:
    batches = batches_of()
    total_batches = plan.epochs * len(batches)
    if plan.accumulate > total_batches:
        raise InputError(f"--accumulate {plan.accumulate} is more than the {total_batches} batches of the training")
    gamma = plan.focal_gamma if plan.loss == "focal" else None
    optimizer = fine_tuning_optimizer(
        plan.learning_rate,
        plan.head_learning_rate,
        total_batches,
        backbone_layers=backbone,
        layer_decay=plan.layer_decay,
        schedule=plan.schedule,
        warmup=plan.warmup,
        weight_decay=plan.weight_decay,
        clip_norm=plan.clip_norm,
        accumulate=plan.accumulate,
        ema=plan.ema,
    )
    model.compile(
        with_loss_scaling(optimizer, model),
        loss=classification_loss(labels, focal_gamma=gamma, label_smoothing=plan.label_smoothing),
        weighted_metrics=[classification_accuracy(labels)],
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
