"""Small networks and data that they can learn within a second."""

from __future__ import annotations

import numpy as np
from builder import Builder

from whit.ir import Graph

CLASSES = 4


def mlp(hidden: int = 32, seed: int = 0) -> Graph:
    """12 numbers to 4 logits, by way of one hidden layer."""
    builder = Builder(seed)
    x = builder.input("x", 1, 12)
    h = builder.node(
        "gemm", x, builder.random_constant(hidden, 12, scale=0.3), builder.random_constant(hidden, scale=0.1),
        clamp_min=0.0, clamp_max=float("inf"),
    )  # fmt: skip
    return builder.finish(builder.node("gemm", h, builder.random_constant(CLASSES, hidden, scale=0.3)))


def cnn(channels: int = 8, seed: int = 0) -> Graph:
    """Images [N, 8, 8, 1] to 4 logits: two convolutions with a residual, a mean, a matrix product."""
    builder = Builder(seed)
    x = builder.input("image", 1, 8, 8, 1)
    relu = {"clamp_min": 0.0, "clamp_max": float("inf")}
    a = builder.conv(x, channels, 3, **relu)
    w = builder.random_constant(channels, 3, 3, channels, scale=0.1)
    b = builder.node("conv", a, w, "", a, **Builder.conv_attributes(2, 3), **relu)
    mean = builder.node("reduce_mean", b, axes=[1, 2], keepdims=0)
    return builder.finish(builder.node("gemm", mean, builder.random_constant(CLASSES, channels, scale=0.3)))


def points(count: int = 512, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """[N, 12] and classes: which of four directions is strongest, bent a little."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((count, 12)).astype(np.float32)
    directions = np.random.default_rng(99).standard_normal((12, CLASSES))
    return x, np.argmax(np.tanh(x @ directions) + 0.3 * (x @ directions), axis=1)


def pictures(count: int = 256, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """[N, 8, 8, 1] and classes: stripes across, stripes down, diagonal ones, none."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    row, column = np.mgrid[:8, :8]
    patterns = np.stack([row % 2, column % 2, (row + column) % 2, np.zeros((8, 8))]) * 2.0
    noise = random.standard_normal((count, 8, 8))
    return (patterns[labels] + 0.5 * noise).astype(np.float32)[..., None], labels
