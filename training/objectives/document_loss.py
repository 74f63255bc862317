"""The loss of whole documents: their windows are combined before the loss, as they are in use."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from layers import Shape
from text.dataset.splits import Split
from text.tokens.windows import Windows
from training.engine.batches.document_batches import DocumentBatches
from training.objectives.distillation import targets_of
from training.plans.fine_tuning import FineTuningPlan


class DocumentLogits(layers.Layer):
    """The logits of documents, as `text.tokens.windows.Windows.document_logits` computes them from those of windows.

    Args:
        aggregate: see `text.tokens.window_settings.WindowSettings`.
        num_documents: the number of documents of every batch.

    Call arguments:
        window_logits: (windows, outputs), document by document, then those of padding.
        first_windows: int32, (documents,), the index of the first window of each document.
        window_weights: float32, (windows,), the weight of each window in its document; 0 for padding.

    Returns:
        float32, (documents, outputs)
    """

    def __init__(self, aggregate: str, num_documents: int, **kwargs: object):
        super().__init__(dtype="float32", **kwargs)
        self.aggregate = aggregate
        self.num_documents = num_documents

    def build(
        self,
        window_logits_shape: Shape,
        first_windows_shape: Shape | None = None,
        window_weights_shape: Shape | None = None,
    ) -> None:
        pass

    def call(self, window_logits: KerasTensor, first_windows: KerasTensor, window_weights: KerasTensor) -> KerasTensor:
        numbers = ops.arange(ops.shape(window_logits)[0], dtype="int32")
        document = ops.sum(ops.cast(ops.expand_dims(numbers, 1) >= first_windows, "int32"), axis=1) - 1
        # Padding counts as a further document, which is left out.
        document = ops.where(window_weights > 0, document, self.num_documents)

        def sums(values: KerasTensor) -> KerasTensor:
            return ops.segment_sum(values, document, num_segments=self.num_documents + 1)[:-1]

        weights = ops.expand_dims(window_weights, 1)
        if self.aggregate in ("mean", "harmonic"):
            return sums(window_logits * weights)
        highest = ops.segment_max(window_logits, document, num_segments=self.num_documents + 1)
        if self.aggregate == "max":
            return highest[:-1]
        # Subtracted first, because the exponential of a large number overflows; it does not change the result.
        highest = ops.stop_gradient(highest)
        exponentials = ops.exp(window_logits - ops.take(highest, document, axis=0))
        return highest[:-1] + ops.log(sums(exponentials * weights))

    def compute_output_shape(
        self,
        window_logits_shape: Shape,
        first_windows_shape: Shape | None = None,
        window_weights_shape: Shape | None = None,
    ) -> Shape:
        return (self.num_documents, window_logits_shape[-1])


def document_model(model: keras.Model, aggregate: str, num_documents: int) -> keras.Model:
    """Return a model that shares the weights of `model` and returns the logits of documents, (documents, outputs).

    Its inputs are those of `DocumentBatches`.

    Args:
        model: returns the logits of windows, see `network.bert.logits_model`.
        aggregate: how to combine them, see `text.tokens.window_settings.WindowSettings`.
        num_documents: the number of documents of every batch.
    """
    # The input of documents must be the first one, also by name: Keras weights the loss of a batch, in the mean of the
    # epoch, by the length of its first input, and the number of windows changes from batch to batch.
    inputs = {
        "first_windows": keras.Input(batch_shape=(num_documents,), dtype="int32", name="first_windows"),
        **model.input,
        "window_weights": keras.Input((), dtype="float32", name="window_weights"),
    }
    logits = DocumentLogits(aggregate, num_documents, name="document_logits")(
        model.output, inputs["first_windows"], inputs["window_weights"]
    )
    return keras.Model(inputs, logits, name="document_classification_logits")


def document_batches(
    trained_on: Sequence[Split],
    plan: FineTuningPlan,
    weights: np.ndarray | None = None,
    frequencies: np.ndarray | None = None,
) -> Callable[..., DocumentBatches]:
    """Return a function that returns the batches of an epoch; its arguments are those of `EpochBatches`.

    Args:
        trained_on: the texts, with the targets of the data set or of teachers.
        plan: the batch size and the seed.
        weights: float32, (texts,), the weight of each text in the loss; None gives all texts the same weight.
        frequencies: see `EpochBatches`.
    """
    windows = [split.windows for split in trained_on]
    return functools.partial(
        DocumentBatches,
        {name: np.concatenate([each.inputs[name] for each in windows]) for name in windows[0].inputs},
        np.concatenate([_num_windows(each) for each in windows]),
        np.concatenate([each.weights for each in windows]),
        targets_of(trained_on, plan),
        plan.batch_size,
        weights=weights,
        frequencies=frequencies,
        seed=plan.seed,
    )


def _num_windows(windows: Windows) -> np.ndarray:
    """Return the number of windows of each text, (texts,)."""
    return np.bincount(windows.text_index, minlength=len(windows.is_truncated))


def most_windows(batches_of: Callable[..., DocumentBatches], epochs: int) -> int:
    """Return the number of windows of the largest batch of a training, without padding.

    Raises:
        InputError: it has more windows than fit into memory.
    """
    return max(batches_of(epoch=epoch).most_windows for epoch in range(epochs))
