"""Fine-tuning: trains the head alone on features computed once, or the network with it."""

import keras
import numpy as np

from network.bert import BertClassifier
from text.dataset import Split, Splits
from text.tokens.windows import SMALLEST_PROBABILITY, logits, sigmoid
from training.engine.batches import LabelledBatches
from training.engine.checkpoint import Checkpoint
from training.engine.loop import History, ProgressBar, fit_epochs
from training.engine.optimizer import fine_tuning_optimizer
from training.plans import FineTuningPlan

PREDICTION_BATCH_SIZE = 256


def train_classifier(
    classifier: BertClassifier,
    reviews: Splits,
    plan: FineTuningPlan,
    checkpoint: Checkpoint | None = None,
    *,
    taught: Split | None = None,
    resume: bool = False,
) -> History:
    """Trains what is not frozen, in place, on the training part; returns the figures of each epoch.

    The windows of a review share its label and, together, the weight of one review. Validation is by review.

    Args:
        taught: further texts with a teacher's probabilities for labels. Hinton et al., "Distilling the Knowledge in a
            Neural Network" (2015).
    """
    parts = [reviews.train] if taught is None else [reviews.train, taught]
    if classifier.unfreeze == 0:
        return _train_head(classifier, parts, reviews.validation, plan, checkpoint, resume)
    weights = np.concatenate([part.windows.weights for part in parts])
    inputs = [part.windows.inputs for part in parts]
    return _fit(
        classifier,
        {name: np.concatenate([part[name] for part in inputs]) for name in inputs[0]},
        np.concatenate([part.labels[part.windows.text_index] for part in parts]),
        weights / weights.mean(),
        lambda: _figures(reviews.validation.labels, predict_probabilities(classifier, reviews.validation)),
        plan,
        checkpoint,
        resume,
        plan.jit_compile,
        unit=" windows",
    )


def feature_extractor(classifier: BertClassifier) -> keras.Model:
    """Returns the part of a classifier below its head: the inputs' `pooled_output`, (batch, d_model)."""
    return keras.Model(classifier.input, classifier.get_layer("pooled_output").output, name="feature_extractor")


def predict_probabilities(classifier: BertClassifier, part: Split) -> np.ndarray:
    """Returns the probability of each text to be positive, float64, (n,)."""
    probabilities = classifier.predict(part.windows.inputs, batch_size=PREDICTION_BATCH_SIZE, verbose=0)[:, 0]
    return part.windows.text_probabilities(probabilities)


def teacher_probabilities(judgements: list[np.ndarray]) -> np.ndarray:
    """Returns what several teachers say together: the probability of the mean of their logits.

    Args:
        judgements: of each teacher, its probability for each text, (n,).
    """
    return sigmoid(logits(np.array(judgements)).mean(axis=0))


def binary_accuracy(labels, probabilities):
    """Returns, (n,), 1 where (n,) labels and (n, 1) probabilities are on the same side of 0.5.

    Keras' own metric takes no label for right that is a teacher's probability.
    """
    labels = keras.ops.reshape(labels, (-1,))
    return keras.ops.cast(keras.ops.equal(labels >= 0.5, keras.ops.reshape(probabilities, (-1,)) >= 0.5), "float32")


def _figures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    given_to_label = np.where(labels == 1, probabilities, 1 - probabilities)
    return {
        "loss": float(-np.log(np.maximum(given_to_label, SMALLEST_PROBABILITY)).mean()),
        "binary_accuracy": float(((probabilities >= 0.5) == labels).mean()),
    }


def _train_head(classifier, parts, validation_part, plan, checkpoint, resume) -> History:
    """Trains the 65 parameters on whitened features, which a frozen backbone gives once and for all.

    The features of a review are the mean of its windows' features, so that its logit is the mean of their logits.
    Features that lean on one another and differ in scale would take an optimizer many epochs to tell apart. The
    whitening is then folded into the head, so that the classifier itself does not change its form.
    """
    extractor = feature_extractor(classifier)
    *train, validation = (
        part.windows.mean(extractor.predict(part.windows.inputs, batch_size=PREDICTION_BATCH_SIZE, verbose=0))
        for part in (*parts, validation_part)
    )
    train = np.concatenate(train)
    mean, whitening = _whitening(train)

    head = classifier.get_layer("classification_output")
    inputs = keras.Input((train.shape[1],), name="whitened_features")
    head_model = keras.Model(inputs, head(inputs), name="classification_head")
    train, validation = ((features - mean) @ whitening for features in (train, validation))
    history = _fit(
        head_model,
        train,
        np.concatenate([part.labels for part in parts]),
        None,
        lambda: _figures(validation_part.labels, head_model.predict(validation, verbose=0)[:, 0]),
        plan,
        checkpoint,
        resume,
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


def _fit(model, inputs, labels, weights, validate, plan, checkpoint, resume, jit_compile, unit) -> History:
    def batches_of(epoch=0, first_batch=0):
        return LabelledBatches(
            inputs, labels, plan.batch_size, weights=weights, seed=plan.seed, epoch=epoch, first_batch=first_batch
        )

    model.compile(
        fine_tuning_optimizer(plan.learning_rate, plan.head_learning_rate, plan.epochs * len(batches_of())),
        loss="binary_crossentropy",
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
