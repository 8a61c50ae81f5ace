"""Merged layers compute what both computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import INF, RELU, Builder

import reference
from whit.compression.calibrate import engine_runner
from whit.compression.weights.merge import merge_layers
from whit.ir import Graph, verify

X = np.random.default_rng(0).normal(0.5, 1, size=(1, 9, 8, 6)).astype(np.float32)


def conv(b: Builder, x: str, name: str, channels: int, kernel: int, bias: bool = True, **changes: Any) -> str:
    _, h, w, c = b.shape(x)
    attributes = {"strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4, "group": 1} | changes
    weights = b.rng.normal(0, 0.3, (channels, kernel, kernel, c // attributes["group"]))
    inputs = [x, b.constant(f"{name}_w", weights)]
    if bias:
        inputs.append(b.constant(f"{name}_b", b.rng.normal(0, 1, channels)))
    if "residual" in attributes:
        inputs.append(attributes.pop("residual"))
    (sy, sx), (dy, dx), pads = attributes["strides"], attributes["dilations"], attributes["pads"]
    out = (
        (h + pads[0] + pads[2] - (kernel - 1) * dy - 1) // sy + 1,
        (w + pads[1] + pads[3] - (kernel - 1) * dx - 1) // sx + 1,
    )
    return b.node("conv", inputs, (1, *out, channels), name, **attributes)


def check(graph: Graph, values: np.ndarray = X) -> tuple[Graph, list]:
    verify(graph)
    before = reference.run(graph, {"x": values})
    merged, merges = merge_layers(graph)
    verify(merged)
    for name, wanted in before.items():
        bound = 1e-4 * max(np.abs(wanted).max(), 1)
        np.testing.assert_allclose(reference.run(merged, {"x": values})[name], wanted, rtol=1e-4, atol=bound)
        np.testing.assert_allclose(engine_runner(merged, []).run({"x": values})[name], wanted, rtol=1e-4, atol=bound)
    return merged, merges


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
def test_gemms(biases: tuple[bool, bool]) -> None:
    b = Builder(1)
    x = b.input("x", 3, 20)
    for name, n, k, bias in (("first", 30, 20, biases[0]), ("second", 8, 30, biases[1])):
        inputs = [x, b.constant(f"{name}_w", b.rng.normal(size=(n, k)))]
        inputs += [b.constant(f"{name}_b", b.rng.normal(size=n))] if bias else []
        x = b.node("gemm", inputs, (3, n), name, **({"clamp_min": 0.0, "clamp_max": INF} if name == "second" else {}))
    values = np.random.default_rng(1).normal(size=(3, 20)).astype(np.float32)
    merged, merges = check(b.finish(x), values)
    assert [node.name for node in merged.nodes] == ["second"]
    (merge,) = merges
    assert (merge.first, merge.second, merge.reason) == ("first", "second", "")
    assert (merge.bytes_before, merge.bytes_after) == (4 * 840, 4 * 160)
    assert (merge.macs_before, merge.macs_after) == (3 * 840, 3 * 160)


@pytest.mark.parametrize(
    "first",
    [
        {"kernel": 1},
        {"kernel": 1, "strides": [2, 1]},
        {"kernel": 3, "pads": [1, 1, 0, 1], "strides": [2, 2]},
        {"kernel": 3, "dilations": [2, 1], "pads": [1] * 4, "pad_values": [1.0, -2.0, 0.5, 0.0, 0.0, 3.0]},
    ],
)
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
def test_convolution_then_pointwise(first: dict, strides: list[int]) -> None:
    b = Builder(2)
    a = conv(b, b.input("x", 1, 9, 8, 6), "first", 20, bias=True, **first)
    graph = b.finish(conv(b, a, "second", 4, 1, strides=strides, clamp_min=0.0, clamp_max=6.0))
    merged, merges = check(graph)
    if merges[0].reason:  # few positions in the second: the first computed most of its work for nothing
        pytest.fail(merges[0].reason)
    assert [node.name for node in merged.nodes] == ["second"]
    assert merged.nodes[0].attributes["clamp_max"] == 6


@pytest.mark.parametrize(("bias", "pads", "merges"), [(True, 0, True), (False, 1, True), (True, 1, False)])
def test_pointwise_then_convolution(bias: bool, pads: int, merges: bool) -> None:
    b = Builder(3)
    a = conv(b, b.input("x", 1, 9, 8, 6), "first", 24, 1, bias=bias)
    graph = b.finish(conv(b, a, "second", 5, 3, pads=[pads] * 4, strides=[2, 1]))
    merged, _ = check(graph)
    assert len(merged.nodes) == (1 if merges else 2)


def test_chains_and_residuals() -> None:
    b = Builder(4)
    x = b.input("x", 1, 9, 8, 6)
    a = conv(b, conv(b, conv(b, x, "a", 16, 1), "b", 16, 1), "c", 6, 1, residual=x, **RELU)
    merged, merges = check(b.finish(a))
    assert [node.name for node in merged.nodes] == ["c"]
    assert len(merges) == 2
    assert merged.nodes[0].inputs[3] == "x"


def test_low_rank_layers_stay_apart_with_a_reason() -> None:
    b = Builder(5)
    graph = b.finish(conv(b, conv(b, b.input("x", 1, 9, 8, 6), "narrow", 2, 1), "wide", 30, 1))
    merged, merges = check(graph)
    assert len(merged.nodes) == 2
    assert "merged they would take" in merges[0].reason


@pytest.mark.parametrize("kind", ["activation", "clamp", "residual", "output", "two readers", "groups", "padded 1x1"])
def test_what_must_stay(kind: str) -> None:
    b = Builder(6)
    x = b.input("x", 1, 9, 8, 6)
    changes: dict[str, Any] = {
        "activation": {"activation": "hard_swish"},
        "clamp": {"clamp_min": 0.0, "clamp_max": INF},
        "residual": {"residual": x},
        "groups": {"group": 6},
    }.get(kind, {})
    a = conv(b, x, "first", 6, 1, **changes)
    second = conv(b, a, "second", 6, 1, pads=[1] * 4 if kind == "padded 1x1" else [0] * 4)
    outputs = [second]
    if kind == "output":
        outputs.append(a)
    if kind == "two readers":
        outputs.append(b.node("abs", [a], b.shape(a), "abs"))
    graph = b.finish(*outputs)
    merged, merges = check(graph)
    assert {"first", "second"} <= {node.name for node in merged.nodes}
    assert not merges
