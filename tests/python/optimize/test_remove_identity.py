from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from builder import Builder, apply, find, operators, unchanged

from whit.optimize.remove_identity import RemoveIdentity

PASS = RemoveIdentity()
RESIZE = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor"}

IDENTITIES: dict[str, Callable[[Builder, str], str]] = {
    "reshape": lambda b, x: b.node("reshape", x, shape=[2, -1, 5]),
    "squeeze": lambda b, x: b.node("squeeze", x, axes=[]),
    "transpose": lambda b, x: b.node("transpose", x, perm=[0, 1, 2]),
    "clip": lambda b, x: b.clip(x, -math.inf, math.inf),
    "add": lambda b, x: b.node("add", x, b.constant([0.0])),
    "add, constant first": lambda b, x: b.node("add", b.constant([0.0]), x),
    "sub": lambda b, x: b.node("sub", x, b.constant(np.zeros((4, 1), np.float32))),
    "mul": lambda b, x: b.node("mul", x, b.constant(1.0)),
    "div": lambda b, x: b.node("div", x, b.constant(np.ones(5, np.float32))),
    "pad": lambda b, x: b.node("pad", x, mode="constant", pads=[0] * 6, value=3.0),
    "slice": lambda b, x: b.node("slice", x, starts=[0], ends=[2**31 - 1], axes=[1], steps=[1]),
    "concat": lambda b, x: b.node("concat", x, axis=1),
    "split": lambda b, x: b.node("split", x, axis=1, sizes=[4]),
    "expand": lambda b, x: b.node("expand", x, shape=[1, 4, 1]),
    "resize": lambda b, x: b.node("resize", x, scales=[], sizes=[4], **RESIZE),
    "cast": lambda b, x: b.node("cast", x),
}

KEPT: dict[str, Callable[[Builder, str], str]] = {
    "clip": lambda b, x: b.clip(x, 0, math.inf),
    "add something": lambda b, x: b.node("add", x, b.constant([1e-30])),
    "add that clamps": lambda b, x: b.node("add", x, b.constant([0.0]), clamp_min=0.0),
    "add that broadcasts": lambda b, x: b.node("add", x, b.constant(np.zeros((3, 1, 1, 1), np.float32))),
    "sub from zero": lambda b, x: b.node("sub", b.constant([0.0]), x),
    "one divided": lambda b, x: b.node("div", b.constant([1.0]), x),
    "mul": lambda b, x: b.node("mul", x, b.constant([1.0, 1, 1, 1, 2])),
    "reversing slice": lambda b, x: b.node("slice", x, starts=[-1], ends=[-9], axes=[1], steps=[-1]),
    "resize": lambda b, x: b.node("resize", x, scales=[1.2], sizes=[], **RESIZE),
    "transpose": lambda b, x: b.node("transpose", x, perm=[0, 2, 1]),
}


@pytest.mark.parametrize("case", IDENTITIES)
def test_removed(case: str) -> None:
    b = Builder()
    y = b.node("abs", IDENTITIES[case](b, b.input("x", 2, 4, 5)))
    assert operators(apply(b.finish(y), b.feeds, PASS)) == {"abs": 1}


@pytest.mark.parametrize("case", IDENTITIES)
def test_removed_before_output(case: str) -> None:
    b = Builder()
    y = IDENTITIES[case](b, b.node("abs", b.input("x", 2, 4, 5)))
    graph = apply(b.finish(y), b.feeds, PASS)
    assert operators(graph) == {"abs": 1}
    assert find(graph, "abs").outputs == [y]


@pytest.mark.parametrize("case", KEPT)
def test_kept(case: str) -> None:
    b = Builder()
    graph = b.finish(KEPT[case](b, b.input("x", 2, 4, 5)))
    assert unchanged(graph, PASS)


def test_input_that_is_an_output_stays() -> None:
    b = Builder()
    graph = b.finish(b.node("reshape", b.input("x", 2, 3), shape=[2, 3]))
    assert unchanged(graph, PASS)


def test_both_names_are_outputs() -> None:
    b = Builder()
    a = b.node("abs", b.input("x", 2, 3))
    assert unchanged(b.finish(a, b.node("reshape", a, shape=[2, 3])), PASS)


def test_other_readers_of_an_output_follow() -> None:
    b = Builder()
    a = b.node("abs", b.input("x", 2, 3))
    y = b.node("reshape", a, shape=[2, 3])
    graph = apply(b.finish(b.node("neg", a), y, b.node("exp", y)), b.feeds, PASS)
    assert operators(graph) == {"abs": 1, "neg": 1, "exp": 1}


def test_views_merge() -> None:
    b = Builder()
    x = b.node("unsqueeze", b.node("reshape", b.input("x", 2, 6), shape=[3, 4]), axes=[0])
    graph = apply(b.finish(b.node("squeeze", x, axes=[0])), b.feeds, PASS)
    assert operators(graph) == {"reshape": 1}


def test_views_that_undo_each_other_vanish() -> None:
    b = Builder()
    x = b.node("squeeze", b.node("unsqueeze", b.node("abs", b.input("x", 2, 6)), axes=[1]), axes=[1])
    assert operators(apply(b.finish(b.node("neg", x)), b.feeds, PASS)) == {"abs": 1, "neg": 1}


def test_transposes_merge() -> None:
    b = Builder()
    x = b.node("transpose", b.node("transpose", b.input("x", 2, 3, 4), perm=[1, 2, 0]), perm=[1, 0, 2])
    graph = apply(b.finish(x), b.feeds, PASS)
    assert find(graph, "transpose").attributes == {"perm": [2, 1, 0]}


def test_transpose_of_ones_becomes_reshape() -> None:
    b = Builder()
    graph = apply(b.finish(b.node("transpose", b.input("x", 2, 1, 4, 5), perm=[0, 2, 3, 1])), b.feeds, PASS)
    assert find(graph, "reshape").attributes == {"shape": [2, 4, 5, 1]}


def test_unknown_sizes() -> None:
    b = Builder()
    x = b.node("transpose", b.input("x", 2, 1, 4, 5), perm=[0, 2, 3, 1])
    graph = b.finish(x)
    graph.tensors["x"].shape, graph.tensors[x].shape = ("n", 1, 4, "w"), ("n", 4, "w", 1)
    assert find(apply(graph, b.feeds, PASS), "reshape").attributes == {"shape": [0, 4, -1, 1]}
    graph.tensors["x"].shape, graph.tensors[x].shape = ("n", 1, "h", "w"), ("n", "h", "w", 1)
    assert unchanged(graph, PASS)
