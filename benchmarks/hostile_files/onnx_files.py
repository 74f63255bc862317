"""Hostile `.onnx` files, each made from a good one."""

import base64
import copy
import functools
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.hostile_files.tokenizers import TOKENIZERS, hostile_tokenizer
from serving.runtimes.onnx_check import ABOUT, OUTPUT, TOKENIZER

RESULT = "harmless"  # the good logits, to which an attack adds nothing


def entries_of(model: ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def with_entry(model: ModelProto, name: str, value: str) -> None:
    """Change an entry of the metadata."""
    helper.set_model_props(model, entries_of(model) | {name: value})


def with_about(model: ModelProto, **values: object) -> None:
    """Change what the file says about its network."""
    with_entry(model, ABOUT, json.dumps(json.loads(entries_of(model)[ABOUT]) | values))


def with_metadata(model: ModelProto, **values: object) -> None:
    """Change the metadata of the classifier."""
    about = json.loads(entries_of(model)[ABOUT])
    with_about(model, metadata=about["metadata"] | values)


def with_tokenizer(model: ModelProto, content: bytes) -> None:
    """Change the tokenizer."""
    with_entry(model, TOKENIZER, base64.b64encode(zlib.compress(content, 9)).decode())


def bomb(model: ModelProto, size: int) -> None:
    """Let the tokenizer be zeros that are a thousand times as long when they are read."""
    deflate = zlib.compressobj(9)
    block = bytes(2**20)
    content = b"".join([*(deflate.compress(block) for _ in range(size // len(block))), deflate.flush()])
    with_entry(model, TOKENIZER, base64.b64encode(content).decode())


def add_to_result(model: ModelProto, nodes: list, *constants: TensorProto) -> None:
    """Add operations; the smallest of the values of the last one is added to the logits."""
    last = model.graph.node[-1]
    last.output[0] = RESULT
    nodes = [*nodes, helper.make_node("ReduceMin", [nodes[-1].output[0]], ["least"], keepdims=0)]
    model.graph.node.extend([*nodes, helper.make_node("Add", [RESULT, "least"], [OUTPUT])])
    model.graph.initializer.extend(constants)


def _constant(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values, name)


def constant_of_shape(model: ModelProto) -> None:
    """Make a constant of 1.6 billion numbers."""
    node = helper.make_node("ConstantOfShape", ["shape"], ["large"])
    add_to_result(model, [node], _constant("shape", np.array([40_000, 40_000])))


def outer_sum(model: ModelProto) -> None:
    """Make a matrix of 1.6 billion numbers, as the sum of a column and a row."""
    column, row = _constant("column", np.zeros((40_000, 1), np.float32)), _constant("row", np.zeros(40_000, np.float32))
    add_to_result(model, [helper.make_node("Add", ["column", "row"], ["large"])], column, row)


def doubled(model: ModelProto) -> None:
    """Join a value with itself forty times."""
    nodes = [helper.make_node("Concat", [f"x{n}", f"x{n}"], [f"x{n + 1}"], axis=0) for n in range(40)]
    add_to_result(model, nodes, _constant("x0", np.zeros(1, np.float32)))


def products(model: ModelProto) -> None:
    """Multiply matrices of a thousand rows five thousand times."""
    nodes = [helper.make_node("MatMul", [f"x{n}", "x0"], [f"x{n + 1}"]) for n in range(5000)]
    add_to_result(model, nodes, _constant("x0", np.zeros((1000, 1000), np.float32)))


def loop(model: ModelProto) -> None:
    """Count to 10¹⁵."""
    values = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("on", 9), ("x", 1))]
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on2"]), helper.make_node("Identity", ["x"], ["x2"])],
        "body",
        values,
        [helper.make_tensor_value_info(name, kind, []) for name, kind in (("on2", 9), ("x2", 1))],
    )
    node = helper.make_node("Loop", ["count", "always", "start"], ["end"], body=body)
    constants = (np.array(10**15), np.array(True), np.array(0, np.float32))
    add_to_result(model, [node], *map(_constant, ("count", "always", "start"), constants))


def external(model: ModelProto) -> None:
    """Read a weight from another file."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def claimed_shape(model: ModelProto) -> None:
    """Claim a shape of 10¹² numbers for a weight of a few."""
    tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    tensor.dims[0] = 10**12


def foreign_domain(model: ModelProto) -> None:
    """Use an operator of ONNX Runtime's own."""
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[-1].domain = "com.microsoft"


def function(model: ModelProto) -> None:
    """Define an operator as a function."""
    identity = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("own", "Add", ["x"], ["y"], [identity], model.opset_import))


def second_input(model: ModelProto) -> None:
    """Ask for another input."""
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def replace_result(model: ModelProto, values: np.ndarray) -> None:
    """Let the graph answer with a constant, added to a zero for each text."""
    last = model.graph.node[-1]
    last.output[0] = RESULT
    model.graph.node.extend(
        [helper.make_node("Mul", [RESULT, "zero"], ["zeros"]), helper.make_node("Add", ["zeros", "answer"], [OUTPUT])]
    )
    model.graph.initializer.extend([_constant("zero", np.float32([0])), _constant("answer", values)])


# Files that must be refused when they are opened.
CHANGES: dict[str, Callable[[ModelProto], None]] = {
    "max-seq-len": functools.partial(with_about, max_seq_len=10**9),
    "max-seq-len-negative": functools.partial(with_about, max_seq_len=-1),
    "max-seq-len-text": functools.partial(with_about, max_seq_len="64"),
    "max-seq-len-too-long": functools.partial(with_about, max_seq_len=4000),
    "about-30-megabytes": functools.partial(with_entry, name=ABOUT, value="x" * 30_000_000),
    "about-deep": functools.partial(with_entry, name=ABOUT, value="[" * 100_000),
    "constant-of-shape": constant_of_shape,
    "outer-sum": outer_sum,
    "doubled": doubled,
    "products": products,
    "loop": loop,
    "external": external,
    "claimed-shape": claimed_shape,
    "foreign-domain": foreign_domain,
    "function": function,
    "second-input": second_input,
    "two-outputs": functools.partial(replace_result, values=np.float32([0, 0])),
}
# Files that no look tells from a good one: the error comes with the first text.
NO_NUMBERS: dict[str, Callable[[ModelProto], None]] = {
    "not-a-number": functools.partial(replace_result, values=np.float32([np.nan])),
    "infinite": functools.partial(replace_result, values=np.float32([np.inf])),
}


def hostile_onnx_files(good: Path, folder: Path, bomb_size: int) -> dict[str, Path]:
    """Write all hostile `.onnx` files that must be refused when they are opened.

    Args:
        good: the `.onnx` file of a classifier of two labels.
        folder: an existing folder for the files.
        bomb_size: the number of zeros that a tokenizer claims to have, in bytes.

    Returns:
        Their paths, by what is hostile in them.
    """
    model = onnx.load(good)
    tokenizer = zlib.decompress(base64.b64decode(entries_of(model)[TOKENIZER]))
    changes = CHANGES | {"bomb": functools.partial(bomb, size=bomb_size)}
    for name in TOKENIZERS:
        changes[f"tokenizer-{name}"] = functools.partial(with_tokenizer, content=hostile_tokenizer(tokenizer, name))
    return {name: write(model, folder / f"{name}.onnx", change) for name, change in changes.items()}


def write(good: ModelProto, path: Path, change: Callable[[ModelProto], None]) -> Path:
    """Write a changed copy of a model; return its path."""
    model = copy.deepcopy(good)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path
