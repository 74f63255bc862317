"""The layers above the encoders: pooling, the logits of a classifier, the heads of pre-training."""

import math
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from layers import PACKAGE, BertEmbedding, Shape, activation_function

# The names of these heads in the models.
MASKED_LM_HEAD, NEXT_SENTENCE_HEAD = "masked_lm_head", "next_sentence_head"


class Pooling(layers.Layer):
    """The base class of the poolings, which turn the vectors of each row into one; most have no weights."""

    def build(self, inputs_shape: Shape, padding_mask_shape: Shape | None = None) -> None:
        pass

    def compute_output_shape(self, inputs_shape: Shape, padding_mask_shape: Shape | None = None) -> Shape:
        return (inputs_shape[0], inputs_shape[-1])


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaskedMeanPooling(Pooling):
    """The mean over the real tokens of each row; zeros for a row of padding only.

    Call arguments:
        inputs: (batch, length, d_model).
        padding_mask: bool, (batch, length), True at real tokens.

    Returns:
        (batch, d_model)
    """

    def call(self, inputs: KerasTensor, padding_mask: KerasTensor) -> KerasTensor:
        weights = ops.expand_dims(ops.cast(padding_mask, inputs.dtype), -1)
        return ops.sum(inputs * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaskedMaxPooling(Pooling):
    """The maximum of each feature over the real tokens of each row; zeros for a row of padding only.

    Call arguments:
        inputs: (batch, length, d_model).
        padding_mask: bool, (batch, length), True at real tokens.

    Returns:
        (batch, d_model)
    """

    def call(self, inputs: KerasTensor, padding_mask: KerasTensor) -> KerasTensor:
        is_real = ops.expand_dims(padding_mask, -1)
        # Infinity, because a finite number would have to fit every precision.
        highest = ops.max(ops.where(is_real, inputs, -math.inf), axis=1)
        return ops.where(ops.any(is_real, axis=1), highest, 0.0)


@keras.saving.register_keras_serializable(package=PACKAGE)
class ClsPooling(Pooling):
    """The vector at the first position of each row, that of `[CLS]`.

    `Pooler` adds a dense layer with tanh; this is the bare vector. Devlin et al. (2019), section 3.

    Call arguments:
        inputs: (batch, length, d_model).
        padding_mask: unused, because the first position is never padding; accepted as by the other poolings.

    Returns:
        (batch, d_model)
    """

    def call(self, inputs: KerasTensor, padding_mask: KerasTensor | None = None) -> KerasTensor:
        return inputs[:, 0]


@keras.saving.register_keras_serializable(package=PACKAGE)
class Pooler(Pooling):
    """The pooler of BERT: a dense layer with tanh on the vector of `[CLS]`. Devlin et al. (2019), section 3.

    Call arguments:
        inputs: (batch, length, d_model).
        padding_mask: unused, as in `ClsPooling`.

    Returns:
        (batch, d_model)
    """

    def build(self, inputs_shape: Shape, padding_mask_shape: Shape | None = None) -> None:
        self.dense = layers.Dense(inputs_shape[-1], activation="tanh", name="dense", dtype=self.dtype_policy)
        self.dense.build((None, inputs_shape[-1]))

    def call(self, inputs: KerasTensor, padding_mask: KerasTensor | None = None) -> KerasTensor:
        return self.dense(inputs[:, 0])


# By the name that the model file and the option --pooling give them.
POOLING_LAYERS = {"mean": MaskedMeanPooling, "cls": ClsPooling, "max": MaskedMaxPooling, "pooler": Pooler}


class ClassificationLogits(layers.Layer):
    """The logits of a `Dense` layer with an activation: its output before the activation, in float32.

    The last layer of a model file must be a `Dense` with its activation, because Keras finds weights by the class of
    the layer. A loss needs logits, which are not rounded to 0 or 1.

    Args:
        dense: the layer, already built.

    Call arguments:
        inputs: (batch, d_model).

    Returns:
        float32, (batch, outputs)
    """

    def __init__(self, dense: layers.Dense, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.dense = dense

    def build(self, inputs_shape: Shape) -> None:
        pass

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return ops.matmul(inputs, self.dense.kernel) + self.dense.bias

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return (*inputs_shape[:-1], self.dense.units)


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaskedLMHead(layers.Layer):
    """A head that scores every token of the vocabulary, at the masked positions only.

    Its projection shares the matrix of the token embeddings. The constructor of the model calls `tie` with the
    embedding, because a model file cannot contain a shared matrix twice. Devlin et al. (2019), section 3.1.

    With `targets`, each target is scored against a sample of the vocabulary, which halves the training time. The sample
    is the first `ALWAYS_SCORED` tokens, the most frequent ones of a Unigram vocabulary, and one in `STRIDE` of the
    others, which changes from batch to batch. The scores of the others are raised by log(`STRIDE`), so that the
    denominator of the softmax is, on average, that of the whole vocabulary. Jean et al., "On Using Very Large Target
    Vocabulary for Neural Machine Translation" (2015), section 3. The first tokens of an imported WordPiece vocabulary
    are not its most frequent ones: there the average is the same, but it varies more, so that the sample is less
    efficient.

    Args:
        vocab_size: number of tokens.
        d_model: width of the inputs and of the tied embeddings.
        activation: activation of the dense layer before the projection, see `layers.ACTIVATIONS`.
        epsilon: added to the variance in layer normalisation.

    Call arguments:
        inputs: (batch, length, d_model).
        masked_positions: int32, (batch, predictions), indices into `length`.
        targets: int32, (batch, predictions), the masked tokens; None scores the whole vocabulary.

    Returns:
        logits, float32 in every precision: (batch, predictions, vocab_size), by token; with `targets`
        (batch, predictions, 1 + sampled tokens), the target first.
    """

    ALWAYS_SCORED = 2048
    STRIDE = 8

    def __init__(
        self, vocab_size: int, d_model: int, *, activation: str = "gelu_tanh", epsilon: float = 1e-6, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.d_model = d_model
        self.activation = activation
        self.epsilon = epsilon
        dtype = self.dtype_policy
        self.transform = layers.Dense(
            d_model, activation=activation_function(activation), name="transform", dtype=dtype
        )
        self.normalization = layers.LayerNormalization(epsilon=epsilon, name="normalization", dtype=dtype)
        self._token_table = None

    def tie(self, embedding: BertEmbedding) -> None:
        """Share the token embeddings of `embedding`."""
        # A function hides the embedding from Keras, which would save it a second time as an attribute.
        self._token_table = lambda: embedding.token_embedding.embeddings

    def build(
        self,
        inputs_shape: Shape,
        masked_positions_shape: Shape | None = None,
        targets_shape: Shape | None = None,
    ) -> None:
        hidden_shape = (None, None, self.d_model)
        self.transform.build(hidden_shape)
        self.normalization.build(hidden_shape)
        self.bias = self.add_weight(name="bias", shape=(self.vocab_size,), initializer="zeros")

    def call(
        self, inputs: KerasTensor, masked_positions: KerasTensor, targets: KerasTensor | None = None
    ) -> KerasTensor:
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
        # Where the sample contains the target, it must not count a second time.
        logits = ops.where(ops.equal(ids, ops.expand_dims(targets, -1)), -1e9, logits)
        return ops.concatenate([target_logits, logits], axis=-1)

    @property
    def _num_always(self) -> int:
        """The number of tokens that are always scored, such that the stride divides the number of the others."""
        return self.vocab_size - max(0, self.vocab_size - self.ALWAYS_SCORED) // self.STRIDE * self.STRIDE

    def _scored_ids(self, targets: KerasTensor) -> KerasTensor:
        # Computed from the targets: a checkpoint would have to keep the state of a generator.
        offset = ops.sum(targets) % self.STRIDE
        sampled = ops.arange(self._num_always, self.vocab_size, self.STRIDE, dtype="int32") + offset
        return ops.concatenate([ops.arange(self._num_always, dtype="int32"), sampled])

    def compute_output_shape(
        self, inputs_shape: Shape, masked_positions_shape: Shape, targets_shape: Shape | None = None
    ) -> Shape:
        if targets_shape is None:
            return (*masked_positions_shape, self.vocab_size)
        num_sampled = (self.vocab_size - self._num_always) // self.STRIDE
        return (*masked_positions_shape, 1 + self._num_always + num_sampled)

    def compute_output_spec(
        self, inputs: KerasTensor, masked_positions: KerasTensor, targets: KerasTensor | None = None
    ) -> KerasTensor:
        shape = self.compute_output_shape(
            inputs.shape, masked_positions.shape, None if targets is None else targets.shape
        )
        return KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict:
        return super().get_config() | {
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "activation": self.activation,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class NextSentenceHead(layers.Layer):
    """A head that scores whether the second text of a row follows the first one in their document.

    A dense layer with tanh on `[CLS]`, the pooler of BERT, and one logit. Devlin et al. (2019), section 3.1.

    Args:
        d_model: width of the inputs.

    Call arguments:
        inputs: (batch, length, d_model).

    Returns:
        logits, float32 in every precision, (batch, 1)
    """

    def __init__(self, d_model: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.d_model = d_model
        self.pooler = layers.Dense(d_model, activation="tanh", name="pooler", dtype=self.dtype_policy)
        self.logit = layers.Dense(1, name="logit", dtype=self.dtype_policy)

    def build(self, inputs_shape: Shape) -> None:
        self.pooler.build((None, self.d_model))
        self.logit.build((None, self.d_model))

    def call(self, inputs: KerasTensor) -> KerasTensor:
        return ops.cast(self.logit(self.pooler(inputs[:, 0])), "float32")

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return (inputs_shape[0], 1)

    def compute_output_spec(self, inputs: KerasTensor) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self) -> dict:
        return super().get_config() | {"d_model": self.d_model}
