"""One file with layers of f32, s8, 4-bit, ternary, palette, sparse and binary weights: each runs as what it is.

What f32 layers multiply are small integers over powers of two, so that sums are exact and nothing hides behind a bound.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from builder import quantization
from engine_graphs import EngineBuilder

import whit
from whit import _core
from whit.format import write
from whit.ir import Graph
from whit.optimize import optimize

LEVELS = _core.cpu()["active"]
CONV = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
PADDED = {**CONV, "pads": [1, 1, 1, 1]}
CHANNELS = 128
#: What kernels of the layers are called, in their order.
KERNELS = {
    "f32": "f32",
    "s8": "gemm_s8s8",
    "4 bits": "gemm_s8w4",
    "ternary": "gemm_s8w2",
    "palette": "gemm_s8w4",
    "sparse": "spmm_s8",
    "binary": "gemm_b1",
    "binary to f32": "gemm_b1",
    "classifier": "f32",
}
VALUES = {
    "4 bits": np.arange(-8, 8),
    "ternary": np.arange(-1, 2),
    "palette": np.array([-120, -63, -20, -5, 1, 9, 41, 127]),
}


def eighths(b: EngineBuilder, *shape: int) -> str:
    return b.constant((b.random.integers(-16, 17, shape) / 8).astype(np.float32))


def signs(b: EngineBuilder, *shape: int) -> str:
    return b.constant(b.random.choice([-0.5, 0.5], shape).astype(np.float32))


def layer(b: EngineBuilder, x: str, values: np.ndarray) -> str:
    """A 1x1 convolution of s8, near the range of its output."""
    w = b.constant(values.astype(np.int8), quantization(b.random.uniform(0.002, 0.01, CHANNELS), 0, 0))
    scale = 12 * float(values.std()) * 0.006
    return b.node_as("conv", [x, w, b.bias_s32(x, w)], quantization(scale * 0.1, -4), **CONV)


def mixed() -> tuple[Graph, EngineBuilder, str]:
    b = EngineBuilder(7)
    x = b.feed("x", (b.random.integers(-16, 17, (1, 14, 14, 8)) / 8).astype(np.float32))
    x = b.node("conv", x, eighths(b, CHANNELS, 3, 3, 8), eighths(b, CHANNELS), **PADDED)
    x = b.node_as("quantize_linear", [x], quantization(0.25, 3))
    x = layer(b, x, b.any_s8(CHANNELS, 1, 1, CHANNELS, low=-127))
    for values in VALUES.values():
        x = layer(b, x, b.random.choice(values, (CHANNELS, 1, 1, CHANNELS)))
    blocks = b.random.random((CHANNELS, 1, 1, CHANNELS // 4)) < 0.05
    x = layer(b, x, b.any_s8(CHANNELS, 1, 1, CHANNELS, low=-127) * np.repeat(blocks, 4, axis=3))
    x = b.node_as("dequantize_linear", [x], None)
    x = b.node("binarize", x)
    x = b.node("conv", x, signs(b, CHANNELS, 3, 3, CHANNELS), eighths(b, CHANNELS), **PADDED)
    x = b.node("binarize", x)
    x = b.node("conv", x, signs(b, 16, 3, 3, CHANNELS), eighths(b, 16), **PADDED)
    x = b.node("reshape", x, shape=[1, -1])
    y = b.node("gemm", x, eighths(b, 10, b.values[x].shape[1]), eighths(b, 10))
    b.graph.outputs = [y]
    return optimize(b.graph), b, y


@pytest.mark.parametrize("level", ["dense", "packed", "coded", "archive"])
def test_every_kind_in_one_file(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, b, y = mixed()
    data = write(graph, level=level)
    for isa, threads in itertools.product(LEVELS, (1, 2)):
        monkeypatch.setenv("WHIT_ISA", isa)
        with whit.load(data, threads=threads) as model:
            np.testing.assert_array_equal(np.array(model.run(b.feeds)[y]), b.values[y], strict=True)
            used = [node.kernel for node in model.profile(b.feeds, runs=1).nodes if node.op in ("conv", "gemm")]
        assert len(used) == len(KERNELS), used
        for (kind, kernel), name in zip(KERNELS.items(), used, strict=True):
            # AMX multiplies s8 so fast that codes and zeros rarely pay.
            assert kernel in name or (isa == "amx" and name.endswith("amx")), (kind, isa, used)
