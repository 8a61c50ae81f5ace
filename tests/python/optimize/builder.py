"""Small graphs, tersely: every node is run as it is added, so shapes and feeds come for free."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

import reference
from whit.dtypes import dtype_of
from whit.ir import Graph, Node, Quantization, Tensor, verify
from whit.optimize import Pass, run_passes
from whit.optimize.base import clone

EPSILON = float(np.finfo(np.float32).eps)


def quantization(scale: Any, zero_point: Any = 0, axis: int | None = None) -> Quantization:
    scale = np.atleast_1d(np.asarray(scale, np.float32))
    return Quantization(scale, np.broadcast_to(np.int32(zero_point), scale.shape).copy(), axis)


class Builder:
    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.graph = Graph("test")
        self.values: dict[str, np.ndarray] = {}
        self.feeds: dict[str, np.ndarray] = {}

    def input(self, name: str, *shape: int, scale: float = 1.0) -> str:
        self.feeds[name] = (self.random.standard_normal(shape) * scale).astype(np.float32)
        self.values[name] = self.feeds[name]
        self.graph.inputs.append(name)
        return self.graph.add_tensor(Tensor(name, "f32", shape))

    def constant(self, data: Any, quantization: Quantization | None = None) -> str:
        data = np.asarray(data, np.float32) if not isinstance(data, np.ndarray) else data
        name = self.graph.add_constant("constant", data, quantization)
        self.values[name] = data
        return name

    def random_constant(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def nodes(
        self, op: str, *inputs: str, outputs: int = 1, q: Quantization | None = None, **attributes: Any
    ) -> list[str]:
        """Adds a node; `q` makes its outputs s8."""
        name = f"{op}{len(self.graph.nodes)}"
        node = Node(op, name, list(inputs), [f"{name}:{index}" for index in range(outputs)], attributes)
        tensors = [Tensor(output, "f32" if q is None else "s8", None, q) for output in node.outputs]
        if q is None and op not in ("dequantize_linear", "cast", "quantize_linear", "arg_max"):
            like = self.graph.tensors[inputs[0]]
            for tensor in tensors:
                tensor.dtype, tensor.quantization = like.dtype, like.quantization
        if op == "arg_max":
            tensors[0].dtype = "s32"
        sources = [self.graph.tensors[input] if input else None for input in inputs]
        call = reference.Call(node, [self.values.get(input) for input in inputs], sources, list(tensors))
        results = reference.OPERATORS[op](call)
        for tensor, value in zip(tensors, results if isinstance(results, list) else [results], strict=False):
            tensor.shape = value.shape
            assert dtype_of(value) == tensor.dtype
            self.values[self.graph.add_tensor(tensor)] = value
        self.graph.nodes.append(node)
        return node.outputs

    def node(self, op: str, *inputs: str, q: Quantization | None = None, **attributes: Any) -> str:
        return self.nodes(op, *inputs, q=q, **attributes)[0]

    # --- operators with many attributes ---

    def conv(self, x: str, channels: int, kernel: int = 1, *, bias: bool = True, group: int = 1, **more: Any) -> str:
        """Channels last; same padding unless `pads` is given."""
        shape = self.values[x].shape
        spatial = len(shape) - 2
        w = self.random_constant(channels, *[kernel] * spatial, shape[-1] // group, scale=0.3)
        inputs = [x, w, *([self.random_constant(channels)] if bias else [])]
        return self.node("conv", *inputs, **self.conv_attributes(spatial, kernel, group=group) | more)

    @staticmethod
    def conv_attributes(spatial: int, kernel: int, *, group: int = 1) -> dict[str, Any]:
        return {
            "strides": [1] * spatial,
            "dilations": [1] * spatial,
            "pads": [kernel // 2] * 2 * spatial,
            "group": group,
        }

    def conv_first(self, x: str, channels: int, kernel: int = 1, **more: Any) -> str:
        """As import leaves it: channels first outside, a transpose on each side."""
        return self.to_first(self.conv(self.to_last(x), channels, kernel, **more))

    def to_last(self, x: str) -> str:
        return self.node("transpose", x, perm=[0, *range(2, self.values[x].ndim), 1])

    def to_first(self, x: str) -> str:
        rank = self.values[x].ndim
        return self.node("transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])

    def gemm(self, x: str, n: int) -> str:
        return self.node("gemm", x, self.random_constant(n, self.values[x].shape[-1]), self.random_constant(n))

    def clip(self, x: str, low: float, high: float) -> str:
        return self.node("clip", x, clamp_min=float(low), clamp_max=float(high))

    # --- quantisation ---

    def quantize(self, x: str, scale: float, zero_point: int = 0) -> str:
        return self.node("quantize_linear", x, q=quantization(scale, zero_point))

    def dequantize(self, x: str) -> str:
        return self.node("dequantize_linear", x)

    def qdq(self, x: str, zero_point: int = 0, *, scale: float = 0.0) -> str:
        """Quantised to the range of its value and back."""
        scale = scale or float(np.abs(self.values[x]).max()) / (127 - abs(zero_point)) or 1.0
        return self.dequantize(self.quantize(x, scale, zero_point))

    def s8_weights(self, *shape: int, per_channel: bool = True) -> str:
        data = self.random.integers(-127, 128, shape).astype(np.int8)
        scale = self.random.uniform(0.001, 0.01, shape[0] if per_channel else 1)
        return self.dequantize(self.constant(data, quantization(scale, 0, 0 if per_channel else None)))

    def conv_like(self, x: str) -> str:
        """A conv with dequantised weights that keeps the shape of x (channels last)."""
        channels = self.values[x].shape[-1]
        return self.node("conv", x, self.s8_weights(channels, 1, 1, channels), **self.conv_attributes(2, 1))

    def finish(self, *outputs: str) -> Graph:
        self.graph.outputs = list(outputs)
        self.graph.prune()
        verify(self.graph)
        return self.graph


def operators(graph: Graph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


def find(graph: Graph, op: str) -> Node:
    (node,) = (node for node in graph.nodes if node.op == op)
    return node


def apply(graph: Graph, feeds: dict[str, np.ndarray], *passes: Pass, steps: int = 0, tolerance: float = 0.0) -> Graph:
    """Runs passes on a copy and compares its results with the original's; a second run must change nothing.

    f32 results may differ by `tolerance * max |result|`; s8 and s32 results by `steps`.
    """
    before = reference.run(graph, feeds)
    after = clone(graph)
    run_passes(after, passes)
    again = clone(after)
    assert not run_passes(again, passes), f"{[each.name for each in passes]} run twice is not the same as once"
    assert after.inputs == graph.inputs
    assert after.outputs == graph.outputs
    for name, wanted in before.items():
        got = reference.run(after, feeds)[name]
        assert got.shape == wanted.shape
        assert got.dtype == wanted.dtype
        difference = np.abs(got.astype(np.float64) - wanted).max() if got.size else 0
        allowed = tolerance * np.abs(wanted).max() if wanted.dtype == np.float32 else steps
        assert difference <= allowed, f"{name}: differs by {difference}, allowed {allowed}"
    return after


def unchanged(graph: Graph, *passes: Pass) -> bool:
    return not run_passes(clone(graph), passes)
