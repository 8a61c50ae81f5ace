"""Equalisation keeps the f32 model and evens out ranges."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_graphs import RELU, Builder, ReferenceRunner

import reference
from whit.compression.calibrate import Statistics, observe_ranges
from whit.compression.equalize import decode_factors, encode_factors, equalize
from whit.compression.plan import make_plan, observed
from whit.compression.steps import Quantize
from whit.data import open_data
from whit.ir import Graph, verify
from whit.optimize.base import clone

DATA = np.random.default_rng(0).normal(size=(10, 6, 6, 4)).astype(np.float32)


def uneven(b: Builder, name: str, seed: int = 1) -> None:
    """Gives the output channels of a product very different ranges."""
    factors = np.exp(np.random.default_rng(seed).normal(0, 1.2, len(b.graph.tensors[f"{name}_w"].data))).astype(
        np.float32
    )
    for suffix in ("w", "b"):
        tensor = b.graph.tensors[f"{name}_{suffix}"]
        assert tensor.data is not None
        tensor.data = tensor.data * factors.reshape(-1, *[1] * (tensor.data.ndim - 1))


def apply(graph: Graph, samples: np.ndarray = DATA) -> tuple[Graph, dict[str, np.ndarray], dict[str, Statistics]]:
    graph = clone(graph)
    plan = make_plan(graph, Quantize())
    names = [*observed(graph, plan)]
    data = open_data(samples, [graph.tensors["x"]])
    statistics = observe_ranges(graph, names, data, runner=ReferenceRunner)
    factors = equalize(graph, plan, statistics)
    graph.prune()
    verify(graph)
    return graph, factors, statistics


def check_same_model(before: Graph, after: Graph, factors: dict[str, np.ndarray], statistics) -> None:
    names = [name for node in before.nodes for name in node.outputs]
    ranges: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for sample in DATA:
        a, b = (reference.run(graph, {"x": sample[None]}, names) for graph in (before, after))
        for name in names:
            wanted = a[name] * factors.get(name, 1.0)
            np.testing.assert_allclose(b[name], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max(), err_msg=name)
            if name in ranges:
                ranges[name].append(b[name])
    for name, parts in ranges.items():
        if parts:
            rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts]).astype(np.float64)
            np.testing.assert_allclose(statistics[name].low, rows.min(axis=0), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(statistics[name].high, rows.max(axis=0), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(statistics[name].squares, np.square(rows).sum(axis=0), rtol=1e-3, atol=1e-3)


def spread(statistics: Statistics) -> float:
    reach = np.maximum(statistics.high, -statistics.low)
    return float(reach.max() / np.median(reach))


def test_chain_of_dense_depthwise_and_grouped() -> None:
    b = Builder(1)
    a = b.conv(b.input("x", 1, 6, 6, 4), 8, name="first", **RELU)
    d = b.conv(a, 8, name="depthwise", group=8)
    g = b.conv(d, 16, name="grouped", group=4)
    graph = b.finish(b.conv(g, 4, 1, name="last"))
    for name in ("first", "depthwise", "grouped"):
        uneven(b, name)
    after, factors, statistics = apply(graph)
    assert set(factors) == {"first", "depthwise", "grouped"}
    check_same_model(graph, after, factors, statistics)
    before = observe_ranges(graph, factors, open_data(DATA, [graph.tensors["x"]]), runner=ReferenceRunner)
    for name in factors:
        assert spread(statistics[name]) < 0.7 * spread(before[name]), name


def test_residuals_pools_and_gemm_share_factors() -> None:
    b = Builder(2)
    a = b.conv(b.input("x", 1, 6, 6, 4), 8, name="first")
    m = b.conv(a, 8, name="middle", **RELU)
    r = b.conv(m, 8, 1, name="join", residual=a, **RELU)
    p = b.max_pool(r)
    g = b.node("reduce_mean", [p], (1, 8), "global", axes=[1, 2], keepdims=0)
    graph = b.finish(b.gemm(g, 5, "classifier"))
    uneven(b, "first")
    uneven(b, "join")
    after, factors, statistics = apply(graph)
    check_same_model(graph, after, factors, statistics)
    assert set(factors) >= {"first", "join", "pool", "global"}
    for name in ("join", "pool", "global"):
        np.testing.assert_array_equal(factors[name], factors["first"])


def test_finite_clamps_keep_headroom() -> None:
    b = Builder(3)
    a = b.conv(b.input("x", 1, 6, 6, 4), 8, name="first", clamp_min=0.0, clamp_max=100.0)
    graph = b.finish(b.conv(a, 8, name="depthwise", group=8))
    uneven(b, "first")
    after, factors, statistics = apply(graph)
    assert (factors["first"] >= 1).all()
    assert factors["first"].max() > 1.5
    scaled = factors["first"] > 1
    assert statistics["first"].high[scaled].max() <= 100 / 3 * (1 + 1e-6)
    check_same_model(graph, after, factors, statistics)


def test_factors_are_bounded_and_dead_channels_stay() -> None:
    b = Builder(4)
    a = b.conv(b.input("x", 1, 6, 6, 4), 8, name="first")
    graph = b.finish(b.conv(a, 4, 1, name="last"))
    weights, bias = graph.tensors["first_w"].data.copy(), graph.tensors["first_b"].data.copy()
    weights[0], bias[0] = 0, 0
    weights[1], bias[1] = weights[1] * 1e-6, bias[1] * 1e-6
    graph.tensors["first_w"].data, graph.tensors["first_b"].data = weights, bias
    after, factors, statistics = apply(graph)
    assert factors["first"][0] == 1
    assert factors["first"].max() <= 32
    check_same_model(graph, after, factors, statistics)


def test_shared_weights_are_not_changed_for_others() -> None:
    b = Builder(5)
    x = b.input("x", 1, 6, 6, 4)
    a = b.conv(x, 4, 1, name="first")
    uneven(b, "first")
    c = b.node("conv", [a, "first_w", "first_b"], (1, 6, 6, 4), "second", **b.graph.nodes[0].attributes)
    graph = b.finish(b.conv(c, 4, 1, name="last"))
    original = graph.tensors["first_w"].data.copy()
    after, factors, statistics = apply(graph)
    check_same_model(graph, after, factors, statistics)
    np.testing.assert_array_equal(graph.tensors["first_w"].data, original)


@pytest.mark.parametrize("kind", ["output", "swish", "clamp", "other reader", "residual of the input"])
def test_what_must_stay(kind: str) -> None:
    b = Builder(6)
    x = b.input("x", 1, 6, 6, 4)
    attributes = {"swish": {"activation": "hard_swish"}, "clamp": {"clamp_min": -1.0, "clamp_max": 1.0}}.get(kind, {})
    a = b.conv(x, 4, name="first", residual=x if kind == "residual of the input" else "", **attributes)
    uneven(b, "first")
    if kind == "other reader":
        a2 = b.node("sigmoid", [a], (1, 6, 6, 4), "gate")
        last = b.conv(b.node("mul", [a, a2], (1, 6, 6, 4), "silu"), 4, name="last")
        extra = b.conv(a, 4, name="extra")
        graph = b.finish(last, extra)
    else:
        last = b.conv(a, 4, name="last")
        graph = b.finish(last, *(["first"] if kind == "output" else []))
    after, factors, statistics = apply(graph)
    assert "first" not in factors
    check_same_model(graph, after, factors, statistics)


def test_even_channels_are_left_alone_where_nothing_is_gained() -> None:
    b = Builder(7)
    a = b.conv(b.input("x", 1, 6, 6, 4), 4, 1, name="first")
    graph = b.finish(b.conv(a, 4, 1, name="last"))
    for name in ("first_w", "last_w"):
        graph.tensors[name].data = np.eye(4, dtype=np.float32).reshape(4, 1, 1, 4)
    graph.tensors["first_b"].data = np.zeros(4, np.float32)
    samples = np.random.default_rng(1).uniform(-1, 1, DATA.shape).astype(np.float32)
    assert apply(graph, samples)[1] == {}


def test_factors_through_json() -> None:
    factors = {"a": np.exp2(np.array([-20, -1, 0, 3, 20]) / 4), "b": np.ones(3)}
    stored = json.loads(json.dumps(encode_factors(factors)))
    assert len(stored["a"]) == 8
    decoded = decode_factors(stored)
    for name, values in factors.items():
        np.testing.assert_allclose(decoded[name], values, rtol=1e-12)
    assert decode_factors(None) == {}
    assert decode_factors({"a": 3, "b": "?"}) == {}
