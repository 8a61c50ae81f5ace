"""Models for the tests of the runtime."""

from __future__ import annotations

import numpy as np
from engine_graphs import EngineBuilder

from whit.format import write
from whit.ir import Graph


def small() -> tuple[Graph, dict[str, np.ndarray]]:
    """Two inputs, two outputs, a few nodes: x [2, 3], y [3] -> sum, scaled."""
    b = EngineBuilder(1)
    x, y = b.input("x", 2, 3), b.input("y", 3)
    total = b.node("add", x, y)
    return b.finish(total, b.node("mul", total, b.random_constant(3))), b.feeds


def convnet(size: int = 12, channels: int = 8) -> tuple[Graph, dict[str, np.ndarray]]:
    """image [n, h, w, 3] -> scores [n, 5]; batch, height and width are known at run time alone."""
    b = EngineBuilder(2)
    x = b.input("image", 1, size, size, 3)
    x = b.clip(b.conv(x, channels, 3), 0, 6)
    depthwise = b.conv(x, channels, 3, group=channels)
    x = b.node("hard_swish", b.node("add", depthwise, x))
    x = b.node("max_pool", x, kernel_shape=[2, 2], strides=[2, 2], dilations=[1, 1], pads=[0, 0, 0, 0], ceil_mode=1)
    x = b.conv(x, 2 * channels, 1)
    scores = b.gemm(b.node("reduce_mean", x, axes=[1, 2], keepdims=0), 5)
    graph = b.finish(b.node("softmax", scores, axis=1))
    sizes = {1: "height", 2: "width"}
    for name, tensor in graph.tensors.items():
        if tensor.data is None:
            spatial = sizes if len(tensor.shape) == 4 else {}
            names = {
                0: "batch",
                **{axis: size if name == "image" else f"{size}_{name}" for axis, size in spatial.items()},
            }
            tensor.shape = tuple(names.get(axis, size) for axis, size in enumerate(tensor.shape))
    return graph, b.feeds


def image(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, height, width, 3)).astype(np.float32)


def heavy() -> tuple[bytes, dict[str, np.ndarray]]:
    """A file whose run takes a fifth of a second or more on one thread."""
    b = EngineBuilder(3)
    x = b.input("x", 1, 2, 2, 64)
    graph = b.finish(b.conv(b.conv(b.conv(x, 64, 5), 64, 5), 64, 5))
    for tensor in graph.tensors.values():
        if tensor.data is None:
            tensor.shape = (1, 160, 160, 64)
    return write(graph), {"x": np.ones((1, 160, 160, 64), np.float32)}
