"""The layers of the network: the embedding and the encoder, on `keras.ops` alone.

They compute the pre-norm encoders of this project and, with other arguments, those of BERT (Devlin et al., 2019).

Padding is passed explicitly, as a `padding_mask` of shape (batch, length), True at real tokens: ordinary operations
drop the implicit masks of Keras. `KerasTensor` in a signature means a tensor of any backend.
"""

import functools
from collections.abc import Callable

import keras
from keras import KerasTensor, layers, ops

PACKAGE = "mini_bert"
Shape = tuple[int | None, ...]
ACTIVATIONS = ("relu", "gelu", "gelu_tanh")


def activation_function(name: str) -> Callable[[KerasTensor], KerasTensor]:
    """Return an activation function by its name, one of `ACTIVATIONS`.

    "gelu" is the exact one and "gelu_tanh" its approximation. Hendrycks and Gimpel, "Gaussian Error Linear Units"
    (2016).

    Raises:
        ValueError: the name is unknown.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: use one of {', '.join(ACTIVATIONS)}")
    return ops.relu if name == "relu" else functools.partial(ops.gelu, approximate=name == "gelu_tanh")


@keras.saving.register_keras_serializable(package=PACKAGE)
class BertEmbedding(layers.Layer):
    """The sum of token, position and segment embeddings, layer-normalised, with dropout.

    Devlin et al., "BERT" (2019), section 3.

    Args:
        vocab_size: number of tokens; ids are 0..vocab_size-1.
        max_seq_len: number of positions; a longer input is an error.
        d_model: width of the embeddings.
        type_vocab_size: number of segments.
        dropout_rate: fraction of the values dropped in training.
        epsilon: added to the variance in layer normalisation.

    Call arguments:
        input_ids: int32, (batch, length).
        token_type_ids: int32, (batch, length); None means the first segment everywhere.

    Returns:
        (batch, length, d_model)
    """

    def __init__(
        self,
        vocab_size: int,
        max_seq_len: int,
        d_model: int,
        type_vocab_size: int = 2,
        dropout_rate: float = 0.1,
        *,
        epsilon: float = 1e-6,
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.max_seq_len = max_seq_len
        self.d_model = d_model
        self.type_vocab_size = type_vocab_size
        self.dropout_rate = dropout_rate
        self.epsilon = epsilon
        dtype = self.dtype_policy

        def embedding(size: int, name: str) -> layers.Embedding:
            # A shared initializer would draw the same numbers for all three tables.
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            return layers.Embedding(size, d_model, initializer, name=name, dtype=dtype)

        self.token_embedding = embedding(vocab_size, "token_embedding")
        self.position_embedding = embedding(max_seq_len, "position_embedding")
        self.segment_embedding = embedding(type_vocab_size, "segment_embedding")
        self.normalization = layers.LayerNormalization(epsilon=epsilon, name="normalization", dtype=dtype)
        self.dropout = layers.Dropout(dropout_rate, name="dropout", dtype=dtype)

    def build(self, input_ids_shape: Shape, token_type_ids_shape: Shape | None = None) -> None:
        ids_shape = (None, None)
        self.token_embedding.build(ids_shape)
        self.position_embedding.build(ids_shape)
        self.segment_embedding.build(ids_shape)
        self.normalization.build((None, None, self.d_model))
        self.dropout.build((None, None, self.d_model))

    def call(
        self, input_ids: KerasTensor, token_type_ids: KerasTensor | None = None, training: bool | None = None
    ) -> KerasTensor:
        length = input_ids.shape[1]
        if length is not None and length > self.max_seq_len:
            raise ValueError(f"an input of {length} tokens exceeds the {self.max_seq_len} positions of the embedding")
        if token_type_ids is None:
            token_type_ids = ops.zeros_like(input_ids)
        positions = ops.arange(ops.shape(input_ids)[1], dtype="int32")
        embeddings = (
            self.token_embedding(input_ids)
            + self.position_embedding(positions)
            + self.segment_embedding(token_type_ids)
        )
        return self.dropout(self.normalization(embeddings), training=training)

    def compute_output_shape(self, input_ids_shape: Shape, token_type_ids_shape: Shape | None = None) -> Shape:
        return (*input_ids_shape, self.d_model)

    def get_config(self) -> dict:
        return super().get_config() | {
            "vocab_size": self.vocab_size,
            "max_seq_len": self.max_seq_len,
            "d_model": self.d_model,
            "type_vocab_size": self.type_vocab_size,
            "dropout_rate": self.dropout_rate,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class TransformerEncoder(layers.Layer):
    """An encoder block: self-attention, then a two-layer feed-forward network, each with a residual connection.

    Vaswani et al., "Attention Is All You Need" (2017), section 3.1. With `normalize_first` it uses the order of Xiong
    et al., "On Layer Normalization in the Transformer Architecture" (2020), in which queries, keys and values all come
    from the normalised input.

    Args:
        d_model: width of input and output.
        num_heads: number of attention heads; divides `d_model`.
        dff: width of the hidden layer of the feed-forward network.
        dropout_rate: fraction of the values dropped in training, in attention and before each residual sum.
        normalize_first: whether layer normalisation comes before each sub-layer, not after its residual sum.
        activation: activation of the hidden layer, one of `ACTIVATIONS`; ReLU as in the original model.
        epsilon: added to the variance in layer normalisation.
        gradient_checkpointing: whether a training step computes the layer a second time for the gradients, instead of
            keeping its intermediate values in memory. Chen et al., "Training Deep Nets with Sublinear Memory Cost"
            (2016). Only without dropout, with which Keras 3.15 returns wrong gradients on some backends.

    Call arguments:
        inputs: (batch, length, d_model).
        padding_mask: bool, (batch, length), True at real tokens; None means no padding.

    Returns:
        (batch, length, d_model)
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dff: int,
        dropout_rate: float = 0.1,
        normalize_first: bool = True,
        *,
        activation: str = "relu",
        epsilon: float = 1e-6,
        gradient_checkpointing: bool = False,
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        if d_model % num_heads:
            raise ValueError(f"num_heads must divide d_model, but {num_heads} does not divide {d_model}")
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout_rate = dropout_rate
        self.normalize_first = normalize_first
        self.activation = activation
        self.epsilon = epsilon
        self.gradient_checkpointing = gradient_checkpointing
        dtype = self.dtype_policy
        self.attention = layers.MultiHeadAttention(
            num_heads, d_model // num_heads, dropout=dropout_rate, name="attention", dtype=dtype
        )
        self.attention_normalization = layers.LayerNormalization(
            epsilon=epsilon, name="attention_normalization", dtype=dtype
        )
        self.attention_dropout = layers.Dropout(dropout_rate, name="attention_dropout", dtype=dtype)
        self.feed_forward_hidden = layers.Dense(
            dff, activation=activation_function(activation), name="feed_forward_hidden", dtype=dtype
        )
        self.feed_forward_output = layers.Dense(d_model, name="feed_forward_output", dtype=dtype)
        self.feed_forward_normalization = layers.LayerNormalization(
            epsilon=epsilon, name="feed_forward_normalization", dtype=dtype
        )
        self.feed_forward_dropout = layers.Dropout(dropout_rate, name="feed_forward_dropout", dtype=dtype)

    def build(self, inputs_shape: Shape, padding_mask_shape: Shape | None = None) -> None:
        self.attention.build(inputs_shape, inputs_shape)
        self.attention_normalization.build(inputs_shape)
        self.attention_dropout.build(inputs_shape)
        self.feed_forward_hidden.build(inputs_shape)
        self.feed_forward_output.build((*inputs_shape[:-1], self.dff))
        self.feed_forward_normalization.build(inputs_shape)
        self.feed_forward_dropout.build(inputs_shape)

    @property
    def gradient_checkpointing(self) -> bool:
        return self._gradient_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, value: bool) -> None:
        if value and self.dropout_rate:
            raise ValueError("gradient checkpointing needs a dropout rate of 0")
        self._gradient_checkpointing = value

    def call(
        self, inputs: KerasTensor, padding_mask: KerasTensor | None = None, training: bool | None = None
    ) -> KerasTensor:
        if self.gradient_checkpointing and training:
            # Not with the mask as an argument, which on TensorFlow must have a gradient.
            return keras.remat(lambda x: self._encode(x, padding_mask, training))(inputs)
        return self._encode(inputs, padding_mask, training)

    def _encode(self, inputs: KerasTensor, padding_mask: KerasTensor | None, training: bool | None) -> KerasTensor:
        def attend(x: KerasTensor) -> KerasTensor:
            # A mask of keys alone, (batch, 1, length): no real position reads the output at a padding position.
            attention_mask = None if padding_mask is None else ops.expand_dims(padding_mask, 1)
            attended = self.attention(x, x, attention_mask=attention_mask, training=training)
            return self.attention_dropout(attended, training=training)

        def feed_forward(x: KerasTensor) -> KerasTensor:
            projected = self.feed_forward_output(self.feed_forward_hidden(x))
            return self.feed_forward_dropout(projected, training=training)

        if self.normalize_first:
            x = inputs + attend(self.attention_normalization(inputs))
            return x + feed_forward(self.feed_forward_normalization(x))
        x = self.attention_normalization(inputs + attend(inputs))
        return self.feed_forward_normalization(x + feed_forward(x))

    def compute_output_shape(self, inputs_shape: Shape, padding_mask_shape: Shape | None = None) -> Shape:
        return inputs_shape

    def get_config(self) -> dict:
        return super().get_config() | {
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "dff": self.dff,
            "dropout_rate": self.dropout_rate,
            "normalize_first": self.normalize_first,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "gradient_checkpointing": self.gradient_checkpointing,
        }
