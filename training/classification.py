"""Fine-tuning: trains the head alone on features computed once, or the network with it."""

import functools
from collections.abc import Callable

import keras
import numpy as np

from network.bert import BertClassifier, logits_model
from network.heads import ClassificationLogits
from text.dataset import Split, Splits
from text.labels import SENTIMENT
from training.engine.batches import LabelledBatches
from training.engine.checkpoint import Checkpoint
from training.engine.loop import History, ProgressBar, fit_epochs
from training.engine.optimizer import fine_tuning_optimizer
from training.losses import binary_accuracy, classification_loss
from training.plans import FineTuningPlan

PREDICTION_BATCH_SIZE = 256
# Returns the metrics of the validation part from the logits of its texts, (texts, outputs).
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
    """Train what is not frozen, in place, on the training part; return the metrics of each epoch.

    The windows of a text share its target and, together, the weight of one text. Validation is by text.

    Args:
        validate: returns the metrics of the validation part from its logits.
        distilled: further texts with a teacher's probabilities as targets. Hinton et al., "Distilling the Knowledge in
            a Neural Network" (2015).
    """
    parts = [splits.train] if distilled is None else [splits.train, distilled]
    if classifier.unfreeze == 0:
        return _train_head(classifier, parts, splits.validation, plan, validate, checkpoint, resume=resume)
    model = logits_model(classifier)
    weights = np.concatenate([part.windows.weights for part in parts])
    inputs = [part.windows.inputs for part in parts]
    batches_of = functools.partial(
        LabelledBatches,
        {name: np.concatenate([part[name] for part in inputs]) for name in inputs[0]},
        np.concatenate([part.targets[part.windows.text_index] for part in parts]),
        plan.batch_size,
        weights=weights / weights.mean(),
        seed=plan.seed,
    )
    return _fit(
        model,
        batches_of,
        lambda: validate(document_logits(model, splits.validation)),
        plan,
        checkpoint,
        resume=resume,
        jit_compile=plan.jit_compile,
        unit=" windows",
    )


def feature_extractor(classifier: BertClassifier) -> keras.Model:
    """Return the part of a classifier below its head: the inputs' `pooled_output`, (batch, d_model)."""
    return keras.Model(classifier.input, classifier.get_layer("pooled_output").output, name="feature_extractor")


def document_logits(model: keras.Model, part: Split) -> np.ndarray:
    """Return the logits of each text, float64, (texts, outputs).

    Args:
        model: gives the logits of windows, see `network.bert.logits_model`.
    """
    return part.windows.document_logits(_predict(model, part.windows.inputs))


def _predict(model: keras.Model, inputs) -> np.ndarray:
    return model.predict(inputs, batch_size=PREDICTION_BATCH_SIZE, verbose=0)


def _train_head(
    classifier: BertClassifier,
    parts: list[Split],
    validation: Split,
    plan: FineTuningPlan,
    validate: Validate,
    checkpoint: Checkpoint | None,
    *,
    resume: bool,
) -> History:
    """Train the 65 parameters on whitened features, which a frozen backbone gives once and for all.

    The features of a text are the mean of its windows' features, so that its logit is the mean of their logits.
    Correlated features on different scales converge slowly, so they are whitened first. The whitening is then folded
    into the head, so that the classifier itself does not change its form.
    """
    extractor = feature_extractor(classifier)
    *features, validation_features = (
        part.windows.mean(_predict(extractor, part.windows.inputs)) for part in (*parts, validation)
    )
    features = np.concatenate(features)
    mean, whitening = _whitening(features)

    head = classifier.get_layer("classification_output")
    inputs = keras.Input((features.shape[1],), name="whitened_features")
    head_model = keras.Model(inputs, ClassificationLogits(head)(inputs), name="classification_head")
    validation_features = (validation_features - mean) @ whitening
    batches_of = functools.partial(
        LabelledBatches,
        (features - mean) @ whitening,
        np.concatenate([part.targets for part in parts]),
        plan.batch_size,
        seed=plan.seed,
    )

    def validate_head() -> dict[str, float]:
        kernel, bias = head.get_weights()
        return validate(validation_features @ kernel + bias)

    history = _fit(
        head_model,
        batches_of,
        validate_head,
        plan,
        checkpoint,
        resume=resume,
        jit_compile=False,  # a step on 65 parameters takes less time than its compilation
        unit=" reviews",
    )

    kernel, bias = head.get_weights()
    kernel = whitening @ kernel
    head.set_weights([kernel, bias - mean @ kernel])
    return history


def _whitening(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean, (d,), and the matrix, (d, d), that make `features`, (n, d), uncorrelated, of variance 1."""
    mean = features.mean(0)
    variances, directions = np.linalg.eigh(np.cov(features, rowvar=False))
    # A direction in which next to nothing varies is noise, and is not blown up.
    scales = 1 / np.sqrt(np.maximum(variances, 1e-4 * variances.max()) + 1e-12)
    # Turned back to the features' own axes, since the sign of a direction differs from one machine to the next.
    return mean, (directions * scales @ directions.T).astype(features.dtype)


def _fit(
    model: keras.Model,
    batches_of: Callable[..., LabelledBatches],
    validate: Callable[[], dict[str, float]],
    plan: FineTuningPlan,
    checkpoint: Checkpoint | None,
    *,
    resume: bool,
    jit_compile: bool,
    unit: str,
) -> History:
    model.compile(
        fine_tuning_optimizer(plan.learning_rate, plan.head_learning_rate, plan.epochs * len(batches_of())),
        loss=classification_loss(SENTIMENT),
        weighted_metrics=[binary_accuracy],
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
        callbacks=[ProgressBar(unit, plan.batch_size)],
    )
