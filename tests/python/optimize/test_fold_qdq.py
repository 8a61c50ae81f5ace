from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builder import Builder, apply, find, operators, quantization, unchanged

from whit.ir import Graph
from whit.optimize import optimize
from whit.optimize.fold_qdq import FoldQdq
from whit.optimize.layout_rules import UNARY
from whit.optimize.merge_duplicates import MergeDuplicates

PASS = FoldQdq()
IMAGE = (1, 6, 6, 4)
RESIZE = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor", "scales": [], "sizes": [9, 4]}
POOL = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 0}


def quantized_input(b: Builder, shape: tuple[int, ...] = IMAGE, zero_point: int = 5, name: str = "x") -> str:
    return b.qdq(b.input(name, *shape), zero_point)


def finish(b: Builder, y: str, zero_point: int = -7) -> Graph:
    """`y`, quantised to its range: s8 outputs make comparing whole steps simple."""
    scale = float(np.abs(b.values[y]).max()) / 110 or 1.0
    return b.finish(b.quantize(y, scale, zero_point))


def s8_bias(b: Builder, x: str, w: str) -> str:
    """A bias in steps of x's scale times w's."""
    scales = []
    for name in (x, w):
        quantized = b.graph.tensors[next(n.inputs[0] for n in b.graph.nodes if n.outputs == [name])].quantization
        assert quantized is not None
        scales.append(quantized.scale)
    data = b.random.integers(-5000, 5000, b.values[w].shape[0]).astype(np.int32)
    scale = np.broadcast_to(scales[0] * scales[1], data.shape)
    return b.dequantize(b.constant(data, quantization(scale, 0, 0)))


PRODUCTS: dict[str, Callable[[Builder, str], tuple[str, ...]]] = {
    "conv": lambda b, x: ("conv", x, b.s8_weights(8, 3, 3, 4)),
    "conv per tensor": lambda b, x: ("conv", x, b.s8_weights(8, 3, 3, 4, per_channel=False)),
    "conv with f32 bias": lambda b, x: ("conv", x, b.s8_weights(8, 3, 3, 4), b.random_constant(8)),
    "conv with s32 bias": lambda b, x: ("conv", x, w := b.s8_weights(8, 3, 3, 4), s8_bias(b, x, w)),
    "gemm": lambda b, x: ("gemm", x, b.s8_weights(8, 4), b.random_constant(8)),
    "conv_transpose": lambda b, x: ("conv_transpose", x, b.s8_weights(8, 3, 3, 4), b.random_constant(8)),
}


def product(b: Builder, case: str, x: str, **more: Any) -> str:
    op, *inputs = PRODUCTS[case](b, x)
    attributes: dict[str, Any] = {} if op == "gemm" else Builder.conv_attributes(2, 3)
    if op == "conv_transpose":
        attributes |= {"strides": [2, 2], "output_padding": [1, 0]}
    return b.node(op, *inputs, **attributes | more)


@pytest.mark.parametrize("case", PRODUCTS)
@pytest.mark.parametrize("more", [{}, {"clamp_min": 0.0}, {"clamp_max": 0.5, "activation": "hard_swish"}])
def test_products(case: str, more: dict[str, Any]) -> None:
    b = Builder()
    graph = apply(finish(b, product(b, case, quantized_input(b), **more)), b.feeds, PASS, steps=1)
    op = case.split()[0]
    assert operators(graph) == {"quantize_linear": 1, op: 1}
    inputs = [graph.tensors[name] for name in find(graph, op).inputs]
    assert [tensor.dtype for tensor in inputs] == ["s8", "s8", "s32"][: len(inputs)]


def test_s32_bias_is_taken_as_it_is() -> None:
    b = Builder()
    y = product(b, "conv with s32 bias", quantized_input(b))
    before = next(tensor for tensor in b.graph.tensors.values() if tensor.dtype == "s32")
    graph = apply(finish(b, y), b.feeds, PASS, steps=1)
    bias = graph.constant(find(graph, "conv").inputs[2])
    assert before.data is not None
    assert np.array_equal(bias, before.data)


@pytest.mark.parametrize("op", ["conv", "gemm"])
def test_residual(op: str) -> None:
    b = Builder()
    x, residual = quantized_input(b), quantized_input(b, (1, 6, 6, 8), 3, "residual")
    w = b.s8_weights(8, 1, 1, 4) if op == "conv" else b.s8_weights(8, 4)
    attributes = Builder.conv_attributes(2, 1) if op == "conv" else {}
    y = b.node(op, x, w, "", residual, **attributes, clamp_min=0.0)
    graph = apply(finish(b, y), b.feeds, PASS, steps=1)
    assert operators(graph) == {"quantize_linear": 2, op: 1}
    assert graph.tensors[find(graph, op).inputs[3]].dtype == "s8"


ATTRIBUTES: dict[str, dict[str, Any]] = {
    "clip": {"clamp_min": -0.5, "clamp_max": math.inf},
    "leaky_relu": {"alpha": 0.1},
    "elu": {"alpha": 1.5},
    "hard_sigmoid": {"alpha": 0.2, "beta": 0.5},
    "gelu": {"approximate": "tanh"},
}


@pytest.mark.parametrize("op", sorted(UNARY - {"quantize_linear", "dequantize_linear", "requantize", "cast"}))
def test_unary(op: str) -> None:
    b = Builder()
    x = b.input("x", 40, 7)
    b.feeds["x"][:] = np.abs(b.feeds["x"]) + 0.25 if op in ("log", "sqrt", "reciprocal") else b.feeds["x"]
    y = b.node(op, b.dequantize(b.quantize(x, 0.03, -100)), **ATTRIBUTES.get(op, {}))
    assert operators(apply(finish(b, y), b.feeds, PASS)) == {"quantize_linear": 1, op: 1}


DIFFERENT: dict[str, Callable[[Builder, str], str]] = {
    "add": lambda b, x: b.node("add", x, quantized_input(b, zero_point=-20, name="y")),
    "add with clamp": lambda b, x: b.node("add", x, quantized_input(b, zero_point=-20, name="y"), clamp_min=0.0),
    "sub": lambda b, x: b.node("sub", quantized_input(b, zero_point=0, name="y"), x),
    "mul": lambda b, x: b.node("mul", x, quantized_input(b, (1, 1, 1, 4), name="y")),
    "mul with itself": lambda b, x: b.node("mul", x, x),
    "mul by a constant": lambda b, x: b.node("mul", x, b.constant([-0.7])),
    "add of zero": lambda b, x: b.node("add", x, b.constant(0.0)),
    "s8 constant": lambda b, x: b.node(
        "add", x, b.dequantize(b.constant(np.int8([[3, -4, 5, 99]]), quantization(0.03, 4)))
    ),
    "average_pool": lambda b, x: b.node("average_pool", x, **POOL, count_include_pad=0),
    "reduce_mean": lambda b, x: b.node("reduce_mean", x, axes=[1, 2], keepdims=0),
    "resize": lambda b, x: b.node("resize", x, mode="linear", **RESIZE),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_operators_with_two_quantisations(case: str) -> None:
    b = Builder()
    graph = apply(finish(b, DIFFERENT[case](b, quantized_input(b))), b.feeds, PASS, steps=1)
    found = operators(graph)
    assert found.pop("quantize_linear") == len(graph.inputs)
    assert len(graph.nodes) == 1 + len(graph.inputs)


def test_div_by_a_constant_becomes_mul() -> None:
    for divisor in (
        lambda b: b.constant([6.0]),
        lambda b: b.dequantize(b.constant(np.int8([127]), quantization(6 / 127))),
    ):
        b = Builder()
        graph = apply(finish(b, b.node("div", quantized_input(b), divisor(b))), b.feeds, PASS, steps=1)
        assert operators(graph) == {"quantize_linear": 1, "mul": 1}


SAME: dict[str, Callable[[Builder, str], str]] = {
    "reshape": lambda b, x: b.node("reshape", x, shape=[-1, 12]),
    "transpose": lambda b, x: b.node("transpose", x, perm=[0, 3, 1, 2]),
    "squeeze": lambda b, x: b.node("squeeze", x, axes=[0]),
    "unsqueeze": lambda b, x: b.node("unsqueeze", x, axes=[0]),
    "slice": lambda b, x: b.node("slice", x, starts=[1], ends=[3], axes=[2], steps=[1]),
    "split": lambda b, x: b.nodes("split", x, outputs=2, axis=3, sizes=[1, 3])[1],
    "gather": lambda b, x: b.node("gather", x, b.constant(np.int32([2, 0])), axis=3),
    "expand": lambda b, x: b.node("expand", x, shape=[2, 1, 1, 1]),
    "depth_to_space": lambda b, x: b.node("depth_to_space", x, blocksize=2, mode="CRD"),
    "pad": lambda b, x: b.node("pad", x, mode="constant", pads=[0, 1, 1, 0] * 2, value=0.0),
    "reflect": lambda b, x: b.node("pad", x, mode="reflect", pads=[0, 1, 1, 0] * 2, value=0.3),
    "max_pool": lambda b, x: b.node("max_pool", x, **POOL, dilations=[1, 1]),
    "reduce_max": lambda b, x: b.node("reduce_max", x, axes=[1], keepdims=0),
    "reduce_min": lambda b, x: b.node("reduce_min", x, axes=[3], keepdims=1),
    "resize": lambda b, x: b.node("resize", x, mode="nearest", **RESIZE),
    "concat": lambda b, x: b.node("concat", x, x, axis=1),
}


@pytest.mark.parametrize("case", SAME)
def test_movement_between_equal_quantisations(case: str) -> None:
    b = Builder()
    y = SAME[case](b, b.dequantize(b.quantize(b.input("x", *IMAGE), 0.02, 3)))
    graph = apply(b.finish(b.quantize(y, 0.02, 3)), b.feeds, PASS)
    assert operators(graph) == {"quantize_linear": 1, find_movement(graph): 1}


@pytest.mark.parametrize("case", SAME)
def test_movement_to_another_quantisation(case: str) -> None:
    b = Builder()
    y = SAME[case](b, quantized_input(b))
    graph = apply(b.finish(b.quantize(y, 0.05, 1)), b.feeds, PASS, steps=1)
    assert operators(graph) == {"quantize_linear": 1, find_movement(graph): 1, "requantize": 1}


@pytest.mark.parametrize("case", SAME)
def test_movement_before_f32(case: str) -> None:
    """The conversion happens as late as possible, where the values have been moved in s8."""
    b = Builder()
    y = b.node("softmax", SAME[case](b, quantized_input(b)), axis=-1)
    graph = apply(b.finish(y), b.feeds, PASS)
    assert graph.tensors[graph.nodes[1].inputs[0]].dtype == "s8"
    assert [node.op for node in graph.nodes][-2:] == ["dequantize_linear", "softmax"]


def find_movement(graph: Graph) -> str:
    (op,) = set(operators(graph)) - {"quantize_linear", "requantize"}
    return op


@pytest.mark.parametrize("case", [case for case in SAME if case not in ("split", "concat")])
def test_movement_behind_a_product(case: str) -> None:
    """conv -> movement -> quantize: the conv stores s8."""
    b = Builder()
    y = SAME[case](b, b.conv_like(quantized_input(b)))
    graph = apply(finish(b, y), b.feeds, PASS, steps=1)
    found = operators(graph)
    assert found.pop("quantize_linear") == 1
    assert len(graph.nodes) == 3
    assert all(graph.tensors[node.outputs[0]].dtype == "s8" for node in graph.nodes)


def test_pad_whose_value_is_no_step() -> None:
    b = Builder()
    x = b.dequantize(b.quantize(b.input("x", 2, 3), 0.5))
    y = b.node("pad", x, mode="constant", pads=[0, 1, 0, 1], value=0.3)
    assert unchanged(b.finish(y), PASS)


def test_concat_requantizes_what_differs() -> None:
    b = Builder()
    x, y = b.input("x", 1, 3, 4), b.input("y", 1, 3, 4)
    parts = [b.dequantize(b.quantize(x, 0.02)), b.dequantize(b.quantize(y, 0.03, 4)), b.random_constant(1, 3, 1)]
    graph = apply(b.finish(b.quantize(b.node("concat", *parts, axis=2), 0.03, 4)), b.feeds, PASS, steps=1)
    assert operators(graph) == {"quantize_linear": 2, "requantize": 1, "concat": 1}


def test_concat_of_products_needs_no_requantize() -> None:
    b = Builder()
    x = quantized_input(b)
    y = b.node("concat", b.conv_like(x), b.conv_like(x), axis=3)
    graph = apply(finish(b, y), b.feeds, PASS, steps=1)
    assert operators(graph) == {"quantize_linear": 1, "conv": 2, "concat": 1}


def test_conversions_between_equal_quantisations_vanish() -> None:
    b = Builder()
    y = b.qdq(b.node("neg", b.qdq(b.qdq(b.input("x", 3, 4), 2, scale=0.02), 2, scale=0.02)), 0, scale=0.1)
    graph = apply(b.finish(y), b.feeds, PASS)
    assert operators(graph) == {"quantize_linear": 1, "neg": 1, "dequantize_linear": 1}


def test_different_ones_requantize() -> None:
    b = Builder()
    graph = apply(b.finish(b.quantize(b.qdq(b.input("x", 3, 4)), 0.1)), b.feeds, PASS, steps=1)
    assert operators(graph) == {"quantize_linear": 1, "requantize": 1}


@pytest.mark.parametrize(
    ("low", "high", "gone"), [(0, 6, True), (0, 5, False), (0, math.inf, True), (1, math.inf, False)]
)
def test_clip_that_quantising_implies(low: float, high: float, *, gone: bool) -> None:
    b = Builder()
    y = b.clip(b.node("softmax", quantized_input(b, (3, 5)), axis=1), low, high)
    graph = apply(b.finish(b.quantize(y, 6 / 255, -128)), b.feeds, PASS)
    assert operators(graph)["clip"] == (0 if gone else 1)


def test_last_layer_stays_f32() -> None:
    b = Builder()
    y = b.node("gemm", quantized_input(b, (3, 4)), b.s8_weights(5, 4), b.random_constant(5))
    graph = apply(b.finish(b.node("softmax", y, axis=1)), b.feeds, PASS, tolerance=1e-4)
    assert operators(graph) == {"quantize_linear": 1, "gemm": 1, "softmax": 1}
    gemm = find(graph, "gemm")
    assert [graph.tensors[name].dtype for name in (*gemm.inputs, *gemm.outputs)] == ["s8", "s8", "s32", "f32"]


def test_f32_input_keeps_s8_weights() -> None:
    b = Builder()
    y = b.node("gemm", b.input("x", 3, 4), b.s8_weights(5, 4), b.random_constant(5))
    graph = apply(b.finish(y), b.feeds, PASS)
    assert operators(graph) == {"gemm": 1}
    assert graph.tensors[graph.nodes[0].inputs[1]].dtype == "s8"


@pytest.mark.parametrize("axis", [0, 1])
def test_constants_of_other_operators_become_f32(axis: int) -> None:
    b = Builder()
    data = b.random.integers(-127, 127, (3, 4)).astype(np.int8)
    scale = np.linspace(0.1, 0.2, data.shape[axis])
    y = b.node("pow", b.node("abs", b.input("x", 3, 4)), b.dequantize(b.constant(data, quantization(scale, 3, axis))))
    assert operators(apply(b.finish(y), b.feeds, PASS)) == {"abs": 1, "pow": 1}


def test_weights_that_cannot_be_used() -> None:
    """-128, a zero point, or scales along the inputs: the product runs in f32."""
    b = Builder()
    data = b.random.integers(-127, 127, (5, 4)).astype(np.int8)
    lowest = data.copy()
    lowest[2, 3] = -128
    cases = [
        (lowest, quantization(0.1)),
        (data, quantization(0.1, 3)),
        (data, quantization([0.1, 0.2, 0.3, 0.4], 0, 1)),
    ]
    for weights, q in cases:
        b = Builder()
        y = b.node("gemm", quantized_input(b, (3, 4)), b.dequantize(b.constant(weights, q)))
        graph = apply(finish(b, y), b.feeds, PASS)
        assert graph.tensors[find(graph, "gemm").inputs[0]].dtype == "f32"
        assert operators(graph) == {"quantize_linear": 2, "dequantize_linear": 1, "gemm": 1}


def test_bias_that_does_not_fit_s32() -> None:
    b = Builder()
    y = b.node("gemm", quantized_input(b, (3, 4)), b.s8_weights(5, 4), b.constant(np.full(5, 1e6, np.float32)))
    graph = apply(finish(b, y), b.feeds, PASS)
    assert graph.tensors[find(graph, "gemm").inputs[0]].dtype == "f32"


def test_result_that_is_read_in_f32_too() -> None:
    b = Builder()
    y = b.node("add", x := quantized_input(b), x)
    graph = apply(b.finish(b.quantize(y, 0.1), b.node("softmax", y, axis=-1)), b.feeds, PASS)
    assert operators(graph) == {"quantize_linear": 2, "dequantize_linear": 1, "add": 1, "softmax": 1}
    b = Builder()
    y = b.node("neg", quantized_input(b))
    assert unchanged(b.finish(y, b.quantize(y, 0.1)), PASS), "an output of the graph"


def test_f32_operators_keep_their_conversions() -> None:
    b = Builder()
    graph = finish(b, b.node("softmax", quantized_input(b), axis=3))
    assert unchanged(graph, PASS)


def test_one_conversion_for_many_readers() -> None:
    b = Builder()
    x = b.input("x", *IMAGE)
    y = b.node("add", b.qdq(x, 1, scale=0.02), b.qdq(x, 1, scale=0.02))
    graph = apply(finish(b, y), b.feeds, MergeDuplicates(), PASS, steps=1)
    assert operators(graph) == {"quantize_linear": 1, "add": 1}


def test_network_as_a_quantiser_leaves_it() -> None:
    """Channels first, pads and relus on their own, conversions everywhere: s8 from the first conv to the last gemm."""
    b = Builder()
    x = b.qdq(b.input("x", 1, 3, 12, 12), -4)
    x = b.node("pad", x, mode="constant", pads=[0, 0, 1, 1] * 2, value=0.0)

    def conv(x: str, channels: int, kernel: int) -> str:
        w = b.to_last(b.s8_weights(channels, b.values[x].shape[1], kernel, kernel))
        return b.to_first(
            b.node("conv", b.to_last(x), w, b.random_constant(channels), **Builder.conv_attributes(2, kernel))
        )

    x = b.qdq(b.clip(conv(x, 8, 3), 0, math.inf), -128, scale=0.02)
    y = b.qdq(b.clip(conv(x, 8, 3), 0, 6), -128, scale=6 / 255)
    y = b.qdq(conv(y, 8, 1), 4)
    x = b.qdq(b.node("add", x, y), 2)
    x = b.to_last(x)
    x = b.node("max_pool", x, **POOL, dilations=[1, 1])
    x = b.qdq(b.to_first(x), 3)
    x = b.qdq(b.node("reduce_mean", x, axes=[2, 3], keepdims=1), 3)
    x = b.node("gemm", b.node("reshape", x, shape=[0, -1]), b.s8_weights(10, 8), b.random_constant(10))
    graph = b.finish(b.quantize(x, 0.1))
    after = optimize(graph)
    assert operators(after)["dequantize_linear"] == 0
    assert operators(after)["quantize_linear"] == 1
    assert operators(after)["transpose"] == 0, "quantising does it"
    assert operators(after)["clip"] == 0
    apply(graph, b.feeds, *_pipeline(), steps=2)


def _pipeline() -> tuple[Any, ...]:
    from whit.optimize import PIPELINE

    return PIPELINE[1]
