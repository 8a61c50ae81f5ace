from __future__ import annotations

import pytest
from builder import Builder, apply, find, operators, unchanged

from whit.optimize.fuse_activation import FuseActivation
from whit.optimize.fuse_residual import FuseResidual

PASS = FuseResidual()


@pytest.mark.parametrize("conv_first", [True, False])
def test_into_conv(conv_first: bool) -> None:
    b = Builder()
    x = b.input("x", 1, 4, 4, 3)
    y = b.conv(x, 3, 3)
    graph = apply(b.finish(b.node("add", *([y, x] if conv_first else [x, y]))), b.feeds, PASS, tolerance=1e-6)
    assert operators(graph) == {"conv": 1}
    assert find(graph, "conv").inputs[3] == "x"


def test_into_gemm_without_bias() -> None:
    b = Builder()
    x = b.input("x", 2, 3)
    graph = apply(b.finish(b.node("add", b.node("gemm", x, b.random_constant(3, 3)), x)), b.feeds, PASS, tolerance=1e-6)
    assert find(graph, "gemm").inputs[2:] == ["", "x"]


def test_later_of_two() -> None:
    b = Builder()
    x = b.input("x", 1, 4, 4, 3)
    first, second = b.conv(x, 3), b.conv(x, 3, 3)
    graph = apply(b.finish(b.node("add", second, first)), b.feeds, PASS, tolerance=1e-6)
    early, late = graph.nodes
    assert late.inputs[3] == early.outputs[0]
    assert late.attributes["pads"] == [1, 1, 1, 1]


def test_waits_for_the_other_operand() -> None:
    b = Builder()
    x = b.input("x", 1, 4, 4, 3)
    y = b.conv(x, 3)
    graph = apply(b.finish(b.node("add", y, b.node("exp", x))), b.feeds, PASS, tolerance=1e-6)
    assert [node.op for node in graph.nodes] == ["exp", "conv"]


def test_activation_follows() -> None:
    b = Builder()
    x = b.input("x", 1, 4, 4, 3)
    y = b.node("hard_swish", b.node("add", b.conv(x, 3), x))
    graph = apply(b.finish(y), b.feeds, PASS, FuseActivation(), tolerance=1e-6)
    assert operators(graph) == {"conv": 1}
    b = Builder()
    x = b.input("x", 1, 4, 4, 3)
    y = b.clip(b.node("add", b.conv(x, 3), x, clamp_max=1.0), 0, 2)
    graph = apply(b.finish(y), b.feeds, FuseActivation(), PASS, tolerance=1e-6)
    assert find(graph, "conv").attributes["clamp_max"] == 1
    assert find(graph, "conv").attributes["clamp_min"] == 0


def test_chain_of_adds() -> None:
    b = Builder()
    x = b.input("x", 1, 4, 4, 3)
    y = b.node("add", b.node("add", b.conv(x, 3), b.conv(x, 3, 3)), x)
    graph = apply(b.finish(y), b.feeds, PASS, tolerance=1e-6)
    assert operators(graph) == {"conv": 2, "add": 1}


def test_kept() -> None:
    b = Builder()
    x = b.input("x", 1, 4, 4, 3)
    y = b.conv(x, 3)
    assert unchanged(b.finish(b.node("add", y, b.node("exp", y))), PASS), "two readers"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 3)
    assert unchanged(b.finish(b.node("add", y, y)), PASS), "twice the same"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 3)
    assert unchanged(b.finish(y, b.node("add", y, "x")), PASS), "an output"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 3, clamp_min=0.0)
    assert unchanged(b.finish(b.node("add", y, "x")), PASS), "clamped before the add"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 3)
    assert unchanged(b.finish(b.node("add", y, b.input("row", 1, 1, 4, 3))), PASS), "broadcast"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 3)
    assert unchanged(b.finish(b.node("add", y, b.random_constant(1, 4, 4, 3))), PASS), "a constant"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 3)
    assert unchanged(b.finish(b.node("sub", "x", y)), PASS), "not an add"
