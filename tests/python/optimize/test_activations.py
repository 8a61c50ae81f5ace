"""recognize_activations and fuse_activation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from builder import EPSILON, Builder, apply, find, operators, unchanged

from whit.optimize.fuse_activation import FuseActivation
from whit.optimize.recognize_activations import RecognizeActivations, merge_clamps

RECOGNIZE, FUSE = RecognizeActivations(), FuseActivation()
#: A handful of roundings, each of the size of the largest value at most.
TOLERANCE = 8 * EPSILON


def constant(operation: str) -> Callable[[Builder, str, float], str]:
    return lambda b, x, value: b.node(operation, x, b.constant(value))


add, mul, div = constant("add"), constant("mul"), constant("div")


def relu6(b: Builder, x: str) -> str:
    return b.clip(x, 0, 6)


def gate(b: Builder, x: str) -> str:
    return relu6(b, add(b, x, 3.0))


def erf1(b: Builder, x: str) -> str:
    return add(b, b.node("erf", div(b, x, math.sqrt(2))), 1.0)


WRITTEN_OUT: dict[str, tuple[str, Callable[[Builder, str], str]]] = {
    "x * gate / 6": ("hard_swish", lambda b, x: div(b, b.node("mul", x, gate(b, x)), 6.0)),
    "gate * x / 6": ("hard_swish", lambda b, x: div(b, b.node("mul", gate(b, x), x), 6.0)),
    "x * (gate / 6)": ("hard_swish", lambda b, x: b.node("mul", x, div(b, gate(b, x), 6.0))),
    "(x / 6) * gate": ("hard_swish", lambda b, x: b.node("mul", div(b, x, 6.0), gate(b, x))),
    "x * gate * 0.1667": ("hard_swish", lambda b, x: mul(b, b.node("mul", x, gate(b, x)), 1 / 6)),
    "0.1667 * x * gate": ("hard_swish", lambda b, x: b.node("mul", b.node("mul", b.constant(1 / 6), x), gate(b, x))),
    "3 + x": (
        "hard_swish",
        lambda b, x: div(b, b.node("mul", x, relu6(b, b.node("add", b.constant([3.0]), x))), 6.0),
    ),
    "x - -3": ("hard_swish", lambda b, x: div(b, b.node("mul", x, relu6(b, b.node("sub", x, b.constant(-3.0)))), 6.0)),
    "min and max": (
        "hard_swish",
        lambda b, x: div(
            b,
            b.node("mul", x, b.node("min", b.node("max", add(b, x, 3.0), b.constant(0.0)), b.constant(6.0))),
            6.0,
        ),
    ),
    "clamped add": (
        "hard_swish",
        lambda b, x: div(b, b.node("mul", x, b.node("add", x, b.constant(3.0), clamp_min=0.0, clamp_max=6.0)), 6.0),
    ),
    "x * hard_sigmoid(x)": (
        "hard_swish",
        lambda b, x: b.node("mul", x, b.node("hard_sigmoid", x, alpha=1 / 6, beta=0.5)),
    ),
    "x * clip(x / 6 + .5)": (
        "hard_swish",
        lambda b, x: b.node("mul", x, b.clip(add(b, mul(b, x, 1 / 6), 0.5), 0, 1)),
    ),
    "x * clip((x + 3) / 6)": ("hard_swish", lambda b, x: b.node("mul", b.clip(div(b, add(b, x, 3.0), 6.0), 0, 1), x)),
    "gate / 6": ("hard_sigmoid", lambda b, x: div(b, gate(b, x), 6.0)),
    "gate * 0.1667": ("hard_sigmoid", lambda b, x: mul(b, gate(b, x), 1 / 6)),
    "another gate": ("hard_sigmoid", lambda b, x: div(b, b.clip(add(b, x, 1.0), 0, 2), 2.0)),
    "clip(x / 6 + .5)": ("hard_sigmoid", lambda b, x: b.clip(add(b, mul(b, x, 1 / 6), 0.5), 0, 1)),
    "silu": ("silu", lambda b, x: b.node("mul", b.node("sigmoid", x), x)),
    "x * (1 + erf) / 2": ("gelu", lambda b, x: mul(b, b.node("mul", x, erf1(b, x)), 0.5)),
    "x * ((1 + erf) / 2)": ("gelu", lambda b, x: b.node("mul", x, div(b, erf1(b, x), 2.0))),
    "(x / 2) * (1 + erf)": ("gelu", lambda b, x: b.node("mul", mul(b, x, 0.5), erf1(b, x))),
    "relu6": ("clip", lambda b, x: b.node("min", b.node("max", b.constant(0.0), x), b.constant([6.0]))),
    "relu of relu6": ("clip", lambda b, x: b.clip(relu6(b, x), 0, math.inf)),
}

NOT_QUITE: dict[str, Callable[[Builder, str], str]] = {
    "no division": lambda b, x: b.node("mul", x, gate(b, x)),
    "division by 5": lambda b, x: div(b, b.node("mul", x, gate(b, x)), 5.0),
    "gate of another": lambda b, x: div(b, b.node("mul", b.node("exp", x), gate(b, x)), 6.0),
    "another shift": lambda b, x: div(b, b.node("mul", x, relu6(b, add(b, x, 2.5))), 6.0),
    "another bound": lambda b, x: div(b, b.node("mul", x, b.clip(add(b, x, 3.0), 0, 5)), 6.0),
    "another slope": lambda b, x: b.node("mul", x, b.node("hard_sigmoid", x, alpha=0.2, beta=0.5)),
    "sigmoid of another": lambda b, x: b.node("mul", x, b.node("sigmoid", b.node("exp", x))),
    "erf without root": lambda b, x: mul(b, b.node("mul", x, add(b, b.node("erf", x), 1.0)), 0.5),
    "per-channel bound": lambda b, x: b.node("max", x, b.constant([0.0, 1, 2, 3])),
    "broadcasting bound": lambda b, x: b.node("max", x, b.constant([[[[0.0]]]])),
    "shifted and clipped": lambda b, x: b.clip(add(b, x, 0.5), 0, 1),
    "product read twice": lambda b, x: b.node("sub", p := b.node("mul", x, gate(b, x)), div(b, p, 6.0)),
}


@pytest.mark.parametrize("case", WRITTEN_OUT)
def test_recognized(case: str) -> None:
    op, build = WRITTEN_OUT[case]
    b = Builder()
    y = b.node("abs", build(b, b.node("neg", b.input("x", 50, 4, scale=4.0))))
    assert operators(apply(b.finish(y), b.feeds, RECOGNIZE, tolerance=TOLERANCE)) == {"neg": 1, op: 1, "abs": 1}


@pytest.mark.parametrize("case", WRITTEN_OUT)
def test_recognized_at_the_output(case: str) -> None:
    op, build = WRITTEN_OUT[case]
    b = Builder()
    graph = b.finish(build(b, b.input("x", 50, 4, scale=4.0)))
    assert operators(apply(graph, b.feeds, RECOGNIZE, tolerance=TOLERANCE)) == {op: 1}


@pytest.mark.parametrize("case", NOT_QUITE)
def test_not_recognized(case: str) -> None:
    b = Builder()
    assert unchanged(b.finish(NOT_QUITE[case](b, b.input("x", 2, 3, 4))), RECOGNIZE)


def test_parts_that_others_read_stay() -> None:
    b = Builder()
    x = b.input("x", 2, 3, 4)
    g = gate(b, x)
    graph = apply(b.finish(g, div(b, b.node("mul", x, g), 6.0)), b.feeds, RECOGNIZE, tolerance=TOLERANCE)
    assert operators(graph) == {"add": 1, "clip": 1, "hard_swish": 1}


@pytest.mark.parametrize("first", [(-1, 2), (0, math.inf), (-math.inf, 1), (3, 4)])
@pytest.mark.parametrize("second", [(-1, 2), (0, math.inf), (-math.inf, 1), (5, 6), (-6, -5)])
def test_clamps_merge(first: tuple[float, float], second: tuple[float, float]) -> None:
    low, high = merge_clamps(first, second)
    for x in (-9.0, -1.0, 0.0, 0.5, 1.5, 3.5, 5.5, 9.0):
        wanted = min(max(min(max(x, first[0]), first[1]), second[0]), second[1])
        assert min(max(x, low), high) == wanted


PRODUCTS: dict[str, Callable[[Builder], str]] = {
    "conv": lambda b: b.conv(b.input("x", 1, 6, 6, 3), 4, 3),
    "gemm": lambda b: b.gemm(b.input("x", 5, 3), 4),
    "conv_transpose": lambda b: b.node(
        "conv_transpose",
        b.input("x", 1, 3, 3, 3),
        b.random_constant(4, 2, 2, 3),
        **Builder.conv_attributes(2, 1) | {"strides": [2, 2], "output_padding": [0, 0]},
    ),
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("activations", ["clip", "hard_swish", "hard_swish clip", "clip clip"])
def test_fused(product: str, activations: str) -> None:
    b = Builder()
    y = PRODUCTS[product](b)
    for index, activation in enumerate(activations.split()):
        y = b.node("hard_swish", y) if activation == "hard_swish" else b.clip(y, -0.5 + index, 1.0)
    graph = apply(b.finish(y), b.feeds, FUSE, tolerance=TOLERANCE)
    assert operators(graph) == {product: 1}


def test_hard_swish_after_a_residual_is_fused() -> None:
    b = Builder()
    x = b.input("x", 1, 4, 4, 4)
    y = b.node("conv", x, b.random_constant(4, 1, 1, 4), "", x, **Builder.conv_attributes(2, 1))
    graph = apply(b.finish(b.node("hard_swish", y)), b.feeds, FUSE, tolerance=TOLERANCE)
    assert find(graph, "conv").attributes["activation"] == "hard_swish"


@pytest.mark.parametrize("op", ["add", "mul"])
def test_clip_into_arithmetic(op: str) -> None:
    b = Builder()
    y = b.clip(b.node(op, b.input("x", 2, 3), b.input("y", 2, 3)), 0, 1)
    assert operators(apply(b.finish(y), b.feeds, FUSE)) == {op: 1}


def test_not_fused() -> None:
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 4)
    assert unchanged(b.finish(y, b.clip(y, 0, 1)), FUSE), "the conv's own result is an output"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 4)
    assert unchanged(b.finish(b.node("sub", b.clip(y, 0, 1), y)), FUSE), "somebody else reads the conv"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 4, clamp_min=0.0)
    assert unchanged(b.finish(b.node("hard_swish", y)), FUSE), "hard_swish comes before the clamp"
    b = Builder()
    y = b.conv(b.input("x", 1, 4, 4, 3), 4, activation="hard_swish")
    assert unchanged(b.finish(b.node("hard_swish", y)), FUSE), "one activation"
    b = Builder()
    assert unchanged(b.finish(b.clip(b.node("sub", b.input("x", 2), b.input("y", 2)), 0, 1)), FUSE)
