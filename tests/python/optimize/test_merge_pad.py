from __future__ import annotations

import pytest
from builder import Builder, apply, find, operators, unchanged

from whit.optimize.merge_pad import MergePad

PASS = MergePad()


def pad(b: Builder, x: str, pads: list[int], mode: str = "constant", value: float = 0.0) -> str:
    return b.node("pad", x, mode=mode, pads=pads, value=value)


def pool(b: Builder, x: str, *, pads: list[int], ceil_mode: int = 0, count: int = 0) -> str:
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": pads}
    return b.node("average_pool", x, **attributes, ceil_mode=ceil_mode, count_include_pad=count)


def test_into_conv() -> None:
    b = Builder()
    x = pad(b, b.input("x", 2, 5, 6, 3), [0, 1, 2, 0, 0, 3, 4, 0])
    graph = apply(b.finish(b.conv(x, 4, 3, pads=[1, 0, 0, 1])), b.feeds, PASS)
    assert operators(graph) == {"conv": 1}
    assert find(graph, "conv").attributes["pads"] == [2, 2, 3, 5]


def test_not_where_the_padding_holds_something_else() -> None:
    b = Builder()
    x = pad(b, b.input("x", 1, 5, 6, 2), [0, 1, 1, 0, 0, 1, 1, 0])
    assert unchanged(b.finish(b.conv(x, 4, 3, pad_values=[0.5, 0.0])), PASS)
    graph = apply(b.finish(b.conv(x, 4, 3, pad_values=[0.0, 0.0])), b.feeds, PASS)
    assert operators(graph) == {"conv": 1}


def test_into_one_dimensional_conv() -> None:
    b = Builder()
    x = pad(b, b.input("x", 2, 5, 3), [0, 1, 0, 0, 3, 0])
    assert operators(apply(b.finish(b.conv(x, 4, 3)), b.feeds, PASS)) == {"conv": 1}


def test_into_several_convs_and_beside_another_reader() -> None:
    b = Builder()
    x = pad(b, b.input("x", 2, 5, 5, 3), [0, 1, 1, 0, 0, 1, 1, 0])
    y, z = b.conv(x, 4, 3), b.conv(x, 4)
    graph = apply(b.finish(y, z, b.node("abs", x)), b.feeds, PASS)
    assert find(graph, "abs").inputs == find(graph, "pad").outputs
    assert all(node.inputs[0] == "x" for node in graph.nodes if node.op == "conv")


@pytest.mark.parametrize("pads", [[0, 1, 0, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 2]])
def test_not_on_batch_and_channels(pads: list[int]) -> None:
    b = Builder()
    assert unchanged(b.finish(b.conv(pad(b, b.input("x", 1, 5, 5, 3), pads), 4)), PASS)


@pytest.mark.parametrize(("mode", "value"), [("constant", 1.0), ("reflect", 0.0), ("edge", 0.0)])
def test_only_zeros(mode: str, value: float) -> None:
    b = Builder()
    x = pad(b, b.input("x", 1, 5, 5, 3), [0, 1, 1, 0, 0, 1, 1, 0], mode, value)
    assert unchanged(b.finish(b.conv(x, 4)), PASS)


@pytest.mark.parametrize(("pads", "count"), [([0] * 4, 0), ([0] * 4, 1), ([1] * 4, 1)])
def test_into_average_pool(pads: list[int], count: int) -> None:
    b = Builder()
    x = pad(b, b.input("x", 1, 7, 7, 3), [0, 1, 1, 0, 0, 1, 1, 0])
    graph = apply(b.finish(pool(b, x, pads=pads, count=count)), b.feeds, PASS, tolerance=1e-6)
    assert operators(graph) == {"average_pool": 1}


@pytest.mark.parametrize(("pads", "ceil_mode", "count"), [([1] * 4, 0, 0), ([0] * 4, 1, 0), ([0] * 4, 1, 1)])
def test_not_into_average_pool(pads: list[int], ceil_mode: int, count: int) -> None:
    b = Builder()
    x = pad(b, b.input("x", 1, 8, 8, 3), [0, 1, 1, 0, 0, 1, 1, 0])
    assert unchanged(b.finish(pool(b, x, pads=pads, ceil_mode=ceil_mode, count=count)), PASS)


def test_not_into_max_pool() -> None:
    b = Builder()
    x = pad(b, b.input("x", 1, 8, 8, 3), [0, 1, 1, 0, 0, 1, 1, 0])
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1], "pads": [0] * 4, "ceil_mode": 0}
    assert unchanged(b.finish(b.node("max_pool", x, **attributes)), PASS)
