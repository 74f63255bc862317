"""What a graph needs, computed from shapes: they are those of ONNX Runtime."""

import itertools

import onnx
import onnxruntime
import pytest
import tiny_models
from arrays import random_ids
from onnx import helper

from serving.export.onnx_file import onnx_model
from serving.export.quantization import QUANTIZATIONS, quantized
from serving.runtimes.onnx_check import INPUT, OUTPUT, read_onnx_file
from serving.runtimes.onnx_shapes import RULES, Known, Node, cost_of

# Together these networks have all operators that exported graphs have.
NETWORKS = {
    "pre-norm": {"pooling": "mean"},
    "post-norm": {"pooling": "mean", "normalize_first": False, "activation": "gelu"},
    "maximum": {"pooling": "max", "activation": "gelu_tanh"},
    "pooler": {"pooling": "pooler", "normalize_first": False},
}


def exported(network):
    return onnx_model(tiny_models.classifier({"labels": ["差", "中", "好"]}, max_seq_len=16, **NETWORKS[network]))


@pytest.fixture(scope="module")
def graphs():
    graphs = {name: exported(name) for name in NETWORKS}
    return graphs | {name: quantized(graphs["pre-norm"], name) for name in QUANTIZATIONS}


@pytest.mark.parametrize("name", [*NETWORKS, *QUANTIZATIONS])
def test_all_shapes_are_those_of_onnx_runtime(graphs, name, tmp_path):
    onnx.save(graphs[name], tmp_path / "a.onnx")
    file = read_onnx_file(tmp_path / "a.onnx")
    names = list(itertools.chain(*(node.outputs for node in file.nodes)))
    model = onnx.ModelProto.FromString(graphs[name].SerializeToString())
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(each) for each in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((1, 16), (5, 3)):
        results = session.run(None, {INPUT: random_ids(shape)})
        cost, known = cost_of(file.nodes, file.constants | {INPUT: Known(shape)}, names)
        assert [each.shape for each in known] == [result.shape for result in results]
        assert cost.memory >= max(result.size for result in results)
        file.check_cost(*shape)


def test_every_operator_with_a_rule_is_in_an_exported_graph(graphs):
    found = set()

    def collect(graph):
        for node in graph.node:
            found.add(node.op_type)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    collect(attribute.g)

    for model in graphs.values():
        collect(model.graph)
    assert found == {*RULES, "If"}


def node(operator, *inputs, outputs=("y",), **attributes):
    return Node(operator, inputs, outputs, attributes)


@pytest.mark.parametrize(
    ("operation", "inputs", "words"),
    [
        (node("Add", "a", "b"), {"a": Known((2, 3)), "b": Known((4,))}, "do not fit"),
        (node("MatMul", "a", "b"), {"a": Known((2, 3)), "b": Known((2, 3))}, "multiplies"),
        (node("Reshape", "a", "b"), {"a": Known((2, 3)), "b": Known((1,), (7,))}, "gives 6 values the shape"),
        (node("Reshape", "a", "b"), {"a": Known((2, 3)), "b": Known((2,), (-1, 0))}, "gives 6 values the shape"),
        (node("Reshape", "a", "a"), {"a": Known((2,))}, "depends on more than the shape"),
        (node("Split", "a", outputs=("y", "z"), axis=0), {"a": Known((3,))}, "unequal parts"),
        (node("Concat", "a", "b", axis=5), {"a": Known((3,)), "b": Known((3,))}, "an axis that does not exist"),
        (node("Transpose", "a", perm=(0, 0)), {"a": Known((2, 3))}, "exchanges axes"),
        (node("Relu", "none"), {}, "which nothing computes"),
        (node("Relu", "a", outputs=("a",)), {"a": Known((3,))}, "is not possible"),
    ],
)
def test_what_does_not_fit_is_refused(operation, inputs, words):
    with pytest.raises(ValueError, match=words):
        cost_of([operation], inputs, ["y"])


def test_memory_counts_values_as_long_as_they_are_used():
    chain = [node("Relu", f"x{n}", outputs=(f"x{n + 1}",)) for n in range(9)]
    cost, _ = cost_of(chain, {"x0": Known((100,))}, ["x9"])
    assert cost.memory == 200
    kept = node("Concat", *(f"x{n}" for n in range(1, 10)), axis=0)
    cost, (result,) = cost_of([*chain, kept], {"x0": Known((100,))}, ["y"])
    assert cost.memory == 1800 and result.shape == (900,)


def test_work_counts_multiplications():
    cost, _ = cost_of([node("Gemm", "a", "b")], {"a": Known((7, 50)), "b": Known((50, 11))}, ["y"])
    assert 7 * 50 * 11 <= cost.work <= 7 * 50 * 11 + 1000


def test_the_output_of_a_good_graph_is_the_logits(graphs, tmp_path):
    onnx.save(graphs["pre-norm"], tmp_path / "a.onnx")
    file = read_onnx_file(tmp_path / "a.onnx")
    _, (logits,) = cost_of(file.nodes, file.constants | {INPUT: Known((2, 9))}, [OUTPUT])
    assert logits == Known((2, 3)) and file.num_outputs == 3
    assert file.vocab_size == tiny_models.config().vocab_size
