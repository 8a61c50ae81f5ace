"""fold_constants and merge_duplicates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builder import Builder, apply, find, operators, quantization, unchanged

from whit.optimize.fold_constants import FoldConstants
from whit.optimize.merge_duplicates import MergeDuplicates

FOLD, MERGE = FoldConstants(), MergeDuplicates()

FOLDED: dict[str, Callable[[Builder, str], str]] = {
    "transpose": lambda b, c: b.node("transpose", c, perm=[1, 0]),
    "reshape": lambda b, c: b.node("reshape", c, shape=[0, 2, -1]),
    "squeeze": lambda b, c: b.node("squeeze", b.node("unsqueeze", c, axes=[1]), axes=[1]),
    "concat": lambda b, c: b.node("concat", c, c, axis=1),
    "arithmetic": lambda b, c: b.node("mul", b.node("add", c, b.constant(2.0), clamp_max=2.5), c, clamp_min=0.0),
    "quotient": lambda b, c: b.node("div", b.node("sub", b.constant(1.0), c), b.node("abs", c)),
    "bounds": lambda b, c: b.node("clip", b.node("min", c, b.node("neg", c)), clamp_min=-0.5, clamp_max=0.5),
    "larger": lambda b, c: b.node("max", c, b.constant([0.0])),
    "roots": lambda b, c: b.node("reciprocal", b.node("sqrt", b.node("abs", c))),
}


@pytest.mark.parametrize("case", FOLDED)
def test_folded(case: str) -> None:
    b = Builder()
    c = FOLDED[case](b, b.random_constant(3, 4))
    y = b.node("concat", b.input("x", *b.values[c].shape), c, axis=0)
    assert operators(apply(b.finish(y), b.feeds, FOLD, tolerance=1e-6)) == {"concat": 1}


def test_outputs_and_computed_operands_stay() -> None:
    b = Builder()
    assert unchanged(b.finish(b.node("neg", b.random_constant(3))), FOLD), "an output must be computed"
    b = Builder()
    assert unchanged(b.finish(b.node("add", b.input("x", 3), b.random_constant(3))), FOLD)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_dequantised_weights_are_transposed_in_s8(axis: int | None) -> None:
    b = Builder()
    data = b.random.integers(-127, 127, (4, 6)).astype(np.int8)
    scale = np.linspace(0.1, 0.2, 1 if axis is None else data.shape[axis])
    w = b.node("transpose", b.dequantize(b.constant(data, quantization(scale, 0, axis))), perm=[1, 0])
    graph = apply(b.finish(b.node("gemm", b.input("x", 2, 4), w)), b.feeds, FOLD)
    assert operators(graph) == {"dequantize_linear": 1, "gemm": 1}
    moved = graph.tensors[find(graph, "dequantize_linear").inputs[0]]
    assert moved.shape == (6, 4)
    assert moved.quantization is not None
    assert moved.quantization.axis == (None if axis is None else 1 - axis)


@pytest.mark.parametrize(("axis", "shape", "moved"), [(0, [4, -1], 0), (0, [1, 4, 6], 1), (1, [2, 2, 6], 2)])
def test_dequantised_weights_are_reshaped_in_s8(axis: int, shape: list[int], moved: int) -> None:
    b = Builder()
    data = b.random.integers(-127, 127, (4, 6)).astype(np.int8)
    q = quantization(np.linspace(0.1, 0.2, data.shape[axis]), 0, axis)
    w = b.node("reshape", b.dequantize(b.constant(data, q)), shape=shape)
    graph = apply(b.finish(b.node("add", b.input("x", *b.values[w].shape), w)), b.feeds, FOLD)
    tensor = graph.tensors[find(graph, "dequantize_linear").inputs[0]]
    assert tensor.quantization is not None
    assert tensor.quantization.axis == moved


def test_reshape_that_breaks_the_quantised_axis_stays() -> None:
    b = Builder()
    data = b.random.integers(-127, 127, (4, 6)).astype(np.int8)
    w = b.node("reshape", b.dequantize(b.constant(data, quantization(np.full(4, 0.1), 0, 0))), shape=[2, 12])
    assert unchanged(b.finish(b.node("add", b.input("x", 2, 12), w)), FOLD)


def test_duplicates_merge() -> None:
    b = Builder()
    x = b.input("x", 3)
    same = [b.node("mul", b.node("add", x, b.constant([1.0])), b.constant(2.0)) for _ in range(3)]
    y = b.node("concat", *same, b.node("mul", x, b.constant([1.0, 1, 1])), axis=0)
    graph = apply(b.finish(y), b.feeds, MERGE)
    assert operators(graph) == {"add": 1, "mul": 2, "concat": 1}
    assert sum(tensor.is_constant for tensor in graph.tensors.values()) == 3


def test_what_differs_stays() -> None:
    b = Builder()
    x = b.input("x", 2, 3)
    different = [
        b.node("leaky_relu", x, alpha=0.1),
        b.node("leaky_relu", x, alpha=0.2),
        b.node("elu", x, alpha=0.2),
        b.node("sub", x, b.constant(1.0)),
        b.node("sub", b.constant([[1.0]]), x),
    ]
    q = [b.dequantize(b.quantize(x, 0.1)), b.dequantize(b.quantize(x, 0.2)), b.dequantize(b.quantize(x, 0.1, 1))]
    assert unchanged(b.finish(b.node("concat", *different, *q, axis=0)), MERGE)


def test_duplicate_outputs_stay() -> None:
    b = Builder()
    x = b.input("x", 2, 3)
    assert unchanged(b.finish(b.node("exp", x), b.node("exp", x)), MERGE)
