from __future__ import annotations

import numpy as np
import pytest
from builder import Builder, apply, find, operators, quantization, unchanged

from whit.optimize import optimize
from whit.optimize.fuse_quantize_transpose import FuseQuantizeTranspose

PASS = FuseQuantizeTranspose()


@pytest.mark.parametrize("perm", [[0, 2, 3, 1], [3, 0, 2, 1]])
def test_transpose_on_either_side(perm: list[int]) -> None:
    b = Builder()
    y = b.node("transpose", b.quantize(b.input("x", 2, 3, 4, 5), 0.02, 7), perm=perm)
    graph = apply(b.finish(y), b.feeds, PASS)
    assert operators(graph) == {"quantize_linear": 1}
    assert find(graph, "quantize_linear").attributes["perm"] == perm
    b = Builder()
    y = b.quantize(b.node("transpose", b.input("x", 2, 3, 4, 5), perm=perm), 0.02, 7)
    graph = apply(b.finish(y), b.feeds, PASS)
    assert operators(graph) == {"quantize_linear": 1}
    assert find(graph, "quantize_linear").attributes["perm"] == perm


def test_one_of_two_transposes() -> None:
    b = Builder()
    y = b.quantize(b.node("transpose", b.input("x", 2, 3, 4), perm=[0, 2, 1]), 0.02)
    graph = apply(b.finish(b.node("transpose", y, perm=[2, 0, 1])), b.feeds, PASS)
    assert operators(graph) == {"quantize_linear": 1, "transpose": 1}


def test_other_readers_and_scales_per_axis_stay() -> None:
    b = Builder()
    q = b.quantize(b.input("x", 2, 3, 4), 0.02)
    y = b.node("transpose", q, perm=[0, 2, 1])
    assert unchanged(b.finish(y, q), PASS)
    b = Builder()
    t = b.node("transpose", b.input("x", 2, 3, 4), perm=[0, 2, 1])
    assert unchanged(b.finish(b.quantize(t, 0.02), t), PASS)
    b = Builder()
    y = b.node("quantize_linear", b.input("x", 2, 3, 4), q=quantization([0.1, 0.2, 0.3], 0, 1))
    assert unchanged(b.finish(b.node("transpose", y, perm=[0, 1, 2])), PASS)


def test_optimized_twice() -> None:
    """No other pass takes the fused operator for one that keeps the order of axes."""
    b = Builder()
    x = b.qdq(b.input("x", 1, 3, 8, 8), 3)
    y = b.to_first(b.conv_like(b.to_last(x)))
    once = optimize(b.finish(b.qdq(y, -5), b.qdq(b.node("neg", x), 2)))
    assert sum(bool(node.attributes.get("perm")) for node in once.nodes if node.op == "quantize_linear") == 0
    b = Builder()
    y = b.to_first(b.conv_like(b.to_last(b.qdq(b.input("x", 1, 3, 8, 8), 3))))
    graph = b.finish(b.qdq(y, -5))
    once = apply_optimize(graph, b)
    assert operators(apply_optimize(once, b)) == operators(once)


def apply_optimize(graph, b: Builder):
    import reference

    after = optimize(graph)
    for name, wanted in reference.run(graph, b.feeds).items():
        got = reference.run(after, b.feeds)[name]
        assert np.abs(got - wanted).max() <= 0.02 * np.abs(wanted).max()
    assert find(after, "quantize_linear").attributes["perm"] == [0, 2, 3, 1]
    return after
