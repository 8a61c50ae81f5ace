"""Moments against products computed by the reference executor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import Builder, ReferenceRunner

import reference
from whit.compression.weights.covariance import Moments, columns_of, observe_moments, shrink
from whit.data import open_data
from whit.errors import CalibrationError, InvalidArgumentError, RecipeError
from whit.ir import Graph, verify

SAMPLES = np.random.default_rng(0).normal(0.5, 1, size=(6, 9, 7, 4)).astype(np.float32)

CONVS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strides": {"strides": [2, 3], "pads": [0, 1, 1, 0]},
    "dilations": {"dilations": [2, 1], "pads": [1, 1, 2, 1]},
    "groups": {"group": 2},
    "depthwise": {"group": 4},
    "padding": {"pad_values": [0.5, -1.0, 2.0, 0.0]},
}


def network(**changes: Any) -> Graph:
    """A convolution and a gemm on its mean; shapes of the convolution's output are left open."""
    b = Builder(1)
    y = b.conv(b.input("x", 1, 9, 7, 4), 8, name="conv", **changes)
    b.graph.tensors[y].shape = (1, "h", "w", 8)
    m = b.node("reduce_mean", [y], (1, 8), "mean", axes=[1, 2], keepdims=0)
    graph = b.finish(b.gemm(m, 3, "gemm"))
    verify(graph)
    return graph


def outputs_of(graph: Graph, name: str) -> np.ndarray:
    """All outputs of a layer without bias, f64 [positions, O]."""
    found = [reference.run(graph, {"x": sample[None]}, [name])[name] for sample in SAMPLES]
    node = next(node for node in graph.nodes if node.name == name)
    flat = np.concatenate([each.reshape(-1, each.shape[-1]) for each in found]).astype(np.float64)
    return flat - (graph.constant(node.inputs[2]) if len(node.inputs) > 2 else 0.0)


@pytest.mark.parametrize("kind", CONVS)
def test_moments_give_mean_and_power_of_the_outputs(kind: str) -> None:
    graph = network(**CONVS[kind])
    data = open_data(SAMPLES, [graph.tensors["x"]])
    found = observe_moments(graph, ["conv", "gemm"], data, runner=ReferenceRunner)
    for name in ("conv", "gemm"):
        weights, outputs = graph.constant(f"{name}_w"), outputs_of(graph, name)
        assert found[name].count == len(outputs)
        groups = CONVS[kind].get("group", 1) if name == "conv" else 1
        assert found[name].hessian.shape == (groups, weights[0].size, weights[0].size)
        np.testing.assert_allclose(found[name].mean_output(weights), outputs.mean(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[name].output_power(weights), np.square(outputs).mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
def test_transposed_convolutions(group: int, strides: list[int]) -> None:
    b = Builder(2)
    x = b.input("x", 1, 9, 7, 4)
    w = b.constant("up_w", b.rng.normal(size=(6, 3, 2, 4 // group)))
    attributes = {"strides": strides, "dilations": [1, 2], "pads": [1, 0, 0, 1], "output_padding": [0, 0]}
    graph = b.finish(b.node("conv_transpose", [x, w], (1, "h", "w", 6), "up", group=group, **attributes))
    verify(graph)
    outputs = outputs_of(graph, "up")
    columns = np.concatenate([columns_of(graph, graph.nodes[0], sample[None]) for sample in SAMPLES], axis=1)
    rows = graph.constant("up_w").reshape(group, 6 // group, -1)
    got = np.einsum("gpk,gok->pgo", columns, rows).reshape(len(outputs), 6)
    np.testing.assert_allclose(got, outputs, rtol=1e-4, atol=1e-5)
    data = open_data(SAMPLES, [graph.tensors["x"]])
    found = observe_moments(graph, ["up"], data, positions=10_000, runner=ReferenceRunner)["up"]
    np.testing.assert_allclose(found.output_power(graph.constant("up_w")), np.square(outputs).mean(axis=0), rtol=1e-4)


def test_one_spatial_axis() -> None:
    b = Builder(3)
    x = b.input("x", 2, 20, 3)
    w = b.constant("conv_w", b.rng.normal(size=(5, 3, 3)))
    graph = b.finish(b.node("conv", [x, w], (2, 20, 5), "conv", strides=[1], dilations=[1], pads=[1, 1], group=1))
    values = np.random.default_rng(1).normal(size=(2, 20, 3)).astype(np.float32)
    columns = columns_of(graph, graph.nodes[0], values)
    wanted = reference.run(graph, {"x": values})["conv"].reshape(-1, 5)
    np.testing.assert_allclose(columns[0] @ graph.constant("conv_w").reshape(5, -1).T, wanted, rtol=1e-4, atol=1e-5)
    some = columns_of(graph, graph.nodes[0], values, np.array([3, 17, 39]))
    np.testing.assert_array_equal(some, columns[:, [3, 17, 39]])


def test_sampling_is_seeded_bounded_and_unbiased() -> None:
    graph = network()
    data = open_data(SAMPLES, [graph.tensors["x"]])

    def observe(**options: Any) -> np.ndarray:
        found = observe_moments(graph, ["conv"], data, runner=ReferenceRunner, **options)["conv"]
        assert found.count == min(options["positions"], 63) * len(SAMPLES)
        return found.hessian

    full = observe(positions=63)
    np.testing.assert_array_equal(observe(positions=20), observe(positions=20))
    assert not np.array_equal(observe(positions=20), observe(positions=20, seed=1))
    many = np.mean([observe(positions=20, seed=seed) for seed in range(60)], axis=0)
    assert np.abs(many - full).max() < 0.1 * np.abs(full).max()
    alone, both = (
        observe_moments(graph, names, data, positions=20, runner=ReferenceRunner)["conv"].hessian
        for names in (["conv"], ["gemm", "conv"])
    )
    np.testing.assert_array_equal(alone, both)


def test_covariance_is_around_the_mean() -> None:
    x = np.random.default_rng(2).normal(2, 1, (300, 5))
    moments = Moments((x.T @ x / 300)[None], x.mean(axis=0)[None], 300)
    np.testing.assert_allclose(moments.covariance()[0], np.cov(x.T, bias=True), rtol=1e-9)


def test_shrinkage_is_the_published_formula() -> None:
    rng = np.random.default_rng(3)
    size = 12
    root = np.eye(size) + rng.normal(0, 0.2, (size, size))
    for count in (4, 30, 3000):
        x = rng.normal(size=(count, size)) @ root
        s = x.T @ x / count
        trace, squares = np.trace(s), np.trace(s @ s)
        ratio = ((1 - 2 / size) * squares + trace**2) / ((count + 1 - 2 / size) * (squares - trace**2 / size))
        wanted = (1 - min(ratio, 1)) * s + min(ratio, 1) * trace / size * np.eye(size)
        np.testing.assert_allclose(shrink(s[None], count)[0], wanted, rtol=1e-9)
        if count < 100:  # with many both are as good
            assert np.square(wanted - root.T @ root).sum() < np.square(s - root.T @ root).sum()
    one = np.array([[[3.0]]])
    np.testing.assert_array_equal(shrink(one, 5), one)
    np.testing.assert_allclose(shrink(np.eye(4)[None], 5)[0], np.eye(4))


def test_memory_is_bounded_by_several_passes() -> None:
    graph = network()
    runs = []

    class Counting(ReferenceRunner):
        def __init__(self, *arguments: Any) -> None:
            runs.append(arguments)
            super().__init__(*arguments)

    data = open_data(SAMPLES, [graph.tensors["x"]])
    together = observe_moments(graph, ["conv", "gemm"], data, runner=Counting)
    assert len(runs) == 1
    apart = observe_moments(graph, ["conv", "gemm"], data, max_bytes=36 * 36 * 8, runner=Counting)
    assert len(runs) == 3
    for name in ("conv", "gemm"):
        np.testing.assert_array_equal(together[name].hessian, apart[name].hessian)
    with pytest.raises(CalibrationError, match=r"'conv'.*36 columns.*allow more or leave the layer out"):
        observe_moments(graph, ["gemm", "conv"], data, max_bytes=1000, runner=ReferenceRunner)


def test_bad_input() -> None:
    graph = network()
    data = open_data(SAMPLES, [graph.tensors["x"]])
    for name in ("mean", "nothing"):
        with pytest.raises(InvalidArgumentError, match=f"'{name}'"):
            observe_moments(graph, [name], data, runner=ReferenceRunner)
    with pytest.raises(RecipeError, match="positions"):
        observe_moments(graph, ["conv"], data, positions=0, runner=ReferenceRunner)
    graph.tensors["conv_b"].data = np.full(8, np.inf, np.float32)
    with pytest.raises(CalibrationError, match=r"'mean', the input of layer 'gemm'"):
        observe_moments(graph, ["gemm"], data, runner=ReferenceRunner)
