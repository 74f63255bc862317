"""Look at an `.onnx` file that somebody else may have written, before ONNX Runtime reads it.

A graph is a program. The file is accepted if it has only what `serving.export` writes: its operators, one input and one
output, weights inside of the file; and if its operations need about as much time and memory as a network of its size.
"""

from __future__ import annotations

import base64
import math
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from network.checks.limits import MAX_DESCRIPTION_BYTES, MOST
from serving.runtimes.onnx_shapes import RULES, Branch, Known, Node, cost_of
from serving.runtimes.protobuf import Message, text_of
from text.tokens.checks.tokenizer_file import MAX_BYTES as MAX_TOKENIZER_BYTES

# The keys of the metadata in the file. ONNX Runtime keeps copies of the values, so the tokenizer is compressed.
ABOUT, TOKENIZER, WEIGHTS_SHA256 = "mini_bert", "tokenizer.json.zlib.base64", "weights_sha256"
INPUT, OUTPUT = "input_ids", "logits"
OPSET = 17  # the version of the operators, the first with LayerNormalization
MAX_FILE_BYTES = 2**31 - 1  # of Protocol Buffers
MAX_PACKED_BYTES = 2 * MAX_TOKENIZER_BYTES  # of the entry with the tokenizer, in base64
MAX_OPERATIONS = 50_000  # BERT-large has 8000
MAX_MEMORY = 2**27  # numbers at once besides the weights, 512 megabytes
# Multiplications of a weight per token; a network has one, and more of an input that is long for its width.
MAX_USES, MAX_FURTHER_WORK = 16, 2**31

# The numbers of the fields, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Of each message only those that
# exported models have are accepted: not functions, sparse or external tensors, nor training information.
MODEL_FIELDS = (IR_VERSION, PRODUCER, PRODUCER_VERSION, GRAPH, OPSETS, ENTRIES) = (1, 2, 3, 7, 8, 14)
OPSET_FIELDS = (DOMAIN, VERSION) = (1, 2)
ENTRY_FIELDS = (KEY, TEXT) = (1, 2)
GRAPH_FIELDS = (NODES, _GRAPH_NAME, CONSTANTS, INPUTS, OUTPUTS) = (1, 2, 5, 11, 12)
BRANCH_FIELDS = (NODES, _GRAPH_NAME, OUTPUTS, 13)  # the last one are shapes, which ONNX Runtime's quantization notes
NODE_FIELDS = (NODE_INPUTS, NODE_OUTPUTS, _NODE_NAME, OPERATOR, ATTRIBUTES, NODE_DOMAIN) = (1, 2, 3, 4, 5, 7)
ATTRIBUTE_FIELDS = (NAME, FLOAT, INTEGER, SUBGRAPH, INTEGERS, KIND) = (1, 2, 3, 6, 8, 20)
TENSOR_FIELDS = (DIMENSIONS, TYPE, FLOATS, INT32S, TENSOR_NAME, RAW, PLACE) = (1, 2, 4, 5, 8, 9, 14)
VALUE_FIELDS = (VALUE_NAME, VALUE_TYPE) = (1, 2)

FLOAT32, UINT8, INT32, INT64, BOOL, FLOAT16 = 1, 2, 6, 7, 9, 10  # element types
WIDTHS = {FLOAT32: 4, UINT8: 1, INT32: 4, INT64: 8, BOOL: 1, FLOAT16: 2}
CAST_TYPES = (FLOAT32, FLOAT16, BOOL)
# The attributes of each operator that has any.
OPERATOR_ATTRIBUTES = {
    "Cast": {"to"},
    "Concat": {"axis"},
    "Gather": {"axis"},
    "If": {"then_branch", "else_branch"},
    "LayerNormalization": {"axis", "epsilon"},
    "ReduceMax": {"axes", "keepdims"},
    "ReduceMin": {"axes", "keepdims"},
    "ReduceSum": {"keepdims"},
    "Softmax": {"axis"},
    "Split": {"axis"},
    "Transpose": {"perm"},
}


class OnnxFile(NamedTuple):
    """What an `.onnx` file says.

    Attributes:
        entries: its metadata, by name.
        vocab_size: the number of tokens of the network.
        num_outputs: the number of its outputs.
        nodes: the operations of its graph.
        constants: what is known of its constants, by name.
    """

    entries: dict[str, str]
    vocab_size: int
    num_outputs: int
    nodes: list[Node]
    constants: dict[str, Known]

    def check_windows(self, max_seq_len: object, batch_tokens: int) -> None:
        """Check that the graph accepts windows of all lengths, and what it needs for them.

        Args:
            max_seq_len: the maximum length of a window, in tokens, as the file says.
            batch_tokens: the number of tokens of a batch of short windows.

        Raises:
            ValueError: the graph needs too much, or does not accept the longest window.
        """
        most = MOST["max_seq_len"]
        if type(max_seq_len) is not int or not 1 <= max_seq_len <= most:
            raise ValueError(f"max_seq_len is {max_seq_len!r}, but it must be a whole number from 1 to {most}")
        self.check_cost(max(1, batch_tokens // max_seq_len), max_seq_len)
        self.check_cost(batch_tokens, 1)

    def check_cost(self, batch: int, length: int) -> None:
        """Check what the graph needs for a batch of windows.

        Raises:
            ValueError: it needs too much, or does not accept the batch.
        """
        try:
            cost, (logits,) = cost_of(self.nodes, self.constants | {INPUT: Known((batch, length))}, [OUTPUT])
        except (IndexError, KeyError, TypeError, ZeroDivisionError) as error:
            raise ValueError(f"its graph cannot be followed ({error})") from None
        if logits.shape != (batch, self.num_outputs):
            raise ValueError(f"its graph computes logits of the shape {logits.shape}")
        weights = sum(constant.size for constant in self.constants.values())
        if cost.memory > MAX_MEMORY or cost.work > MAX_USES * weights * batch * length + MAX_FURTHER_WORK:
            raise ValueError("its graph needs far more time or memory than a network of its size")


def read_onnx_file(path: str | os.PathLike) -> OnnxFile:
    """Return what an `.onnx` file says, after checking it.

    Raises:
        ValueError: it is damaged, or has what no exported model has.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= MAX_FILE_BYTES:
            raise ValueError(f"it has {size:,} bytes")
        # Unmapped with the last view of it.
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    model = Message(data, MODEL_FIELDS)
    for opset in (Message(each, OPSET_FIELDS) for each in model.all(OPSETS)):
        domain, version = opset.text(DOMAIN), opset.integer(VERSION)
        _require((domain, version) == ("", OPSET), f"it uses the operators of {domain[:80]!r}, version {version}")
    entries = dict(_entry(Message(each, ENTRY_FIELDS)) for each in model.all(ENTRIES))
    _require(len(entries) == len(model.all(ENTRIES)), "an entry of its metadata occurs twice")
    graph = Message(model.one(GRAPH) or memoryview(b""), GRAPH_FIELDS)
    constants = dict(_constant(Message(each, TENSOR_FIELDS)) for each in graph.all(CONSTANTS))
    _require(len(constants) == len(graph.all(CONSTANTS)), "a constant of its graph occurs twice")
    nodes = list(_nodes(graph))
    _check_value(graph.all(INPUTS), INPUT, INT32)
    num_outputs = _check_value(graph.all(OUTPUTS), OUTPUT, FLOAT32)
    return OnnxFile(entries, _vocab_size(nodes, constants), num_outputs, nodes, constants)


def inflated(text: str, most: int = MAX_TOKENIZER_BYTES) -> bytes:
    """Return the content of an entry that is compressed with zlib and written in base64.

    Raises:
        ValueError: it is damaged, or has more than `most` bytes.
    """
    inflating = zlib.decompressobj()
    try:
        content = inflating.decompress(base64.b64decode(text, validate=True), most + 1)
    except zlib.error as error:
        raise ValueError(f"its tokenizer is damaged: {error}") from None
    _require(inflating.eof and len(content) <= most, f"its tokenizer is damaged, or has more than {most:,} bytes")
    return content


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def _entry(entry: Message) -> tuple[str, str]:
    key, size = entry.text(KEY), entry.size(TEXT)
    most = MAX_PACKED_BYTES if key == TOKENIZER else MAX_DESCRIPTION_BYTES
    _require(size <= most, f"its metadata has an entry of {size:,} bytes")
    return key, entry.text(TEXT)


def _constant(tensor: Message) -> tuple[str, Known]:
    """Return the name of a constant and what is known of it, after checking that the file contains all its values."""
    name, kind, shape = tensor.text(TENSOR_NAME), tensor.integer(TYPE), tuple(tensor.integers(DIMENSIONS))
    _require(kind in WIDTHS and min(shape, default=1) > 0 and len(shape) <= 4, f"the constant {name[:80]!r} is damaged")
    _require(tensor.integer(PLACE) == 0, f"the constant {name[:80]!r} is in another file")
    count, raw = math.prod(shape), tensor.one(RAW)
    if raw is None:  # the scales of quantized weights, as single numbers
        floats, integers = tensor.size(FLOATS) // WIDTHS[FLOAT32], len(tensor.integers(INT32S))
        _require(floats + integers == count, f"the constant {name[:80]!r} has too few values, or too many")
        return name, Known(shape)
    _require(len(raw) == count * WIDTHS[kind], f"the constant {name[:80]!r} has too few values, or too many")
    _require(not tensor.size(FLOATS) and not tensor.size(INT32S), f"the constant {name[:80]!r} has its values twice")
    is_short = kind == INT64 and count <= 16
    integers = tuple(memoryview(bytes(raw)).cast("q").tolist()) if is_short else None
    return name, Known(shape, integers)


def _nodes(graph: Message, *, is_branch: bool = False) -> Iterator[Node]:
    nodes = graph.all(NODES)
    _require(len(nodes) <= MAX_OPERATIONS, f"its graph has {len(nodes):,} operations")
    for node in (Message(each, NODE_FIELDS) for each in nodes):
        operator, found = node.text(OPERATOR), node.all(ATTRIBUTES)
        is_known = node.text(NODE_DOMAIN) == "" and (operator in RULES or (operator == "If" and not is_branch))
        _require(is_known, f"no exported model has the operator {operator[:80]!r} there")
        attributes = dict(_attribute(Message(each, ATTRIBUTE_FIELDS)) for each in found)
        _require(len(attributes) == len(found), f"an attribute of {operator} in its graph occurs twice")
        known = OPERATOR_ATTRIBUTES.get(operator, set())
        _require(attributes.keys() <= known, f"{operator} in its graph has an attribute that no exported model has")
        _require(operator != "If" or attributes.keys() == known, "an If in its graph lacks a branch")
        _require(operator != "Cast" or attributes.get("to") in CAST_TYPES, "its graph converts to another type")
        inputs, outputs = (tuple(map(text_of, node.all(number))) for number in (NODE_INPUTS, NODE_OUTPUTS))
        yield Node(operator, inputs, outputs, attributes)


def _attribute(attribute: Message) -> tuple[str, object]:
    name = attribute.text(NAME)
    if name in ("then_branch", "else_branch"):
        branch = Message(attribute.one(SUBGRAPH) or memoryview(b""), BRANCH_FIELDS)
        outputs = branch.all(OUTPUTS)
        _require(len(outputs) == 1, "a branch in its graph has no single result")
        return name, Branch(list(_nodes(branch, is_branch=True)), Message(outputs[0], VALUE_FIELDS).text(VALUE_NAME))
    integers = attribute.integers(INTEGERS)
    return name, tuple(integers) if integers else attribute.integer(INTEGER)


def _check_value(values: list[memoryview], name: str, kind: int) -> int:
    """Check that the only input or output of the graph is as ours; return its second size, or 0 if that is variable."""
    _require(len(values) == 1, f"its graph has {len(values)} inputs or outputs instead of {name}")
    value = Message(values[0], VALUE_FIELDS)
    tensor = Message(Message(value.one(VALUE_TYPE) or memoryview(b""), (1,)).one(1) or memoryview(b""), (1, 2))
    sizes = [Message(each, (1, 2)) for each in Message(tensor.one(2) or memoryview(b""), (1,)).all(1)]
    is_ours = value.text(VALUE_NAME) == name and tensor.integer(1) == kind and len(sizes) == 2
    _require(is_ours, f"its graph has another input or output than {name}")
    return sizes[1].integer(1)


def _vocab_size(nodes: list[Node], constants: Mapping[str, Known]) -> int:
    """Return the number of rows of the table in which the token ids are looked up."""
    tables = [node.inputs[0] for node in nodes if node.operator == "Gather" and node.inputs[1:] == (INPUT,)]
    _require(len(tables) == 1 and tables[0] in constants, "its graph has no table of tokens")
    return constants[tables[0]].shape[0]
