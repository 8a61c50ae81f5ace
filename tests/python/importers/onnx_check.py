"""Small ONNX models for the importer's tests: built, imported, and run on both sides."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplementedByOnnxruntime

import reference
from whit.importers.onnx import import_onnx
from whit.ir import Graph

#: Old forms (attributes), those of opset 13 (axes as inputs), 18 to 21, and the newest there is.
OPSETS = (11, 13, 17, 21, onnx.defs.onnx_opset_version())

Shape = Sequence[int | str | None]


def node(op_type: str, inputs: str, outputs: str = "y", domain: str = "", **attributes: object) -> onnx.NodeProto:
    """A node with space-separated inputs and outputs; '-' is an absent one."""
    return helper.make_node(
        op_type,
        ["" if name == "-" else name for name in inputs.split()],
        ["" if name == "-" else name for name in outputs.split()],
        name=f"{op_type}_{outputs.split()[0]}",
        domain=domain,
        **attributes,
    )


def model(
    nodes: onnx.NodeProto | Sequence[onnx.NodeProto],
    feeds: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    outputs: Mapping[str, np.dtype | type] | None = None,
    shapes: Mapping[str, Shape] | None = None,
    ranks: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A checked model. `shapes` replaces the shapes of feeds where sizes are open.

    `ranks` gives ranks of outputs that onnx cannot infer.
    """
    nodes = [nodes] if isinstance(nodes, onnx.NodeProto) else list(nodes)
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), (shapes or {}).get(name, array.shape)
        )
        for name, array in feeds.items()
    ]
    results = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)
        for name, dtype in (outputs or {"y": np.float32}).items()
    ]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, results, tensors)
    imports = [helper.make_opsetid("", opset)]
    if any(made.domain == "com.microsoft" for made in nodes):
        imports.append(helper.make_opsetid("com.microsoft", 1))
    made = helper.make_model(graph, opset_imports=imports, ir_version=10, producer_name="test")
    inferred = onnx.shape_inference.infer_shapes(made).graph.output
    found = {output.name: len(output.type.tensor_type.shape.dim) for output in inferred} | dict(ranks or {})
    for result in made.graph.output:
        # The checker wants a rank; the sizes are left for the importer to find.
        for _ in range(found[result.name]):
            result.type.tensor_type.shape.dim.add()
        result.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(made)
    return made


def run_onnx(proto: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What onnxruntime says; for an opset that it does not know yet, or of which it lacks an operator, of the same
    model in the newest that it can run."""
    names = [output.name for output in proto.graph.output]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    (entry,) = (entry for entry in proto.opset_import if entry.domain == "")
    for opset in range(min(entry.version, _newest_known()), 10, -1):
        try:
            older = _in_opset(proto, opset).SerializeToString()
            session = onnxruntime.InferenceSession(older, options, providers=["CPUExecutionProvider"])
        except NotImplementedByOnnxruntime:
            if opset <= 21:  # everything but the newest opsets is complete
                raise
            continue
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    raise AssertionError(f"opset {entry.version} is too old for these tests")


def _in_opset(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model as it is, said to be of another opset."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    for entry in result.opset_import:
        if entry.domain == "" and entry.version != opset:
            entry.version = opset
            onnx.checker.check_model(result)
    return result


@functools.cache
def _newest_known() -> int:
    """The newest opset that the installed onnxruntime reads."""
    for opset in range(onnx.defs.onnx_opset_version(), 16, -1):
        value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", value[:1], value[1:])
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        with contextlib.suppress(Exception):
            onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
            return opset
    raise AssertionError("onnxruntime reads no opset from 17 on")


def check_graph(graph: Graph) -> None:
    """What every imported graph promises."""
    computed = set(graph.inputs)
    names = [made.name for made in graph.nodes]
    assert len(set(names)) == len(names), "node names are not unique"
    for name, tensor in graph.tensors.items():
        assert tensor.name == name
        assert tensor.shape is not None, f"{name} has no shape"
        assert all(isinstance(size, str) or size > 0 for size in tensor.shape), f"{name}: {tensor.shape}"
        if tensor.is_constant:
            assert tensor.data.shape == tensor.shape
            computed.add(name)
    for made in graph.nodes:
        assert all(name in computed for name in made.inputs if name), f"{made.name} reads what is not there yet"
        computed.update(made.outputs)
    assert set(graph.outputs) <= computed


def compare(
    graph: Graph,
    feeds: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerance: float = 1e-5,
    step: float = 0.0,
    share: float = 0.02,
) -> None:
    """Runs the graph and compares; feeds of 64 bits go in as 32.

    With a `step`, that of a quantised output, a `share` of the values may differ by one step: ties that round to the
    other side because the sum before them was made in another order.
    """
    narrow = {name: array.astype(np.int32) if array.dtype == np.int64 else array for name, array in feeds.items()}
    got = reference.run(graph, narrow)
    assert list(got) == list(expected)
    for name, want in expected.items():
        assert got[name].shape == want.shape, f"{name}: {got[name].shape}, want {want.shape}"
        if want.dtype == np.float32:
            assert got[name].dtype == np.float32
            bound = tolerance * max(1.0, float(np.abs(want).max(initial=0.0)))
            errors = np.abs(got[name].astype(np.float64) - want)
            if step:
                assert errors.max() <= step * 1.0001, f"{name}: differs by {errors.max() / step} steps"
                assert (errors > bound).sum() <= max(1, want.size * share), f"{name}: {(errors > bound).sum()} differ"
                continue
            error = float(errors.max(initial=0.0))
            assert error <= bound, f"{name}: differs by {error}, allowed {bound}"
        else:
            np.testing.assert_array_equal(got[name], want)


def check(
    nodes: onnx.NodeProto | Sequence[onnx.NodeProto],
    feeds: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    outputs: Mapping[str, np.dtype | type] | None = None,
    shapes: Mapping[str, Shape] | None = None,
    tolerance: float = 1e-5,
    step: float = 0.0,
) -> Graph:
    """Builds, imports, runs both, compares. Returns the graph."""
    proto = model(nodes, feeds, constants, opset=opset, outputs=outputs, shapes=shapes)
    graph = import_onnx(proto)
    check_graph(graph)
    assert graph.inputs == list(feeds)
    assert graph.outputs == [output.name for output in proto.graph.output]
    compare(graph, feeds, run_onnx(proto, feeds), tolerance, step)
    return graph


def ops(graph: Graph) -> list[str]:
    return [made.op for made in graph.nodes]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)
