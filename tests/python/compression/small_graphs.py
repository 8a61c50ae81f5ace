"""Small graphs and a runner for them that needs no engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import reference
from whit.ir import Graph, Node, Tensor

INF = float("inf")
#: Attributes of a product with a ReLU.
RELU = {"clamp_min": 0.0, "clamp_max": INF}


class ReferenceRunner:
    """Runs a graph in numpy."""

    def __init__(self, graph: Graph, observe: Sequence[str] = ()) -> None:
        self.graph, self.outputs = graph, [*graph.outputs, *observe]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return reference.run(self.graph, feeds, self.outputs)


class Builder:
    """Adds nodes one after the other; each returns the name of its output."""

    def __init__(self, seed: int = 0) -> None:
        self.graph, self.rng = Graph("test"), np.random.default_rng(seed)

    def input(self, name: str, *shape: int | str) -> str:
        self.graph.inputs.append(name)
        return self.graph.add_tensor(Tensor(name, "f32", shape))

    def constant(self, name: str, data: Any) -> str:
        return self.graph.add_constant(name, np.asarray(data, np.float32))

    def node(
        self, op: str, inputs: list[str], shape: Sequence[int | str], name: str | None = None, **attributes: Any
    ) -> str:
        name = self.graph.fresh_name(name or op)
        self.graph.add_tensor(Tensor(name, "f32", tuple(shape)))
        self.graph.nodes.append(Node(op, name, inputs, [name], attributes))
        return name

    def shape(self, name: str) -> tuple[Any, ...]:
        shape = self.graph.tensors[name].shape
        assert shape is not None
        return shape

    def conv(
        self, x: str, channels: int, kernel: int = 3, name: str = "conv", residual: str = "", **changes: Any
    ) -> str:
        n, h, w, c = self.shape(x)
        group = changes.get("group", 1)
        pad = kernel // 2
        attributes = {"strides": [1, 1], "dilations": [1, 1], "pads": [pad] * 4, "group": 1} | changes
        weights = self.rng.normal(0, (2 / (kernel * kernel * c / group)) ** 0.5, (channels, kernel, kernel, c // group))
        inputs = [x, self.constant(f"{name}_w", weights), self.constant(f"{name}_b", self.rng.normal(0, 0.1, channels))]
        return self.node("conv", inputs + ([residual] if residual else []), (n, h, w, channels), name, **attributes)

    def gemm(self, x: str, n: int, name: str = "gemm", **attributes: Any) -> str:
        shape = self.shape(x)
        weights = self.rng.normal(0, (1 / shape[-1]) ** 0.5, (n, shape[-1]))
        inputs = [x, self.constant(f"{name}_w", weights), self.constant(f"{name}_b", self.rng.normal(0, 0.1, n))]
        return self.node("gemm", inputs, (*shape[:-1], n), name, **attributes)

    def max_pool(self, x: str, name: str = "pool") -> str:
        """The largest of each 2 x 2 pixels."""
        n, h, w, c = self.shape(x)
        window: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1], "pads": [0] * 4}
        return self.node("max_pool", [x], (n, h // 2, w // 2, c), name, ceil_mode=0, **window)

    def finish(self, *outputs: str) -> Graph:
        self.graph.outputs = list(outputs)
        return self.graph


def small_network() -> Graph:
    """Convolutions with relu6 and a residual, squeeze and excitation, a concat, a pool, a classifier with softmax."""
    b = Builder(3)
    x = b.node("transpose", [b.input("image", 1, 3, 8, 8)], (1, 8, 8, 3), "nhwc", perm=[0, 2, 3, 1])
    a = b.conv(x, 16, name="stem", clamp_min=0.0, clamp_max=6.0)
    d = b.conv(a, 16, name="depthwise", group=16, clamp_min=0.0, clamp_max=6.0)
    r = b.conv(d, 16, 1, name="project", residual=a)
    s = b.node("reduce_mean", [r], (1, 1, 1, 16), "squeeze", axes=[1, 2], keepdims=1)
    s = b.conv(s, 4, 1, name="reduce", **RELU)
    s = b.conv(s, 16, 1, name="expand")
    s = b.node("hard_sigmoid", [s], (1, 1, 1, 16), "gate", alpha=0.2, beta=0.5)
    m = b.node("mul", [r, s], (1, 8, 8, 16), "excite")
    h = b.conv(m, 8, name="swish", activation="hard_swish")
    c = b.node("concat", [m, h], (1, 8, 8, 24), "join", axis=3)
    p = b.max_pool(c)
    g = b.node("reduce_mean", [p], (1, 24), "global", axes=[1, 2], keepdims=0)
    logits = b.gemm(g, 10, "classifier")
    return b.finish(b.node("softmax", [logits], (1, 10), "probabilities", axis=1))


def photos(count: int = 8, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)
