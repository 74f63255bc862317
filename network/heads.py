"""What stands on the encoders: pooling, the logits of a classifier, the masked-language-model head."""

import keras
from keras import layers, ops

from layers import PACKAGE, BertEmbedding


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaskedMeanPooling(layers.Layer):
    """Mean over the real tokens of each text; zeros for a row that is all padding. Has no parameters.

    Call arguments:
        inputs: (batch, length, d_model).
        padding_mask: bool, (batch, length), True at real tokens.

    Returns:
        (batch, d_model)
    """

    def build(self, inputs_shape, padding_mask_shape=None):
        pass

    def call(self, inputs, padding_mask):
        weights = ops.expand_dims(ops.cast(padding_mask, inputs.dtype), -1)
        return ops.sum(inputs * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)

    def compute_output_shape(self, inputs_shape, padding_mask_shape=None):
        return (inputs_shape[0], inputs_shape[-1])


class ClassificationLogits(layers.Layer):
    """Give the logits of a `Dense` layer that ends in an activation: what it computes before that, in float32.

    In a model file the last layer is a `Dense` with its activation, by whose class Keras finds its weights. A loss
    wants logits, in which nothing is rounded to 0 or 1.

    Args:
        dense: a layer that is built.

    Call arguments:
        inputs: (batch, d_model).

    Returns:
        float32, (batch, outputs)
    """

    def __init__(self, dense: layers.Dense, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.dense = dense

    def build(self, inputs_shape):
        pass

    def call(self, inputs):
        return ops.matmul(inputs, self.dense.kernel) + self.dense.bias

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], self.dense.units)


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaskedLMHead(layers.Layer):
    """Scores every token of the vocabulary at the masked positions, and only there.

    The projection shares its matrix with the token embeddings of the layer given to `tie`, which the model's
    constructor calls: a shared matrix cannot be written twice into a model file. Devlin et al. (2019), section 3.1.

    Given the `targets`, each of them is scored against a part of the vocabulary only, which takes training half the
    time: the first `ALWAYS_SCORED` tokens, the most frequent ones of a Unigram vocabulary, and one out of each `STRIDE`
    of the others, another one from batch to batch. The scores of the latter are raised by log(`STRIDE`), so that the
    softmax's denominator is, on the average, that of the whole vocabulary. Jean et al., "On Using Very Large Target
    Vocabulary for Neural Machine Translation" (2015), section 3.

    Args:
        vocab_size: number of tokens.
        d_model: width of the inputs and of the tied embeddings.

    Call arguments:
        inputs: (batch, length, d_model).
        masked_positions: int32, (batch, predictions), indices into `length`.
        targets: int32, (batch, predictions), the tokens that are hidden there; None scores the whole vocabulary.

    Returns:
        logits, float32 whatever the precision of the rest: (batch, predictions, vocab_size), by token; with `targets`
        (batch, predictions, 1 + tokens scored), the target's before the others'.
    """

    ALWAYS_SCORED = 2048
    STRIDE = 8

    def __init__(self, vocab_size, d_model, **kwargs):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.d_model = d_model
        dtype = self.dtype_policy
        # The tanh approximation of the GELU, since the exact one would not survive the export to ONNX.
        self.transform = layers.Dense(d_model, activation=_gelu_tanh, name="transform", dtype=dtype)
        self.normalization = layers.LayerNormalization(epsilon=1e-6, name="normalization", dtype=dtype)
        self._token_table = None

    def tie(self, embedding: BertEmbedding) -> None:
        """Shares the token embeddings of `embedding`."""
        # Held by a function: as an attribute, the embedding would be saved, and looked for, a second time.
        self._token_table = lambda: embedding.token_embedding.embeddings

    def build(self, inputs_shape, masked_positions_shape=None, targets_shape=None):
        hidden_shape = (None, None, self.d_model)
        self.transform.build(hidden_shape)
        self.normalization.build(hidden_shape)
        self.bias = self.add_weight(name="bias", shape=(self.vocab_size,), initializer="zeros")

    def call(self, inputs, masked_positions, targets=None):
        if self._token_table is None:
            raise ValueError("MaskedLMHead has no embeddings: call tie(embedding) first")
        hidden = ops.take_along_axis(inputs, ops.expand_dims(masked_positions, -1), axis=1)
        hidden = self.normalization(self.transform(hidden))
        table = ops.cast(self._token_table(), hidden.dtype)
        bias = ops.cast(self.bias, "float32")
        if targets is None:
            return ops.cast(ops.matmul(hidden, ops.transpose(table)), "float32") + bias

        target_logits = ops.cast(ops.sum(hidden * ops.take(table, targets, axis=0), axis=-1), "float32")
        target_logits = ops.expand_dims(target_logits + ops.take(bias, targets), -1)
        ids = self._scored_ids(targets)
        logits = ops.cast(ops.matmul(hidden, ops.transpose(ops.take(table, ids, axis=0))), "float32")
        logits += ops.take(bias, ids)
        logits += ops.where(ops.less(ids, self._num_always), 0.0, ops.log(float(self.STRIDE)))
        # The target is scored once, not a second time among the others.
        logits = ops.where(ops.equal(ids, ops.expand_dims(targets, -1)), -1e9, logits)
        return ops.concatenate([target_logits, logits], axis=-1)

    @property
    def _num_always(self) -> int:
        """The number of tokens that are always scored: the others can be divided by the stride."""
        return self.vocab_size - max(0, self.vocab_size - self.ALWAYS_SCORED) // self.STRIDE * self.STRIDE

    def _scored_ids(self, targets):
        # Drawn from the targets themselves: a generator would be one more state to be kept for resuming.
        offset = ops.sum(targets) % self.STRIDE
        sampled = ops.arange(self._num_always, self.vocab_size, self.STRIDE, dtype="int32") + offset
        return ops.concatenate([ops.arange(self._num_always, dtype="int32"), sampled])

    def compute_output_shape(self, inputs_shape, masked_positions_shape, targets_shape=None):
        if targets_shape is None:
            return (*masked_positions_shape, self.vocab_size)
        num_sampled = (self.vocab_size - self._num_always) // self.STRIDE
        return (*masked_positions_shape, 1 + self._num_always + num_sampled)

    def compute_output_spec(self, inputs, masked_positions, targets=None):
        shape = self.compute_output_shape(
            inputs.shape, masked_positions.shape, None if targets is None else targets.shape
        )
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return super().get_config() | {"vocab_size": self.vocab_size, "d_model": self.d_model}


def _gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)
