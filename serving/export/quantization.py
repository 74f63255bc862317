"""Make the ONNX model of a classifier smaller: integer matrices, or a token table of 16-bit numbers."""

import copy
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.runtimes.onnx_check import INPUT, WEIGHTS_SHA256
from system.errors import InputError
from system.libraries import quiet_imports

INT8, FLOAT16_EMBEDDINGS = QUANTIZATIONS = ("int8", "float16-embeddings")


def quantized(model: onnx.ModelProto, quantization: str) -> onnx.ModelProto:
    """Return a smaller model that `OnnxRuntime` reads as it reads `model`.

    Its weights differ, and so does the hash of the weights that it records: that of `model`, with the name of the
    quantization. So it never takes the place of the exact file beside a `.keras` file.

    Args:
        model: the model of `serving.export.onnx_file.onnx_model`, which is not changed.
        quantization: "int8" stores the token table and all matrices as 8-bit integers, and multiplies integers. The
            inputs of each product are scaled by their range in the whole batch, so that the logits of a text depend a
            little on the other texts. "float16-embeddings" stores the token table, most of the file, as 16-bit floats
            and computes as before.
    """
    smaller = (_with_integers if quantization == INT8 else _with_float16_embeddings)(model)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    entries[WEIGHTS_SHA256] += f" {quantization}"
    helper.set_model_props(smaller, entries)
    onnx.checker.check_model(smaller)
    return smaller


def check_quantized_path(path: Path, quantization: str) -> None:
    """Check the path of a quantized model.

    Raises:
        InputError: it does not end in .onnx, or the application would expect the exact file of a `.keras` file there.
    """
    if path.suffix != ".onnx":
        raise InputError(f"{path}: the name of the file must end in .onnx")
    if (keras_file := path.with_suffix(".keras")).exists():
        raise InputError(
            f"{path}: the file of this name must have the exact weights of {keras_file}; choose another name, such as "
            f"{path.stem}-{quantization}.onnx"
        )


def _with_integers(model: onnx.ModelProto) -> onnx.ModelProto:
    with quiet_imports():
        from onnxruntime.quantization import QuantType, quantize_dynamic

    prepared = copy.deepcopy(model)
    # The library warns of every model that has not been through its own optimizer; this graph has nothing to optimize.
    prepared.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        # Unsigned: products of signed weights overflow on x86 processors without VNNI, so that answers would differ.
        quantize_dynamic(prepared, path, per_channel=True, weight_type=QuantType.QUInt8)
        integers = onnx.load(path)
    _sort_nodes(integers.graph)
    del integers.graph.value_info[:]  # shapes that the library has inferred, which nothing needs
    return integers


def _sort_nodes(graph: onnx.GraphProto) -> None:
    """Put each operation after those that it needs, also in its branches, which the library overlooks."""
    waiting, placed, ready = list(graph.node), [], {"", *(each.name for each in (*graph.input, *graph.initializer))}
    while waiting:
        node = next(node for node in waiting if _values_used(node) <= ready)
        waiting.remove(node)
        placed.append(node)
        ready.update(node.output)
    del graph.node[:]
    graph.node.extend(placed)


def _values_used(node: onnx.NodeProto) -> set[str]:
    """Return the names of the values outside of an operation that it or its branches read."""
    used = set(node.input)
    for branch in (attribute.g for attribute in node.attribute if attribute.HasField("g")):
        own = {name for inner in branch.node for name in inner.output}
        used |= set().union(*map(_values_used, branch.node)) - own - {each.name for each in branch.initializer}
    return used


def _with_float16_embeddings(model: onnx.ModelProto) -> onnx.ModelProto:
    smaller = copy.deepcopy(model)
    nodes = smaller.graph.node
    index, lookup = next((i, node) for i, node in enumerate(nodes) if node.op_type == "Gather" and INPUT in node.input)
    table = next(each for each in smaller.graph.initializer if each.name == lookup.input[0])
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table).astype(np.float16), table.name))
    tokens = lookup.output[0]
    lookup.output[0] = f"{tokens}_float16"
    nodes.insert(index + 1, helper.make_node("Cast", [lookup.output[0]], [tokens], to=TensorProto.FLOAT))
    return smaller
