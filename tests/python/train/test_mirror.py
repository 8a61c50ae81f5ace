"""TorchGraph: every f32 operator and whole models against the reference and whit's engine, and back into a graph."""

from __future__ import annotations

import cases_elementwise
import cases_movement
import cases_products
import cases_windows
import numpy as np
import pytest
import torch
from builder import Builder, quantization
from engine_graphs import Case, EngineBuilder

import reference
import whit
from whit import _core
from whit.format import write
from whit.importers.onnx import import_onnx
from whit.ir import Graph
from whit.optimize import optimize
from whit.train import TorchGraph

QUANTISED = {"quantize_linear", "dequantize_linear", "requantize"}

ALL = [*cases_products.cases(), *cases_elementwise.cases(), *cases_windows.cases(), *cases_movement.cases()]
#: How F.gelu treats infinities is its own matter.
CASES = [c for c in ALL if not c.is_s8 and c.op not in QUANTISED and not c.name.startswith("f32-gelu-special")]


def run(mirror: TorchGraph, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        results = mirror({name: torch.from_numpy(value.copy()) for name, value in feeds.items()})
    return {name: value.numpy() for name, value in results.items()}


def close(got: np.ndarray, wanted: np.ndarray, tolerance: float) -> None:
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if not np.issubdtype(wanted.dtype, np.floating):
        np.testing.assert_array_equal(got, wanted)
        return
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(got[~finite], wanted[~finite])
    scale = np.abs(wanted[finite]).max(initial=1.0)
    assert np.abs(got[finite] - wanted[finite]).max(initial=0) <= tolerance * scale


@pytest.mark.parametrize("case", CASES, ids=[f"{case.op}:{case.name}" for case in CASES])
def test_operator_equals_the_reference(case: Case) -> None:
    builder = EngineBuilder(case.seed)
    outputs = case.build(builder)
    graph = builder.finish(*([outputs] if isinstance(outputs, str) else outputs))
    wanted = reference.run(graph, builder.feeds)
    for name, got in run(TorchGraph(graph), builder.feeds).items():
        close(got, wanted[name], 2e-5)


def test_every_f32_operator_is_covered() -> None:
    covered = {case.op for case in CASES} | {"arg_max"}
    assert covered == {entry["name"] for entry in _core.operators()} - QUANTISED


def test_arg_max_of_reals() -> None:
    builder = Builder()
    graph = builder.finish(builder.node("arg_max", builder.input("x", 2, 5, 3), axis=1, keepdims=0))
    (got,) = run(TorchGraph(graph), builder.feeds).values()
    np.testing.assert_array_equal(got, reference.run(graph, builder.feeds)[graph.outputs[0]], strict=True)


MODELS = ("ccexam_mnist", "mobilenet_v2", "ppocr_cls", "ppocrv4_det", "resnet20_cifar10_raw", "silero_vad_openvino_16k")


@pytest.mark.parametrize("name", [*MODELS, "efficientnet_lite0", "resnet20_cifar10"])
def test_model_equals_the_engine(name: str, shared) -> None:
    graph = optimize(import_onnx(shared / "models" / f"{name}.onnx"))
    random = np.random.default_rng(1)
    feeds = {
        info: random.standard_normal([2 if isinstance(size, str) else size for size in graph.tensors[info].shape])
        for info in graph.inputs
    }
    feeds = {name: value.astype(np.float32) for name, value in feeds.items()}
    mirror = TorchGraph(graph)
    wanted = whit.load(write(graph), threads=1).run(feeds)
    for output, got in run(mirror, feeds).items():
        close(got, wanted[output], 1e-4)
    same = mirror.to_graph()  # untrained: the same file
    assert write(same) == write(graph)


@pytest.mark.parametrize("name", ["ccexam_mnist", "resnet20_cifar10", "mobilenet_v2"])
def test_a_model_of_one_sample_takes_batches(name: str, shared) -> None:
    """Every row of a batch is what the sample gives alone."""
    graph = optimize(import_onnx(shared / "models" / f"{name}.onnx"))
    (info,) = graph.inputs
    x = np.random.default_rng(2).standard_normal((3, *graph.tensors[info].shape[1:])).astype(np.float32)
    mirror = TorchGraph(graph)
    (batch,) = run(mirror, {info: x}).values()
    for row, sample in zip(batch, x, strict=True):
        (alone,) = run(mirror, {info: sample[None]}).values()
        close(row[None], alone, 1e-5)


def small(op: str = "conv") -> tuple[Graph, dict[str, np.ndarray]]:
    builder = Builder(3)
    x = builder.conv(builder.input("x", 2, 6, 6, 3), 4, 3)
    y = builder.gemm(builder.node("reshape", x, shape=[2, 144]), 5)
    return builder.finish(y), builder.feeds


def test_trained_values_come_back() -> None:
    """After a step of gradient descent the graph holds the changed constants; the original is untouched."""
    graph, feeds = small()
    before = {name: tensor.data.copy() for name, tensor in graph.tensors.items() if tensor.is_constant}
    mirror = TorchGraph(graph)
    (y,) = mirror(torch.from_numpy(feeds["x"])).values()
    (y * y).mean().backward()
    with torch.no_grad():
        for name in mirror.trainable:
            mirror.parameter(name).sub_(mirror.parameter(name).grad)
    trained = mirror.to_graph()
    for name, value in before.items():
        np.testing.assert_array_equal(graph.tensors[name].data, value)
        assert not np.array_equal(trained.tensors[name].data, value)
    (got,) = run(mirror, feeds).values()
    close(got, reference.run(trained, feeds)[graph.outputs[0]], 1e-5)


def test_gradients_equal_finite_differences() -> None:
    """Of the product behind the layouts: a mistaken permutation would give another number."""
    graph, feeds = small()
    mirror = TorchGraph(graph).double()
    x = torch.from_numpy(feeds["x"]).double()
    name = mirror.weights[0]
    weight = mirror.parameter(name)

    def loss() -> torch.Tensor:
        (y,) = mirror(x).values()
        return (y * torch.arange(10.0).reshape(2, 5)).sum()

    loss().backward()
    step = 1e-6
    for place in ((0, 0, 0, 0), (3, 2, 1, 2), (1, 0, 2, 1)):
        with torch.no_grad():
            weight[place] += step
            up = loss().item()
            weight[place] -= 2 * step
            down = loss().item()
            weight[place] += step
        assert weight.grad[place].item() == pytest.approx((up - down) / (2 * step), rel=1e-5)


def test_quantised_operators_are_named() -> None:
    builder = Builder()
    graph = builder.finish(builder.dequantize(builder.quantize(builder.input("x", 2, 3), 0.1)))
    with pytest.raises(whit.UnsupportedOperatorError, match=r"node 'quantize_linear0' \(quantize_linear\)") as caught:
        TorchGraph(graph)
    assert [entry[1] for entry in caught.value.nodes] == ["quantize_linear", "dequantize_linear"]


def test_weights_that_are_s8_stay_as_they_are() -> None:
    builder = Builder()
    w = builder.constant(
        builder.random.integers(-127, 128, (4, 3)).astype(np.int8), quantization(np.full(4, 0.1), 0, 0)
    )
    graph = builder.finish(builder.node("gemm", builder.input("x", 2, 3), w))
    mirror = TorchGraph(graph)
    assert mirror.trainable == ()
    (got,) = run(mirror, builder.feeds).values()
    close(got, reference.run(graph, builder.feeds)[graph.outputs[0]], 1e-5)


def test_wrong_shapes_name_the_node() -> None:
    graph, _ = small()
    with pytest.raises(whit.ShapeError, match=r"node 'conv0' \(conv\) cannot compute with shapes \(2, 6, 6, 4\)"):
        TorchGraph(graph)(torch.zeros(2, 6, 6, 4))


def test_binarize_lets_gradients_through_where_values_are_small() -> None:
    """Hubara et al., "Binarized Neural Networks", 2016, equation 4."""
    b = Builder()
    x = b.input("x", 1, 6)
    b.graph.outputs = [b.node("binarize", x)]
    values = torch.tensor([[-2.0, -1.0, -0.25, 0.0, 1.0, 1.5]], requires_grad=True)
    (y,) = TorchGraph(b.graph)({"x": values}).values()
    assert y.tolist() == [[-1, -1, -1, 1, 1, 1]]
    (y * torch.arange(1.0, 7.0)).sum().backward()
    assert values.grad.tolist() == [[0, 2, 3, 4, 5, 0]]
