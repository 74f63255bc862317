"""The layers of the network: embedding, encoder, pooling and the masked-language-model head, on `keras.ops` alone.

Padding is never guessed from Keras' implicit masks, which ordinary operations drop: a `padding_mask` of shape
(batch, length), True at real tokens, is passed explicitly.
"""

import keras
from keras import layers, ops

PACKAGE = "mini_bert"


@keras.saving.register_keras_serializable(package=PACKAGE)
class BertEmbedding(layers.Layer):
    """Sum of token, position and segment embeddings, layer-normalised, with dropout.

    Devlin et al., "BERT" (2019), section 3.

    Args:
        vocab_size: number of tokens; ids are 0..vocab_size-1.
        max_seq_len: number of positions; longer inputs are refused.
        d_model: width of the embeddings.
        type_vocab_size: number of segments.
        dropout_rate: share of the values dropped in training.

    Call arguments:
        input_ids: int32, (batch, length).
        token_type_ids: int32, (batch, length); None stands for the first segment throughout.

    Returns:
        (batch, length, d_model)
    """

    def __init__(self, vocab_size, max_seq_len, d_model, type_vocab_size=2, dropout_rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.max_seq_len = max_seq_len
        self.d_model = d_model
        self.type_vocab_size = type_vocab_size
        self.dropout_rate = dropout_rate
        dtype = self.dtype_policy

        def embedding(size, name):
            # One initializer for all three would draw the same numbers three times.
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            return layers.Embedding(size, d_model, initializer, name=name, dtype=dtype)

        self.token_embedding = embedding(vocab_size, "token_embedding")
        self.position_embedding = embedding(max_seq_len, "position_embedding")
        self.segment_embedding = embedding(type_vocab_size, "segment_embedding")
        self.normalization = layers.LayerNormalization(epsilon=1e-6, name="normalization", dtype=dtype)
        self.dropout = layers.Dropout(dropout_rate, name="dropout", dtype=dtype)

    def build(self, input_ids_shape, token_type_ids_shape=None):
        ids_shape = (None, None)
        self.token_embedding.build(ids_shape)
        self.position_embedding.build(ids_shape)
        self.segment_embedding.build(ids_shape)
        self.normalization.build((None, None, self.d_model))
        self.dropout.build((None, None, self.d_model))

    def call(self, input_ids, token_type_ids=None, training=None):
        length = input_ids.shape[1]
        if length is not None and length > self.max_seq_len:
            raise ValueError(f"{length} tokens, but this embedding has only {self.max_seq_len} positions")
        if token_type_ids is None:
            token_type_ids = ops.zeros_like(input_ids)
        positions = ops.arange(ops.shape(input_ids)[1], dtype="int32")
        embeddings = (
            self.token_embedding(input_ids)
            + self.position_embedding(positions)
            + self.segment_embedding(token_type_ids)
        )
        return self.dropout(self.normalization(embeddings), training=training)

    def compute_output_shape(self, input_ids_shape, token_type_ids_shape=None):
        return (*input_ids_shape, self.d_model)

    def get_config(self):
        return super().get_config() | {
            "vocab_size": self.vocab_size,
            "max_seq_len": self.max_seq_len,
            "d_model": self.d_model,
            "type_vocab_size": self.type_vocab_size,
            "dropout_rate": self.dropout_rate,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class TransformerEncoder(layers.Layer):
    """One encoder block: self-attention, then a two-layer feed-forward network, each with a residual connection.

    Vaswani et al., "Attention Is All You Need" (2017), section 3.1; with `normalize_first` the order of Xiong et al.,
    "On Layer Normalization in the Transformer Architecture" (2020), in which queries, keys and values all come from
    the normalised input.

    Args:
        d_model: width of input and output.
        num_heads: number of attention heads; divides `d_model`.
        dff: width of the hidden layer of the feed-forward network.
        dropout_rate: share of the values dropped in training, in attention and before each residual sum.
        normalize_first: whether layer normalisation comes before each sub-layer or after its residual sum.

    Call arguments:
        inputs: (batch, length, d_model).
        padding_mask: bool, (batch, length), True at real tokens; None where there is no padding.

    Returns:
        (batch, length, d_model)
    """

    def __init__(self, d_model, num_heads, dff, dropout_rate=0.1, normalize_first=True, **kwargs):
        super().__init__(**kwargs)
        if d_model % num_heads:
            raise ValueError(f"num_heads must divide d_model, and {num_heads} does not divide {d_model}")
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout_rate = dropout_rate
        self.normalize_first = normalize_first
        dtype = self.dtype_policy
        self.attention = layers.MultiHeadAttention(
            num_heads, d_model // num_heads, dropout=dropout_rate, name="attention", dtype=dtype
        )
        self.attention_normalization = layers.LayerNormalization(
            epsilon=1e-6, name="attention_normalization", dtype=dtype
        )
        self.attention_dropout = layers.Dropout(dropout_rate, name="attention_dropout", dtype=dtype)
        # ReLU is the original's choice; the exact GELU would not survive the export to ONNX.
        self.feed_forward_hidden = layers.Dense(dff, activation="relu", name="feed_forward_hidden", dtype=dtype)
        self.feed_forward_output = layers.Dense(d_model, name="feed_forward_output", dtype=dtype)
        self.feed_forward_normalization = layers.LayerNormalization(
            epsilon=1e-6, name="feed_forward_normalization", dtype=dtype
        )
        self.feed_forward_dropout = layers.Dropout(dropout_rate, name="feed_forward_dropout", dtype=dtype)

    def build(self, inputs_shape, padding_mask_shape=None):
        self.attention.build(inputs_shape, inputs_shape)
        self.attention_normalization.build(inputs_shape)
        self.attention_dropout.build(inputs_shape)
        self.feed_forward_hidden.build(inputs_shape)
        self.feed_forward_output.build((*inputs_shape[:-1], self.dff))
        self.feed_forward_normalization.build(inputs_shape)
        self.feed_forward_dropout.build(inputs_shape)

    def call(self, inputs, padding_mask=None, training=None):
        def attend(x):
            # A mask of keys alone, (batch, 1, length): what a padding position attends to reaches no real one.
            attention_mask = None if padding_mask is None else ops.expand_dims(padding_mask, 1)
            attended = self.attention(x, x, attention_mask=attention_mask, training=training)
            return self.attention_dropout(attended, training=training)

        def feed_forward(x):
            projected = self.feed_forward_output(self.feed_forward_hidden(x))
            return self.feed_forward_dropout(projected, training=training)

        if self.normalize_first:
            x = inputs + attend(self.attention_normalization(inputs))
            return x + feed_forward(self.feed_forward_normalization(x))
        x = self.attention_normalization(inputs + attend(inputs))
        return self.feed_forward_normalization(x + feed_forward(x))

    def compute_output_shape(self, inputs_shape, padding_mask_shape=None):
        return inputs_shape

    def get_config(self):
        return super().get_config() | {
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "dff": self.dff,
            "dropout_rate": self.dropout_rate,
            "normalize_first": self.normalize_first,
        }


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
