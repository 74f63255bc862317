"""What an ONNX graph needs, computed from the shapes of its values before anything runs.

The rules are those of https://onnx.ai/onnx/operators/ for the operators that `serving.export` writes, as far as it uses
them. Small operators can make large values of small ones: the sum of a column and a row is a matrix.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Shape = tuple[int, ...]
Attributes = Mapping[str, object]
MAX_RANK = 6
MAX_INTEGERS = 16  # a longer list is no shape


class Known(NamedTuple):
    """What is known of a value: its shape, and its numbers if they are the sizes of another shape."""

    shape: Shape
    integers: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Node(NamedTuple):
    """An operation of a graph; the names of inputs that are left out are empty."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes


class Branch(NamedTuple):
    """A branch of an `If`: its operations, and the name of its result."""

    nodes: list[Node]
    output: str


class Cost(NamedTuple):
    """The cost of a graph: numbers in memory at the same time besides the constants, and multiplications."""

    memory: int
    work: int


def cost_of(nodes: Sequence[Node], known: Mapping[str, Known], results: Sequence[str]) -> tuple[Cost, list[Known]]:
    """Return the cost of running operations, and what is known of their results.

    Args:
        nodes: the operations, in the order of running.
        known: the inputs and the constants, by name.
        results: the names of the results.

    Raises:
        ValueError: shapes do not fit, or depend on more than the shape of the input.
    """
    values, own, live, most, work = dict(known), {}, 0, 0, 0
    uses = Counter(itertools.chain(results, *map(names_used, nodes)))
    for node in nodes:
        inputs = [_found(values, name) if name else None for name in node.inputs]
        if node.operator == "If":
            inner, outputs = _both_branches(node, values)
        else:
            outputs = RULES[node.operator](inputs, node)
            inner = Cost(0, _work(node, inputs, outputs))
        if len(outputs) != len(node.outputs):
            raise ValueError(f"{node.operator} has {len(node.outputs)} outputs")
        for name, output in zip(node.outputs, outputs, strict=True):
            if name in values or len(output.shape) > MAX_RANK or min(output.shape, default=0) < 0:
                raise ValueError(f"the output {name[:80]!r} of {node.operator} is not possible")
            values[name] = own[name] = output
        live += sum(output.size for output in outputs)
        most, work = max(most, live + inner.memory), work + inner.work
        for name in (*names_used(node), *(name for name in node.outputs if not uses[name])):
            uses[name] -= 1
            if name in own and uses[name] <= 0:
                live -= own.pop(name).size
    return Cost(most, work), [_found(values, name) for name in results]


def names_used(node: Node) -> list[str]:
    """Return the names of the values that an operation reads, with those of its branches."""
    names = list(filter(None, node.inputs))
    for branch in node.attributes.values():
        if isinstance(branch, Branch):
            names += [branch.output, *itertools.chain(*map(names_used, branch.nodes))]
    return names


def _found(values: Mapping[str, Known], name: str) -> Known:
    if name not in values:
        raise ValueError(f"its graph reads {name[:80]!r}, which nothing computes")
    return values[name]


def _both_branches(node: Node, values: Mapping[str, Known]) -> tuple[Cost, list[Known]]:
    costs, results = zip(
        *(cost_of(branch.nodes, values, [branch.output]) for branch in node.attributes.values()), strict=True
    )
    if results[0][0].shape != results[-1][0].shape:
        raise ValueError("the branches of an If have results of different shapes")
    return Cost(max(cost.memory for cost in costs), sum(cost.work for cost in costs)), [Known(results[0][0].shape)]


def _work(node: Node, inputs: Sequence[Known | None], outputs: Sequence[Known]) -> int:
    inner = 1
    if node.operator in ("MatMul", "MatMulInteger"):
        inner = inputs[0].shape[-1]
    elif node.operator == "Gemm":
        inner = inputs[1].shape[0]
    return inner * outputs[0].size + max((each.size for each in inputs if each), default=0)


def _broadcast(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    return [Known(_common_shape([each.shape for each in inputs if each]))]


def _common_shape(shapes: Sequence[Shape]) -> Shape:
    rank = max(map(len, shapes))
    sizes = []
    for column in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        different = set(column) - {1}
        if len(different) > 1:
            raise ValueError(f"shapes of its graph do not fit: {', '.join(map(str, shapes))}")
        sizes.append(different.pop() if different else 1)
    return tuple(sizes)


def _same(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    return [Known(inputs[0].shape)]


def _with_scale(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    return [Known(inputs[0].shape), Known(()), Known(())]


def _product(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    first, second = inputs[0].shape, inputs[1].shape
    if min(len(first), len(second)) < 2 or first[-1] != second[-2]:
        raise ValueError(f"its graph multiplies the shapes {first} and {second}")
    return [Known((*_common_shape([first[:-2], second[:-2]]), first[-2], second[-1]))]


def _dense(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    ((rows, inner), (height, width)) = inputs[0].shape, inputs[1].shape
    if inner != height or (len(inputs) > 2 and _common_shape([(rows, width), inputs[2].shape]) != (rows, width)):
        raise ValueError("its graph multiplies matrices that do not fit")
    return [Known((rows, width))]


def _gathered(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    data, axis = inputs[0].shape, _axis(node, len(inputs[0].shape))
    return [Known((*data[:axis], *inputs[1].shape, *data[axis + 1 :]))]


def _sliced(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    data, starts, ends = inputs[0], _integers(inputs[1]), _integers(inputs[2])
    parts = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    sizes = [len(range(*part.indices(size))) for part, size in zip(parts, data.shape, strict=False)]
    integers = data.integers[parts[0]] if data.integers is not None and len(parts) == 1 else None
    return [Known((*sizes, *data.shape[len(sizes) :]), integers)]


def _joined(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    first, axis = inputs[0].shape, _axis(node, len(inputs[0].shape))
    if any(each.shape[:axis] + each.shape[axis + 1 :] != first[:axis] + first[axis + 1 :] for each in inputs):
        raise ValueError("its graph joins values of different shapes")
    length = sum(each.shape[axis] for each in inputs)
    are_known = len(first) == 1 and length <= MAX_INTEGERS and all(each.integers is not None for each in inputs)
    integers = tuple(itertools.chain(*(each.integers for each in inputs))) if are_known else None
    return [Known((*first[:axis], length, *first[axis + 1 :]), integers)]


def _split(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    shape, axis, parts = inputs[0].shape, _axis(node, len(inputs[0].shape)), len(node.outputs)
    if len(inputs) > 1 or shape[axis] % parts:
        raise ValueError("its graph splits a value into unequal parts")
    return [Known((*shape[:axis], shape[axis] // parts, *shape[axis + 1 :]))] * parts


def _reshaped(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    size, shape = inputs[0].size, list(_integers(inputs[1]))
    if shape.count(-1) == 1:
        others = -math.prod(shape)
        shape[shape.index(-1)] = size // others if others > 0 else -1
    if min(shape, default=1) < 1 or math.prod(shape) != size:
        raise ValueError(f"its graph gives {size} values the shape {shape}")
    return [Known(tuple(shape))]


def _unsqueezed(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    sizes, axes = list(inputs[0].shape), _integers(inputs[1])
    for axis in sorted(axis % (len(sizes) + len(axes)) for axis in axes):
        sizes.insert(axis, 1)
    return [Known(tuple(sizes))]


def _squeezed(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    sizes, (axis,) = list(inputs[0].shape), _integers(inputs[1])
    if sizes.pop(axis) != 1:
        raise ValueError("its graph drops an axis of a value")
    return [Known(tuple(sizes))]


def _transposed(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    shape, order = inputs[0].shape, node.attributes["perm"]
    if sorted(order) != list(range(len(shape))):
        raise ValueError("its graph exchanges axes that do not exist")
    return [Known(tuple(shape[axis] for axis in order))]


def _reduced(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    shape, axes = inputs[0].shape, node.attributes.get("axes", ())
    if len(inputs) > 1:
        axes = _integers(inputs[1])
    axes = {axis % len(shape) for axis in axes} or set(range(len(shape)))
    sizes = ((axis, 1 if axis in axes else size) for axis, size in enumerate(shape))
    keeps = node.attributes.get("keepdims", 1)
    return [Known(tuple(size for axis, size in sizes if keeps or axis not in axes))]


def _shape(inputs: Sequence[Known | None], node: Node) -> list[Known]:
    return [Known((len(inputs[0].shape),), inputs[0].shape)]


def _integers(value: Known) -> tuple[int, ...]:
    if value.integers is None:
        raise ValueError("a shape in its graph depends on more than the shape of the input")
    return value.integers


def _axis(node: Node, rank: int) -> int:
    axis = node.attributes.get("axis", 0)
    if not -rank <= axis < rank:
        raise ValueError(f"{node.operator} in its graph has an axis that does not exist")
    return axis % rank


RULES: dict[str, Callable[[Sequence[Known | None], Node], list[Known]]] = {
    **dict.fromkeys(("Add", "Div", "Equal", "Max", "Min", "Mul", "Pow", "Where"), _broadcast),
    **dict.fromkeys(("Cast", "DequantizeLinear", "Erf", "LayerNormalization", "Not", "Relu", "Softmax", "Tanh"), _same),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "ReduceSum"), _reduced),
    **dict.fromkeys(("MatMul", "MatMulInteger"), _product),
    "Concat": _joined,
    "DynamicQuantizeLinear": _with_scale,
    "Gather": _gathered,
    "Gemm": _dense,
    "Reshape": _reshaped,
    "Shape": _shape,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
