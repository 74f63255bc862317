"""BERT's tensors and our weights: one table of names, read in both directions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from network.backbone import BertConfig
from network.bert import BertClassifier, BertMaskedLM, BertModel
from network.checkpoints.config_file import CheckpointConfig, read_config
from network.checkpoints.formats import checkpoint_file, read_tensors
from system.errors import InputError
from text.tokens.tokenizer import num_ids, read_tokenizer

# The parts of our models on the left, those of Hugging Face's on the right; {n} is the number of an encoder.
NAMES = {
    "bert_embedding/token_embedding": "embeddings.word_embeddings",
    "bert_embedding/position_embedding": "embeddings.position_embeddings",
    "bert_embedding/segment_embedding": "embeddings.token_type_embeddings",
    "bert_embedding/normalization": "embeddings.LayerNorm",
    "transformer_encoder_{n}/attention/query": "encoder.layer.{n}.attention.self.query",
    "transformer_encoder_{n}/attention/key": "encoder.layer.{n}.attention.self.key",
    "transformer_encoder_{n}/attention/value": "encoder.layer.{n}.attention.self.value",
    "transformer_encoder_{n}/attention/attention_output": "encoder.layer.{n}.attention.output.dense",
    "transformer_encoder_{n}/attention_normalization": "encoder.layer.{n}.attention.output.LayerNorm",
    "transformer_encoder_{n}/feed_forward_hidden": "encoder.layer.{n}.intermediate.dense",
    "transformer_encoder_{n}/feed_forward_output": "encoder.layer.{n}.output.dense",
    "transformer_encoder_{n}/feed_forward_normalization": "encoder.layer.{n}.output.LayerNorm",
    "pooled_output/dense": "pooler.dense",
    "classification_output": "classifier",
    "masked_lm_head": "cls.predictions",
    "masked_lm_head/transform": "cls.predictions.transform.dense",
    "masked_lm_head/normalization": "cls.predictions.transform.LayerNorm",
    "next_sentence_head/pooler": "pooler.dense",
    "next_sentence_head/logit": "cls.seq_relationship",
}
VARIABLES = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
# Names of variables in early PyTorch files and in the TensorFlow files of google-research.
OLD_VARIABLES = VARIABLES | {"output_weights": "weight", "output_bias": "bias"}
HEADS = ("classifier", "cls")  # what has no prefix in the models of Hugging Face
PREFIX = "bert."
PARALLEL_PREFIX = "module."  # of a model that was saved inside PyTorch's DataParallel
TOKEN_TABLE, POOLER = "embeddings.word_embeddings.weight", "pooler.dense.weight"
CLASSIFIER, OUTPUT_BIAS = "classifier.weight", "cls.predictions.bias"
# Copies of other tensors, which a file may contain too.
TIED = {"cls.predictions.decoder.weight": TOKEN_TABLE, "cls.predictions.decoder.bias": OUTPUT_BIAS}
# By token; exchanged where the padding of the tokenizer was not token 0.
BY_TOKEN = (TOKEN_TABLE, OUTPUT_BIAS)
# Where two labels share one logit in our models: the rows of the label that raises it, and of the one that lowers it.
ROWS_OF_TWO = {"classifier": (1, 0), "cls.seq_relationship": (0, 1)}


class ImportedModel(NamedTuple):
    """A model with the weights of a BERT checkpoint.

    Attributes:
        model: a `BertClassifier` if the checkpoint has a classifier, else a `BertMaskedLM`.
        file: the file of the weights.
        left_out: the tensors of the file that the model has no place for, by their names in the file.
        new: the weights of the model that are not in the file, by their names in the model; they are random.
    """

    model: BertModel
    file: Path
    left_out: list[str]
    new: list[str]


def import_bert(folder: Path) -> ImportedModel:
    """Return a model with the weights of a BERT checkpoint in a folder.

    The folder contains the tensors (see `network.checkpoints.formats`), a config.json or bert_config.json, and a
    tokenizer.json or vocab.txt.

    Raises:
        InputError: a file is missing or cannot be read, or the tensors do not fit the config.
    """
    checkpoint = read_config(folder)
    tokenizer, padding_id = read_tokenizer(folder)
    config = checkpoint.config
    if num_ids(tokenizer) > config.vocab_size:
        raise InputError(
            f"{folder}: the tokenizer has {num_ids(tokenizer):,} tokens, but {checkpoint.path.name} says "
            f"{config.vocab_size:,}"
        )
    file = checkpoint_file(folder)
    tensors, names_in_file = _canonical(read_tensors(folder), file)
    _require_sizes(config, tensors, file)
    # Compared now, because only the tensors that are used follow the padding.
    copies = {copy: name for copy, name in TIED.items() if _is_copy(tensors, copy, name)}
    for name in BY_TOKEN:
        if padding_id and name in tensors:
            tensors[name] = tensors[name].copy()
            tensors[name][[0, padding_id]] = tensors[name][[padding_id, 0]]
    model = _empty_model(checkpoint, tokenizer.to_str(), tensors)
    new = _assign(model, tensors, file)
    used = {bert_name(variable.path) for variable in model.weights}
    used |= {copy for copy, name in copies.items() if name in used}
    left_out = [names_in_file[name] for name in tensors if name not in used]
    return ImportedModel(model, file, left_out, new)


def _require_sizes(config: BertConfig, tensors: Mapping[str, np.ndarray], file: Path) -> None:
    """Require the sizes of a config, before a network of any size is built.

    Raises:
        InputError: a tensor is missing or has another shape.
    """
    for name, shape in _shapes(config, tensors):
        if name not in tensors:
            raise InputError(f"{file}: the tensor {name} is missing")
        if tensors[name].shape != shape:
            raise InputError(
                f"{file}: the tensor {name} has the shape {tensors[name].shape}, but the config says {shape}"
            )


def _shapes(config: BertConfig, tensors: Mapping[str, np.ndarray]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names and the shapes of the tensors that show the sizes of a network, and of those heads that exist."""
    yield TOKEN_TABLE, (config.vocab_size, config.d_model)
    yield "embeddings.position_embeddings.weight", (config.max_seq_len, config.d_model)
    yield "embeddings.token_type_embeddings.weight", (config.type_vocab_size, config.d_model)
    for number in range(config.num_layers):
        yield f"encoder.layer.{number}.intermediate.dense.weight", (config.dff, config.d_model)
    if OUTPUT_BIAS in tensors:
        yield OUTPUT_BIAS, (config.vocab_size,)
    if CLASSIFIER in tensors:
        yield CLASSIFIER, (*tensors[CLASSIFIER].shape[:1], config.d_model)


def _empty_model(checkpoint: CheckpointConfig, tokenizer_json: str, tensors: Mapping[str, np.ndarray]) -> BertModel:
    """Return the model that has a place for the heads of the checkpoint, with random weights."""
    if CLASSIFIER in tensors:
        metadata = checkpoint.classifier_metadata(len(tensors[CLASSIFIER]))
        return BertClassifier(checkpoint.config, tokenizer_json, metadata, unfreeze="all", pooling="pooler")
    metadata = checkpoint.pretraining_metadata
    return BertMaskedLM(checkpoint.config, tokenizer_json, metadata, next_sentence=POOLER in tensors)


def _assign(model: keras.Model, tensors: Mapping[str, np.ndarray], file: Path) -> list[str]:
    """Set the weights of a model to the tensors; return the names of the weights of heads that are not there.

    Raises:
        InputError: a tensor of the network or a part of a head is missing, has a shape that does not fit, or is not of
            finite floating-point numbers.
    """
    new = []
    for variable in model.weights:
        name = bert_name(variable.path)
        if name in tensors:
            _require_finite(name, tensors[name], file)
            variable.assign(_from_bert(name, tensors[name], variable.shape, file))
        elif name.startswith(HEADS) and not any(other.startswith(_head_of(name)) for other in tensors):
            new.append(variable.path)
        else:
            raise InputError(f"{file}: the tensor {name} is missing")
    return new


def _require_finite(name: str, values: np.ndarray, file: Path) -> None:
    if values.dtype.kind != "f":
        raise InputError(f"{file}: the tensor {name} has the type {values.dtype}, which is not a floating-point type")
    if not np.isfinite(values).all():
        raise InputError(
            f"{file}: the tensor {name} contains infinite numbers or NaN; download the file again, or choose another"
        )


def _head_of(name: str) -> str:
    """Return the beginning of the names of all tensors of the head that a tensor belongs to."""
    return "cls.predictions.transform" if name.startswith("cls.predictions") else name.rpartition(".")[0]


def bert_tensors(model: BertModel) -> dict[str, np.ndarray]:
    """Return the weights of a post-norm model as the tensors of the model of Hugging Face with the same heads.

    Two labels that share one logit become two rows, of which one is 0.
    """
    tensors = {}
    for variable in model.weights:
        name = bert_name(variable.path)
        prefix = "" if name.startswith(HEADS) else PREFIX
        tensors[prefix + name] = _to_bert(name, variable)
    return tensors


def bert_name(path: str) -> str:
    """Return the name that Hugging Face gives a weight, without the prefix "bert.".

    Args:
        path: the path of the Keras variable, such as "transformer_encoder_1/attention/query/kernel".
    """
    part, _, variable = path.rpartition("/")
    encoder, _, within = part.partition("/")
    number = "0"
    if encoder.startswith("transformer_encoder"):
        number = encoder.removeprefix("transformer_encoder").removeprefix("_") or "0"
        part = f"transformer_encoder_{{n}}/{within}"
    return f"{NAMES[part]}.{VARIABLES[variable]}".replace("{n}", number)


def _to_bert(name: str, variable: keras.Variable) -> np.ndarray:
    values = np.array(keras.ops.convert_to_numpy(variable), np.float32)
    if variable.name == "kernel":
        # The kernels of attention have three dimensions: that of its output joins the heads, the others part them.
        width = values.shape[-1] if "attention_output" in variable.path else values[0].size
        values = values.reshape(-1, width).T
    elif not name.endswith("weight"):
        values = values.reshape(-1)
    positive, negative = ROWS_OF_TWO.get(name.rpartition(".")[0], (0, 0))
    if positive != negative and len(values) == 1:
        rows = np.zeros((2, *values.shape[1:]), np.float32)
        rows[positive] = values[0]
        return rows
    return np.ascontiguousarray(values)


def _from_bert(name: str, values: np.ndarray, shape: tuple[int, ...], file: Path) -> np.ndarray:
    positive, negative = ROWS_OF_TWO.get(name.rpartition(".")[0], (0, 0))
    if positive != negative and shape[-1] == 1 and values.shape[:1] == (2,):
        values = values[[positive]] - values[[negative]]
    is_kernel = name.endswith("weight") and not name.startswith("embeddings") and values.ndim == 2
    values = values.T if is_kernel else values
    expected = _bert_shape(name, shape)
    if values.shape != expected:
        raise InputError(
            f"{file}: the tensor {name} has the shape {_written(values.shape, is_kernel)}, but the config says "
            f"{_written(expected, is_kernel)}"
        )
    return values.reshape(shape)


def _bert_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a tensor, transposed if it is a kernel, for that of our variable."""
    if name.endswith("bias"):
        return (int(np.prod(shape)),)
    if len(shape) < 3:
        return tuple(shape)
    width = shape[-1] if name.endswith("attention.output.dense.weight") else int(np.prod(shape[1:]))
    return (int(np.prod(shape)) // width, width)


def _written(shape: Iterable[int], is_kernel: bool) -> str:
    return str(tuple(shape)[::-1] if is_kernel else tuple(shape))


def _canonical(tensors: Mapping[str, np.ndarray], file: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors by their present names, and the names in the file by the present ones.

    Raises:
        InputError: two tensors have the same name.
    """
    renamed, names = {}, {}
    for old_name, values in tensors.items():
        name = _canonical_name(old_name)
        if name in renamed:
            raise InputError(f"{file}: {names[name]} and {old_name} are the same tensor of BERT")
        # TensorFlow has the inputs of a kernel first, PyTorch its outputs.
        renamed[name] = values.T if old_name.endswith("/kernel") else values
        names[name] = old_name
    for copy, name in TIED.items():  # of a biased projection, some files have the copy alone
        if copy in renamed and name not in renamed:
            renamed[name], names[name] = renamed.pop(copy), names.pop(copy)
    return renamed, names


def _canonical_name(name: str) -> str:
    """Return the present name of a tensor: with dots, weight and bias, without the prefixes "module." and "bert."."""
    name = re.sub(r"\blayer_(\d+)\b", r"layer.\1", name.replace("/", "."))
    name = name.removeprefix(PARALLEL_PREFIX).removeprefix(PREFIX)
    part, _, variable = name.rpartition(".")
    if variable.endswith("_embeddings"):
        return f"{name}.weight"
    if not part and variable in OLD_VARIABLES:  # the head of a classifier of google-research
        part = "classifier"
    return f"{part}.{OLD_VARIABLES.get(variable, variable)}" if part else name


def _is_copy(tensors: Mapping[str, np.ndarray], copy: str, name: str) -> bool:
    return copy in tensors and name in tensors and np.array_equal(tensors[copy], tensors[name])
