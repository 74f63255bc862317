"""Losses that compare several passes of the network over the same batch: R-Drop and adversarial training."""

from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, ops


class RegularizedModel(keras.Model):
    """A model whose loss in training has further terms, on every backend that can train.

    Each term is weighted so that without it the loss is the one of `compile`, and the scale of the loss stays that of a
    single pass; Adam ignores a factor of the loss. The metrics are those of the first pass.

    Args:
        inputs: inputs of a model that has a layer "bert_embedding".
        outputs: its logits, (batch, outputs).
        activation: the activation that turns logits into probabilities, "sigmoid" or "softmax".
        r_drop: the weight of R-Drop, which passes the batch through the network a second time, with another dropout
            mask, and adds the symmetric divergence between the two predictions to the loss of both: half of equation 4
            of Liang et al., "R-Drop: Regularized Dropout for Neural Networks" (2021). None for no R-Drop.
        fgm: the norm of the change of the token embeddings, in the direction in which the loss of the batch rises most,
            with which the batch passes through the network once more; the loss of this pass counts as much as the
            other. Miyato et al., "Adversarial Training Methods for Semi-Supervised Text Classification" (2017), change
            each text by itself; here, as is usual for BERT, the table of embeddings changes for the whole batch. None
            for no adversarial training.
    """

    def __init__(
        self,
        inputs: dict[str, KerasTensor],
        outputs: KerasTensor,
        activation: str,
        r_drop: float | None = None,
        fgm: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.activation = activation
        self.r_drop = r_drop
        self.fgm = fgm

    def compute_loss(
        self,
        x: dict[str, KerasTensor] | None = None,
        y: KerasTensor | None = None,
        y_pred: KerasTensor | None = None,
        sample_weight: KerasTensor | None = None,
        training: bool = True,
    ) -> KerasTensor:
        """Return the loss; with `training`, with its further terms."""

        def loss_of(logits: KerasTensor) -> KerasTensor:
            return super(RegularizedModel, self).compute_loss(x, y, logits, sample_weight, training)

        loss = loss_of(y_pred)
        if not training:
            return loss
        if self.r_drop is not None:
            again = self(x, training=True)
            divergence = symmetric_divergence(y_pred, again, self.activation)
            if sample_weight is not None:
                divergence *= ops.cast(sample_weight, divergence.dtype)
            loss = (loss + loss_of(again)) / 2 + self.r_drop / 2 * ops.mean(divergence)
        if self.fgm is not None:
            loss = (loss + self._adversarial_loss(x, loss_of)) / 2
        return loss

    def _adversarial_loss(
        self, x: dict[str, KerasTensor], loss_of: Callable[[KerasTensor], KerasTensor]
    ) -> KerasTensor:
        table = self.get_layer("bert_embedding").token_embedding.embeddings

        def loss_with(embeddings: KerasTensor) -> KerasTensor:
            # All variables, because on jax a scope hides those of the scope around it. What it would update, the states
            # of the dropout, is dropped: both calls have the same mask, except on torch, where Keras seeds no dropout.
            values = [(variable, variable.value) for variable in self.variables]
            with keras.StatelessScope([*values, (table, embeddings)]):
                return loss_of(self(x, training=True))

        embeddings = ops.convert_to_tensor(table)
        direction = gradient_of(loss_with, ops.stop_gradient(embeddings))
        # The number keeps a gradient of zero from becoming NaN.
        change = self.fgm * direction / (ops.sqrt(ops.sum(ops.square(direction))) + 1e-12)
        return loss_with(embeddings + ops.stop_gradient(change))


def symmetric_divergence(logits: KerasTensor, others: KerasTensor, activation: str) -> KerasTensor:
    """Return the mean of the Kullback-Leibler divergences in both directions, in nats, (batch,).

    Several sigmoid outputs are distributions of their own, over yes and no; the result is the mean over them.

    Args:
        logits: (batch, outputs).
        others: (batch, outputs).
        activation: "sigmoid" or "softmax".
    """
    activate = ops.sigmoid if activation == "sigmoid" else ops.softmax
    # Of the logarithms of the probabilities only the differences of the logits remain in the sum of both directions.
    terms = (activate(logits) - activate(others)) * (logits - others) / 2
    return ops.mean(terms, axis=-1) if activation == "sigmoid" else ops.sum(terms, axis=-1)


def gradient_of(function: Callable[[KerasTensor], KerasTensor], value: KerasTensor) -> KerasTensor:
    """Return the gradient of a function that returns a scalar, at `value`; Keras has no function for it.

    Raises:
        ValueError: the backend cannot train.
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(value)
                result = function(value)
            return tf.convert_to_tensor(tape.gradient(result, value))
        case "jax":
            import jax

            return jax.grad(function)(value)
        case "torch":
            import torch

            value = value.detach().requires_grad_()
            return torch.autograd.grad(function(value), value)[0]
        case backend:
            raise ValueError(f"the backend {backend} computes no gradients")
