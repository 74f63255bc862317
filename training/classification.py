"""Fine-tuning: trains the head alone on features computed once, or the network with it."""

from dataclasses import dataclass

import keras
import numpy as np

from model import BertClassifier, feature_extractor
from text.batches import LabelledBatches
from text.reviews import Part, Reviews
from training.checkpoint import Checkpoint
from training.loop import History, ProgressBar, fit_epochs
from training.optimizer import fine_tuning_optimizer

PREDICTION_BATCH_SIZE = 256


@dataclass(frozen=True)
class FineTuningPlan:
    """How to train: `learning_rate` is that of pre-trained weights, `head_learning_rate` that of the new layer."""

    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    seed: int
    jit_compile: bool = True


def train_classifier(
    classifier: BertClassifier,
    reviews: Reviews,
    plan: FineTuningPlan,
    checkpoint: Checkpoint | None = None,
    *,
    resume: bool = False,
) -> History:
    """Trains what is not frozen, in place, on the training part; returns the figures of each epoch."""
    if classifier.unfreeze == 0:
        return _train_head(classifier, reviews, plan, checkpoint, resume)
    return _fit(
        classifier, reviews.train.inputs, reviews.validation.inputs, reviews, plan, checkpoint, resume, plan.jit_compile
    )


def predict_probabilities(classifier: BertClassifier, part: Part) -> np.ndarray:
    """Returns the probability of each text to be positive, float32, (n,)."""
    return classifier.predict(part.inputs, batch_size=PREDICTION_BATCH_SIZE, verbose=0)[:, 0]


def _train_head(classifier, reviews, plan, checkpoint, resume) -> History:
    """Trains the 65 parameters on whitened features, which a frozen backbone gives once and for all.

    Features that lean on one another and differ in scale would take an optimizer many epochs to tell apart. The
    whitening is then folded into the head, so that the classifier itself does not change its form.
    """
    extractor = feature_extractor(classifier)
    train, validation = (
        extractor.predict(part.inputs, batch_size=PREDICTION_BATCH_SIZE, verbose=0)
        for part in (reviews.train, reviews.validation)
    )
    mean, whitening = _whitening(train)

    head = classifier.get_layer("classification_output")
    inputs = keras.Input((train.shape[1],), name="whitened_features")
    head_model = keras.Model(inputs, head(inputs), name="classification_head")
    train, validation = ((features - mean) @ whitening for features in (train, validation))
    # A step on 65 parameters takes less time than its compilation.
    history = _fit(head_model, train, validation, reviews, plan, checkpoint, resume, jit_compile=False)

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


def _fit(model, train_inputs, validation_inputs, reviews, plan, checkpoint, resume, jit_compile) -> History:
    def batches_of(epoch=0, first_batch=0):
        return LabelledBatches(
            train_inputs, reviews.train.labels, plan.batch_size, seed=plan.seed, epoch=epoch, first_batch=first_batch
        )

    model.compile(
        fine_tuning_optimizer(plan.learning_rate, plan.head_learning_rate, plan.epochs * len(batches_of())),
        loss="binary_crossentropy",
        metrics=["binary_accuracy"],
        jit_compile=jit_compile,
    )
    model.optimizer.build(model.trainable_variables)
    if resume:
        checkpoint.load()
        checkpoint.restore(model)

    def validate():
        return model.evaluate(
            validation_inputs,
            reviews.validation.labels,
            batch_size=PREDICTION_BATCH_SIZE,
            verbose=0,
            return_dict=True,
        )

    return fit_epochs(
        model,
        batches_of,
        validate,
        plan.epochs,
        checkpoint=checkpoint,
        callbacks=[ProgressBar(" reviews", plan.batch_size)],
    )
