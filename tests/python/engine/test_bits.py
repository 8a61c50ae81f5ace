"""Networks of +1 and -1: what the engine computes on bits is what the f32 graph says, exactly.

Scales are powers of two and biases multiples of them, so that no rounding hides or makes a difference.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builder import Builder, quantization
from engine_graphs import EngineBuilder

import whit
from whit.format import write
from whit.ir import Graph
from whit.optimize import optimize

CONV = {"strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1}


def signs(b: Builder, *shape: int) -> str:
    """Binary weights with a scale of each output channel."""
    scale = 2.0 ** b.random.integers(-3, 3, (shape[0], *[1] * (len(shape) - 1)))
    return b.constant((b.random.choice([-1.0, 1.0], shape) * scale).astype(np.float32))


def bias(b: Builder, size: int) -> str:
    """Some of them are hit exactly by sums: 0 is +1."""
    return b.constant((b.random.integers(-40, 40, size) / 8).astype(np.float32))


def conv(b: Builder, x: str, channels: int, kernel: int = 3, **more: Any) -> str:
    weights = signs(b, channels, kernel, kernel, b.values[x].shape[-1])
    return b.node("conv", x, weights, bias(b, channels), **{**CONV, **more})


def bits(b: Builder, x: str) -> str:
    return b.node("binarize", x)


def run(graph: Graph, feeds: dict[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    with whit.load(write(graph), threads=threads) as model:
        found = model.run(feeds)
        return {name: np.array(found[name]) for name in graph.outputs}


def check(b: Builder, *outputs: str, b1: int) -> None:
    """The optimised graph, which has so many tensors of bits, gives what the f32 graph does."""
    b.graph.outputs = list(outputs)
    graph = optimize(b.graph)
    assert sum(tensor.dtype == "b1" for tensor in graph.tensors.values()) == b1
    for threads in (1, 2):
        found = run(graph, b.feeds, threads)
        for name in outputs:
            np.testing.assert_array_equal(found[name], b.values[name], strict=True)


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "pad"),
    list(itertools.product([(8, 8), (24, 5), (64, 64), (72, 33)], [1, 3], [1, 2], [0, 1, 2])),
)
def test_convolutions(channels: tuple[int, int], kernel: int, stride: int, pad: int) -> None:
    """Zero padding is no +1."""
    b = EngineBuilder(seed=channels[0] + kernel + stride + pad)
    x = b.input("x", 2, 7, 9, channels[0])
    y = conv(b, bits(b, x), channels[1], kernel, strides=[stride, stride], pads=[pad] * 4)
    check(b, y, b1=1)


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_padding_of_ones(value: float) -> None:
    b = EngineBuilder()
    values = [value] * 16
    values[3] = -value
    check(b, conv(b, bits(b, b.input("x", 1, 5, 5, 16)), 12, pad_values=values), b1=1)


def test_bits_to_bits() -> None:
    """Through convolutions, a pool, a reshape and a fully connected layer no tensor becomes numbers."""
    b = EngineBuilder(3)
    x = bits(b, conv(b, b.input("x", 2, 12, 12, 3), 32))  # the first layer reads numbers
    x = bits(b, conv(b, x, 64))
    x = bits(b, b.node("max_pool", conv(b, x, 40), kernel_shape=[2, 2], strides=[2, 2], dilations=[1, 1],
                       pads=[0, 0, 0, 0], ceil_mode=0))  # fmt: skip
    x = bits(b, conv(b, x, 24, strides=[2, 2]))
    x = b.node("reshape", x, shape=[0, -1])
    x = bits(b, b.node("gemm", x, signs(b, 48, b.values[x].shape[1]), bias(b, 48)))
    y = b.node("gemm", x, signs(b, 10, 48))
    check(b, y, b1=7)


def test_clamps_and_thresholds() -> None:
    """A clamp in between can make all of a channel +1 or -1."""
    for low, high in ((-np.inf, np.inf), (0.0, 6.0), (-3.0, -0.125), (-1.0, 1.0)):
        b = EngineBuilder(4)
        x = bits(b, b.input("x", 1, 6, 6, 16))
        x = bits(b, b.node("clip", conv(b, x, 32), clamp_min=low, clamp_max=high))
        check(b, conv(b, x, 8), b1=2)


@pytest.mark.parametrize("rows", [1, 3, 130])
def test_fully_connected(rows: int) -> None:
    b = EngineBuilder(rows)
    x = bits(b, b.input("x", rows, 200))
    check(b, b.node("gemm", x, signs(b, 77, 200), bias(b, 77)), b1=1)


def test_from_and_to_s8() -> None:
    b = EngineBuilder(5)
    x = b.node("dequantize_linear", b.input_s8("x", 1, 6, 6, 16, zero_point=-3))
    y = conv(b, bits(b, x), 24)
    y = b.node_as("quantize_linear", [y], quantization(0.5, 7))
    check(b, y, b1=1)


def test_special_numbers() -> None:
    """NaN and -0 are not below 0."""
    b = EngineBuilder()
    x = np.array([[np.nan, -0.0, 0.0, np.inf, -np.inf, 1e-45, -1e-45, -1.0] * 3], np.float32)
    check(b, b.node("gemm", bits(b, b.feed("x", x)), signs(b, 5, 24)), b1=1)


def _few_channels(b: Builder, x: str) -> str:
    twelve = b.node("slice", x, axes=[3], starts=[0], ends=[12], steps=[1])
    return b.node("conv", bits(b, twelve), signs(b, 8, 3, 3, 12), **CONV)


def _several_magnitudes(b: Builder, x: str) -> str:
    weights = b.random.choice([-1, 1, 2], (8, 3, 3, 16)).astype(np.float32)
    return b.node("conv", bits(b, x), b.constant(weights), **CONV)


OTHERS: dict[str, Callable[[Builder, str], str]] = {
    "channels that fill no bytes": _few_channels,
    "weights of several magnitudes": _several_magnitudes,
    "weights of 0": lambda b, x: b.node("conv", bits(b, x), b.constant(np.zeros((8, 3, 3, 16), np.float32)), **CONV),
    "groups": lambda b, x: b.node("conv", bits(b, x), signs(b, 8, 3, 3, 8), **{**CONV, "group": 2}),
    "padding of a half": lambda b, x: conv(b, bits(b, x), 8, pad_values=[0.5] * 16),
    "another reader": lambda b, x: b.node("add", y := bits(b, x), conv(b, y, 16)),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_stays_in_numbers(case: str) -> None:
    b = EngineBuilder()
    check(b, OTHERS[case](b, b.input("x", 1, 6, 6, 16)), b1=0)


def test_outputs_stay_numbers() -> None:
    b = EngineBuilder()
    x = bits(b, b.input("x", 1, 6, 6, 16))
    y = conv(b, x, 8)
    check(b, x, y, b1=0)


def unoptimised(change: Callable[[Graph], None]) -> bytes:
    """A file whose conv of bits is not as it should be."""
    b = EngineBuilder()
    b.graph.outputs = [conv(b, bits(b, b.input("x", 1, 6, 6, 16)), 8)]
    graph = optimize(b.graph)
    change(graph)
    return write(graph)


def _weights(graph: Graph) -> Any:
    return graph.tensors[next(node for node in graph.nodes if node.op == "conv").inputs[1]]


def _set_weight(graph: Graph) -> None:
    data = _weights(graph).data.copy()
    data.flat[7] = 0
    _weights(graph).data = data


def _set_group(graph: Graph) -> None:
    node = next(node for node in graph.nodes if node.op == "conv")
    node.attributes["group"] = 2
    tensor = _weights(graph)
    tensor.data = np.ascontiguousarray(tensor.data[..., :8])
    tensor.shape = tensor.data.shape


def _set_activation(graph: Graph) -> None:
    next(node for node in graph.nodes if node.op == "conv").attributes["activation"] = "hard_swish"


def _set_padding(graph: Graph) -> None:
    next(node for node in graph.nodes if node.op == "conv").attributes["pad_values"] = [0.5] * 16


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set_weight, r"must be \+1 and -1; there is 0"),
        (_set_group, "grouped convolution of a b1 input"),
        (_set_activation, "no activation but the clamp"),
        (_set_padding, r"must be 0 everywhere, or \+1 and -1"),
    ],
)
def test_files_that_ask_for_more(change: Callable[[Graph], None], says: str) -> None:
    with pytest.raises(whit.UnsupportedOperatorError, match=says), whit.load(unoptimised(change)) as model:
        model.run({"x": np.zeros((1, 6, 6, 16), np.float32)})
