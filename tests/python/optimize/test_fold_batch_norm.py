from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builder import Builder, apply, find, operators, unchanged

from whit.optimize.fold_batch_norm import FoldBatchNorm

PASS = FoldBatchNorm()
#: Weights and bias are rounded once per folded node; sums of 27 products of the size of the result stay below this.
TOLERANCE = 1e-5

PRODUCTS: dict[str, Callable[[Builder], str]] = {
    "conv": lambda b: b.conv(b.input("x", 2, 5, 5, 3), 4, 3),
    "conv without bias": lambda b: b.conv(b.input("x", 2, 5, 5, 3), 4, 3, bias=False),
    "1-D conv": lambda b: b.conv(b.input("x", 2, 9, 3), 4, 3),
    "depthwise conv": lambda b: b.conv(b.input("x", 2, 5, 5, 4), 4, 3, group=4),
    "gemm": lambda b: b.gemm(b.input("x", 2, 3), 4),
    "conv_transpose": lambda b: b.node(
        "conv_transpose",
        b.input("x", 2, 3, 3, 6),
        b.random_constant(4, 2, 2, 3),
        b.random_constant(4),
        **Builder.conv_attributes(2, 1, group=2) | {"strides": [2, 2], "output_padding": [0, 0]},
    ),
}
FOLDED: dict[str, Callable[[Builder, str], str]] = {
    "batch norm": lambda b, y: b.node("add", b.node("mul", y, b.random_constant(4)), b.random_constant(4)),
    "scalar": lambda b, y: b.node("div", b.node("mul", y, b.constant(3.0)), b.constant([0.7])),
    "difference": lambda b, y: b.node("sub", b.random_constant(4), b.node("sub", y, b.random_constant(4))),
    "constant first": lambda b, y: b.node("mul", b.random_constant(4), b.node("add", b.constant(2.0), y)),
    "full rank": lambda b, y: b.node("add", y, b.random_constant(*[1] * (b.values[y].ndim - 1), 4)),
}
KEPT: dict[str, Callable[[Builder, str], str]] = {
    "two readers": lambda b, y: b.node("add", b.node("mul", y, b.random_constant(4)), y),
    "not per channel": lambda b, y: b.node("mul", y, b.random_constant(*b.values[y].shape)),
    "along another axis": lambda b, y: b.node(
        "add", y, b.random_constant(b.values[y].shape[0], *[1] * (b.values[y].ndim - 1))
    ),
    "computed": lambda b, y: b.node("add", y, b.input("other", 4)),
    "clamps": lambda b, y: b.node("add", y, b.random_constant(4), clamp_max=0.5),
    "constant divided": lambda b, y: b.node("div", b.constant(2.0), y),
    "division by zero": lambda b, y: b.node("div", y, b.constant([1.0, 0, 2, 3])),
    "broadcasts": lambda b, y: b.node("add", y, b.random_constant(*[1] * b.values[y].ndim, 4)),
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("case", FOLDED)
def test_folded(product: str, case: str) -> None:
    b = Builder()
    graph = apply(b.finish(b.node("abs", FOLDED[case](b, PRODUCTS[product](b)))), b.feeds, PASS, tolerance=TOLERANCE)
    assert len(graph.nodes) == 2


@pytest.mark.parametrize("case", FOLDED)
def test_folded_into_the_output(case: str) -> None:
    b = Builder()
    graph = apply(b.finish(FOLDED[case](b, PRODUCTS["conv"](b))), b.feeds, PASS, tolerance=TOLERANCE)
    assert operators(graph) == {"conv": 1}


@pytest.mark.parametrize("case", KEPT)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_kept(case: str) -> None:
    b = Builder()
    assert unchanged(b.finish(KEPT[case](b, PRODUCTS["conv"](b))), PASS)


def test_not_through_outputs_activations_and_residuals() -> None:
    b = Builder()
    y = PRODUCTS["conv"](b)
    assert unchanged(b.finish(y, b.node("mul", y, b.constant(2.0))), PASS)
    for more in ({"clamp_min": 0.0}, {"activation": "hard_swish"}):
        b = Builder()
        y = b.conv(b.input("x", 1, 4, 4, 3), 4, **more)
        assert unchanged(b.finish(b.node("mul", y, b.constant(2.0))), PASS)
    b = Builder()
    x = b.input("x", 1, 4, 4, 4)
    y = b.node("conv", x, b.random_constant(4, 1, 1, 4), "", x, **Builder.conv_attributes(2, 1))
    assert unchanged(b.finish(b.node("mul", y, b.constant(2.0))), PASS)


def test_weights_that_others_read_stay_as_they_are() -> None:
    b = Builder()
    x, w = b.input("x", 2, 3), b.random_constant(4, 3)
    y, z = b.node("gemm", x, w), b.node("gemm", b.node("neg", x), w)
    graph = apply(b.finish(b.node("mul", y, b.random_constant(4)), z), b.feeds, PASS, tolerance=TOLERANCE)
    assert operators(graph) == {"gemm": 2, "neg": 1}


def test_no_bias_appears_for_a_factor() -> None:
    b = Builder()
    y = b.node("mul", PRODUCTS["conv without bias"](b), b.random_constant(4))
    graph = apply(b.finish(y), b.feeds, PASS, tolerance=TOLERANCE)
    assert len(find(graph, "conv").inputs) == 2


def test_s8_weights_are_left_alone() -> None:
    b = Builder()
    y = b.node("gemm", b.input("x", 2, 3), b.s8_weights(4, 3))
    assert unchanged(b.finish(b.node("mul", y, b.random_constant(4))), PASS)


def test_quotient_is_rounded_once() -> None:
    """In double 3 / 7 is rounded once; 3 * f32(1 / 7) is another number."""
    b = Builder()
    y = b.node("div", b.node("gemm", b.input("x", 1, 1), b.constant([[3.0]])), b.constant(7.0))
    graph = apply(b.finish(y), b.feeds, PASS, tolerance=1e-6)
    weights = graph.constant(find(graph, "gemm").inputs[1])
    assert weights == np.float32(3 / 7)
    assert weights != np.float32(3) * np.float32(1 / 7)
