from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builder import Builder, apply, find, operators, unchanged

from whit.optimize.fold_input_affine import FoldInputAffine

PASS = FoldInputAffine()
#: Sums of up to 36 products of weights that are rounded once per folded node.
TOLERANCE = 1e-5

AFFINE: dict[str, Callable[[Builder, str], str]] = {
    "mul": lambda b, x: b.node("mul", x, b.random_constant(4)),
    "scalar mul": lambda b, x: b.node("mul", x, b.constant([1.7])),
    "div": lambda b, x: b.node("div", x, b.constant([0.5, 2.0, -3.0, 4.0])),
    "add": lambda b, x: b.node("add", x, b.random_constant(4)),
    "sub": lambda b, x: b.node("sub", x, b.constant(0.3)),
    "normalised image": lambda b, x: b.node("div", b.node("sub", x, b.random_constant(4)), b.constant([1, 2, 3.0, 4])),
    "scale and shift": lambda b, x: b.node("add", b.node("mul", x, b.constant([1.3])), b.constant([0.4])),
    "full rank": lambda b, x: b.node("add", x, b.random_constant(*[1] * (b.values[x].ndim - 1), 4)),
}
PRODUCTS: dict[str, Callable[[Builder, str], str]] = {
    "conv": lambda b, x: b.conv(x, 6),
    "conv without bias": lambda b, x: b.conv(x, 6, 3, bias=False, pads=[0] * 4),
    "grouped conv": lambda b, x: b.conv(x, 6, 3, group=2, pads=[0] * 4),
    "depthwise conv": lambda b, x: b.conv(x, 4, 3, group=4, pads=[0] * 4),
    "gemm": lambda b, x: b.gemm(x, 5),
}


def build(affine: str, product: Callable[[Builder, str], str]) -> Builder:
    b = Builder()
    b.finish(product(b, AFFINE[affine](b, b.node("exp", b.input("x", 2, 5, 5, 4)))))
    return b


@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("product", PRODUCTS)
def test_folded(affine: str, product: str) -> None:
    b = build(affine, PRODUCTS[product])
    assert len(apply(b.graph, b.feeds, PASS, tolerance=TOLERANCE).nodes) == 2


@pytest.mark.parametrize(("affine", "left"), [("mul", 0), ("div", 0), ("add", 1), ("sub", 1), ("scale and shift", 1)])
def test_padding(affine: str, left: int) -> None:
    """Factors fold, terms stay: padding is zero before the term is added."""
    b = build(affine, lambda b, x: b.conv(x, 6, 3))
    after = apply(b.graph, b.feeds, PASS, tolerance=TOLERANCE)
    assert len(after.nodes) == 2 + left


@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("group", [1, 4])
def test_padding_of_an_input(affine: str, group: int) -> None:
    """What is made of an input folds whole: the padding holds what becomes 0."""
    b = Builder()
    x = b.to_last(b.input("x", 2, 4, 5, 5))
    graph = apply(b.finish(b.conv(AFFINE[affine](b, x), 8, 3, group=group)), b.feeds, PASS, tolerance=TOLERANCE)
    assert operators(graph) == {"transpose": 1, "conv": 1}
    values = find(graph, "conv").attributes.get("pad_values", [])
    assert len(values) == (0 if affine in ("mul", "scalar mul", "div") else 4)


def test_padding_of_a_picture_is_its_mean() -> None:
    b = Builder()
    x = b.node("sub", b.node("mul", b.input("x", 1, 5, 5, 3), b.constant(1 / 255)), b.constant([0.5, 0.4, 0.3]))
    graph = apply(b.finish(b.conv(b.node("div", x, b.constant([0.2, 0.3, 0.1])), 6, 3)), b.feeds, PASS, tolerance=1e-5)
    assert operators(graph) == {"conv": 1}
    np.testing.assert_allclose(find(graph, "conv").attributes["pad_values"], [127.5, 102, 76.5], rtol=1e-6)


def test_padding_that_returns_to_zero_needs_no_values() -> None:
    b = Builder()
    x = b.node("sub", b.node("add", b.input("x", 1, 5, 5, 4), b.constant(2.0)), b.constant(2.0))
    graph = apply(b.finish(b.conv(x, 6, 3)), b.feeds, PASS, tolerance=TOLERANCE)
    assert "pad_values" not in find(graph, "conv").attributes


def test_padding_and_a_factor_of_zero() -> None:
    """Nothing times 0 is the -1 that the padding has to be."""
    b = Builder()
    x = b.node("mul", b.input("x", 1, 5, 5, 4), b.constant([0.0, 1, 2, 4]))
    graph = apply(b.finish(b.conv(b.node("add", x, b.constant(1.0)), 6, 3)), b.feeds, PASS, tolerance=TOLERANCE)
    assert operators(graph) == {"mul": 1, "conv": 1}
    assert find(graph, "conv").attributes["pad_values"] == [-1.0] * 4
    b = Builder()
    x = b.node("mul", b.input("x", 1, 5, 5, 4), b.constant([0.0, 1, 2, 4]))
    graph = apply(b.finish(b.conv(x, 6, 3)), b.feeds, PASS, tolerance=TOLERANCE)
    assert operators(graph) == {"conv": 1}


def test_padding_and_a_factor_that_cannot_be_divided_by() -> None:
    b = Builder()
    x = b.node("mul", b.node("exp", b.input("x", 1, 5, 5, 4)), b.constant([0.0, 1, 2, 3]))
    assert unchanged(b.finish(b.conv(b.node("add", x, b.constant(1.0)), 6, 3)), PASS)


@pytest.mark.parametrize(
    "make",
    [
        lambda b, x: (y := b.node("mul", x, b.constant(2.0)), b.node("exp", y))[0],
        lambda b, x: b.node("mul", x, b.constant(2.0), clamp_min=0.0),
        lambda b, x: b.node("mul", x, b.random_constant(5, 1)),
        lambda b, x: b.node("mul", x, x),
        lambda b, x: b.node("div", b.constant(2.0), x),
        lambda b, x: b.node("div", x, b.constant([1.0, 0, 1, 1])),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_kept(make: Callable[[Builder, str], Any]) -> None:
    b = Builder()
    y = make(b, b.input("x", 1, 5, 5, 4))
    others = [node.outputs[0] for node in b.graph.nodes if node.op == "exp"]
    assert unchanged(b.finish(b.conv(y, 6), *others), PASS)


def test_padding_and_a_factor_too_small() -> None:
    b = Builder()
    x = b.node("mul", b.node("exp", b.input("x", 1, 5, 5, 4)), b.constant(1e-30))
    assert unchanged(b.finish(b.conv(b.node("add", x, b.constant(1e10)), 6, 3)), PASS)
    b = Builder()
    x = b.node("mul", b.input("x", 1, 5, 5, 4), b.constant(1e-30))
    graph = apply(b.finish(b.conv(b.node("add", x, b.constant(1e10)), 6, 3)), b.feeds, PASS, tolerance=TOLERANCE)
    assert operators(graph) == {"mul": 1, "conv": 1}


def test_output_of_the_graph_stays() -> None:
    b = Builder()
    y = b.node("mul", b.input("x", 1, 4), b.constant(2.0))
    assert unchanged(b.finish(y, b.gemm(y, 3)), PASS)


def test_the_sum_is_kept_in_double() -> None:
    b = Builder()
    x = b.node("add", b.input("x", 1, 3), b.constant(1.0))
    w = b.constant(np.float32([[1, 2.0**-25, -1]]))
    graph = apply(b.finish(b.node("gemm", x, w)), b.feeds, PASS, tolerance=1e-6)
    assert operators(graph) == {"gemm": 1}
    assert graph.constant(find(graph, "gemm").inputs[2]) == np.float32(2.0**-25)
