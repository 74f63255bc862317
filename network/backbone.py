"""The network without a head: its sizes, its layers, and copies of their weights."""

import dataclasses
from collections.abc import Sequence

import keras
from keras import layers, ops

from layers import BertEmbedding, TransformerEncoder

PADDING_ID = 0
# The arguments of `BertConfig` with which other programs can read a model as a BERT.
AS_IN_BERT = {"normalize_first": False, "activation": "gelu", "epsilon": 1e-12}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The sizes of the network.

    Attributes:
        vocab_size: number of tokens.
        max_seq_len: maximum number of tokens that the network reads at once.
        d_model: width of the network.
        num_layers: number of encoders.
        num_heads: number of attention heads per encoder; divides `d_model`.
        dff: width of the hidden layer of the feed-forward networks.
        type_vocab_size: number of segments.
        dropout_rate: fraction of the values dropped in training; fine-tuning may use another one than pre-training.
        normalize_first: whether layer normalisation comes before each sub-layer, not after its residual sum.
        activation: activation of the feed-forward networks, see `layers.ACTIVATIONS`.
        epsilon: added to the variance in layer normalisation.
    """

    vocab_size: int = 21_128
    max_seq_len: int = 64
    d_model: int = 64
    num_layers: int = 2
    num_heads: int = 4
    dff: int = 256
    type_vocab_size: int = 2
    dropout_rate: float = 0.1
    normalize_first: bool = True
    activation: str = "relu"
    epsilon: float = 1e-6

    @property
    def head_activation(self) -> str:
        """The activation of the masked-LM head: in BERT that of the encoders, in our pre-norm model another one."""
        return "gelu_tanh" if self.normalize_first else self.activation


def build_backbone(config: BertConfig) -> keras.Model:
    """Build the network without a head.

    Returns:
        A model from a dict of `input_ids` and `token_type_ids`, int32, (batch, max_seq_len), to a dict of
        `sequence_output`, (batch, max_seq_len, d_model), `padding_mask`, bool, (batch, max_seq_len), True at real
        tokens, and `hidden_states`, a list of the outputs of the embedding and of each encoder from the bottom up, the
        last of which is `sequence_output`.
    """
    embedding = BertEmbedding(
        config.vocab_size,
        config.max_seq_len,
        config.d_model,
        config.type_vocab_size,
        config.dropout_rate,
        epsilon=config.epsilon,
        name="bert_embedding",
    )
    encoders = [
        TransformerEncoder(
            config.d_model,
            config.num_heads,
            config.dff,
            config.dropout_rate,
            config.normalize_first,
            activation=config.activation,
            epsilon=config.epsilon,
            name=f"transformer_encoder_{number}" if number else "transformer_encoder",
        )
        for number in range(config.num_layers)
    ]
    return _connected(embedding, encoders, config.max_seq_len)


def backbone_of_any_length(model: keras.Model) -> keras.Model:
    """Return the network of `model` without its head, with the same layers, for inputs of any length.

    Returns:
        As `build_backbone`, with a length from 1 to `max_seq_len` that may change from batch to batch.
    """
    embedding, *encoders = backbone_layers(model)
    return _connected(embedding, encoders, None)


def _connected(embedding: BertEmbedding, encoders: Sequence[TransformerEncoder], length: int | None) -> keras.Model:
    inputs = {name: keras.Input((length,), dtype="int32", name=name) for name in ("input_ids", "token_type_ids")}
    padding_mask = ops.not_equal(inputs["input_ids"], PADDING_ID)
    states = [embedding(inputs["input_ids"], inputs["token_type_ids"])]
    for encoder in encoders:
        states.append(encoder(states[-1], padding_mask))
    outputs = {"sequence_output": states[-1], "padding_mask": padding_mask, "hidden_states": states}
    return keras.Model(inputs, outputs, name="bert_backbone")


def backbone_layers(model: keras.Model) -> list[layers.Layer]:
    """Return the layers with pre-trained weights: the embedding, then the encoders from the bottom up."""
    return [layer for layer in model.layers if isinstance(layer, BertEmbedding | TransformerEncoder)]


def checkpoint_gradients(model: keras.Model) -> None:
    """Let the encoders of a model compute their intermediate values a second time instead of keeping them in memory.

    Raises:
        ValueError: the model has dropout.
    """
    for layer in backbone_layers(model):
        if isinstance(layer, TransformerEncoder):
            layer.gradient_checkpointing = True


def copy_backbone(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of the embedding and the encoders of `source` to those of `target`."""
    for source_layer, target_layer in zip(backbone_layers(source), backbone_layers(target), strict=True):
        target_layer.set_weights(source_layer.get_weights())
