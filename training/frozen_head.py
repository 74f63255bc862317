"""Training of the head alone, on features that the frozen backbone computes once."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np

from network.bert import BertClassifier
from network.heads import ClassificationLogits
from system.output.display import progress
from text.dataset.splits import Split
from text.labels import LabelSet
from training.engine.batches.epoch_batches import LabelledBatches
from training.engine.best_epoch import VALIDATION
from training.engine.checkpoint import Checkpoint
from training.engine.loop import History, format_metrics
from training.fitting import Validate, fit, predict
from training.logistic_regression import Head, LabelledFeatures, SoftTargets, fit_cross_validated, prior
from training.objectives.balancing import balance
from training.objectives.distillation import joined, soft_targets_of
from training.plans.fine_tuning import FineTuningPlan

WINDOWS_AT_ONCE = 4096  # a few seconds of work for a small network, and a whole number of batches


def feature_extractor(classifier: BertClassifier) -> keras.Model:
    """Return the layers of a classifier below its head, as a model that returns `pooled_output`, (batch, d_model)."""
    return keras.Model(classifier.input, classifier.get_layer("pooled_output").output, name="feature_extractor")


def train_head(
    classifier: BertClassifier,
    trained_on: list[Split],
    validation: Split,
    plan: FineTuningPlan,
    validate: Validate,
    checkpoint: Checkpoint | None,
    *,
    kept: Head | None,
    resume: bool,
) -> History:
    """Train the head (65 parameters for two labels) on features, which the frozen backbone computes only once.

    The features of a text are the mean of the features of its windows, so that its logit is the mean of their logits.

    Args:
        kept: the head of the pre-trained model, if it is a classifier with the same labels; few texts are fitted with
            it and without it. More texts do not need it.
    """
    extractor = feature_extractor(classifier)
    texts = features_of(extractor, trained_on, plan)
    # Of each window: their logits are combined as in use, which may be by another aggregate than the mean.
    windows = predict(extractor, validation.windows.inputs)

    def validate_head(head: Head) -> dict[str, float]:
        return validate(validation.windows.document_logits(head.logits(windows)))

    if plan.fits_head(len(texts.targets)):
        return _fit_until_converged(classifier, texts, plan, validate_head, kept)
    return _train_in_epochs(classifier, texts, plan, validate_head, checkpoint, resume=resume)


def text_features(extractor: keras.Model, split: Split) -> np.ndarray:
    """Return the features of each text, (texts, d_model): the mean of those of its windows. Show the progress.

    Args:
        extractor: see `feature_extractor`.
        split: the texts.
    """
    inputs = split.windows.inputs
    starts = range(0, len(split.windows.input_ids), WINDOWS_AT_ONCE)
    parts = [
        predict(extractor, {name: ids[start : start + WINDOWS_AT_ONCE] for name, ids in inputs.items()})
        for start in progress(starts, "computing features", f" times {WINDOWS_AT_ONCE:,} windows")
    ]
    return split.windows.mean(np.concatenate(parts))


def features_of(extractor: keras.Model, splits: Sequence[Split], plan: FineTuningPlan) -> LabelledFeatures:
    """Return the features of all texts of some splits.

    Args:
        extractor: see `feature_extractor`.
        splits: the texts.
        plan: the settings; with balanced sampling the weight of a text is how often it is drawn.
    """
    features = np.concatenate([text_features(extractor, split) for split in splits])
    targets = np.concatenate([split.targets for split in splits])
    labels = splits[0].label_set
    weights, frequencies = balance(labels, splits, plan)
    soft = SoftTargets(*soft_targets_of(splits), plan.teacher_temperature) if plan.has_soft_loss else None
    return LabelledFeatures(features, targets, labels, weights, frequencies, soft)


def solve_head(texts: LabelledFeatures, plan: FineTuningPlan, kept: Head | None) -> tuple[Head, str]:
    """Return the head that cross-validation chooses for few texts, and a few words on how it was chosen.

    It is a logistic regression on the features, held to what the frequencies of the labels alone predict, or to the
    head `kept`. Hastie et al., "The Elements of Statistical Learning" (2009), sections 4.4.4 and 7.10.

    Args:
        texts: the texts.
        plan: the settings.
        kept: a head that may already be right.
    """
    features = texts.features.astype(np.float64)
    # One scale for all features: the network gives important ones a large variance.
    mean, scale = features.mean(axis=0), features.std(axis=0).mean() or 1.0
    targets, soft = _smoothed(texts.targets, texts.labels, plan), texts.soft
    if soft is not None:
        soft = soft._replace(probabilities=_smoothed(soft.probabilities, texts.labels, plan))
    starts = [prior]
    if kept is not None:
        of_scaled = Head(kept.kernel * scale, kept.bias + mean @ kept.kernel)
        starts.append(lambda _: of_scaled)
    scaled = dataclasses.replace(texts, features=(features - mean) / scale, targets=targets, soft=soft)
    head, start, penalty = fit_cross_validated(scaled, starts, plan.seed)
    kernel = head.kernel / scale
    held_to = "the frequencies of the labels" if start == 0 else "the head of --pretrained"
    return Head(kernel, head.bias - mean @ kernel), f"held to {held_to} with a penalty of {penalty:g}"


def _smoothed(targets: np.ndarray, labels: LabelSet, plan: FineTuningPlan) -> np.ndarray:
    """Return targets, float64, (texts, outputs), after the label smoothing of the plan."""
    targets = targets.astype(np.float64)
    if not plan.label_smoothing:
        return targets
    outcomes = 2 if labels.activation == "sigmoid" else targets.shape[1]
    return targets * (1 - plan.label_smoothing) + plan.label_smoothing / outcomes


def start_head(
    classifier: BertClassifier, trained_on: Sequence[Split], plan: FineTuningPlan, kept: Head | None
) -> None:
    """Set the head that the training of more of the network starts with.

    With few texts it is fitted to the frozen network first, so that the layers below do not learn from a head that
    knows nothing. Kumar et al., "Fine-Tuning can Distort Pretrained Features" (2022).

    Args:
        classifier: the classifier to train.
        trained_on: the texts.
        plan: the settings.
        kept: the head of the pre-trained model, if it is a classifier with the same labels.
    """
    head = classifier.get_layer("classification_output")
    if plan.fits_head(sum(len(split.texts) for split in trained_on)):
        head.set_weights(solve_head(features_of(feature_extractor(classifier), trained_on, plan), plan, kept)[0])
    elif kept is not None:
        head.set_weights(kept)


def _fit_until_converged(
    classifier: BertClassifier,
    texts: LabelledFeatures,
    plan: FineTuningPlan,
    validate: Callable[[Head], dict[str, float]],
    kept: Head | None,
) -> History:
    started = time.monotonic()
    head, chosen = solve_head(texts, plan, kept)
    classifier.get_layer("classification_output").set_weights(head)
    metrics = texts.metrics(head) | {f"{VALIDATION}{name}": value for name, value in validate(head).items()}
    print(
        f"Head fitted to {len(texts.targets):,} texts until it converged, {chosen} - "
        f"{time.monotonic() - started:.0f}s - {format_metrics(metrics)}",
        flush=True,
    )
    return {name: [value] for name, value in metrics.items()}


def _train_in_epochs(
    classifier: BertClassifier,
    texts: LabelledFeatures,
    plan: FineTuningPlan,
    validate: Callable[[Head], dict[str, float]],
    checkpoint: Checkpoint | None,
    *,
    resume: bool,
) -> History:
    """Train the head on whitened features, because correlated features of different scales converge slowly.

    In the end the whitening is folded into the head, so that the form of the classifier does not change.
    """
    mean, matrix = whitening(texts.features)
    head = classifier.get_layer("classification_output")
    inputs = keras.Input((len(mean),), name="whitened_features")
    head_model = keras.Model(inputs, ClassificationLogits(head)(inputs), name="classification_head")
    batches_of = functools.partial(
        LabelledBatches,
        (texts.features - mean) @ matrix,
        joined(texts.targets, *texts.soft[:2]) if texts.soft else texts.targets,
        plan.batch_size,
        weights=texts.weights,
        frequencies=texts.frequencies,
        seed=plan.seed,
    )

    def trained() -> Head:
        kernel, bias = head.get_weights()
        kernel = matrix @ kernel
        return Head(kernel, bias - mean @ kernel)

    history = fit(
        head_model,
        texts.labels,
        batches_of,
        lambda: validate(trained()),
        plan,
        checkpoint,
        backbone=[],
        resume=resume,
        jit_compile=False,  # compilation would take longer than training 65 parameters
        unit=" texts",
    )
    head.set_weights(trained())
    return history


def whitening(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean, (d,), and the matrix, (d, d), that make `features`, (n, d), uncorrelated, with variance 1."""
    mean = features.mean(0)
    variances, directions = np.linalg.eigh(np.cov(features, rowvar=False))
    # A direction with hardly any variance is noise, which must not be amplified.
    scales = 1 / np.sqrt(np.maximum(variances, 1e-4 * variances.max()) + 1e-12)
    # Rotated back to the axes of the features, because the sign of a direction depends on the machine.
    return mean, (directions * scales @ directions.T).astype(features.dtype)
