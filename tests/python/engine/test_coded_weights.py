"""Weights of few values: they stay codes of 4 or 2 bits, and give the same bytes as s8 ones."""

from __future__ import annotations

import numpy as np
import pytest
from builder import quantization
from engine_graphs import EngineBuilder

import whit
from whit.format import write

VALUES = {
    "4 bits": (np.arange(-8, 8), "w4"),
    "3 bits": (np.arange(-4, 4), "w4"),
    "ternary": (np.arange(-1, 2), "w2"),
    "2 bits": (np.arange(-2, 2), "w2"),
    "palette": (np.array([-127, -90, -41, -17, -3, 0, 5, 12, 40, 77, 126]), "w4"),
    "palette of 4": (np.array([-127, -1, 0, 100]), "w2"),
}


def check(b: EngineBuilder, y: str, kernel: str) -> None:
    b.graph.outputs = [y]
    for threads in (1, 2):
        with whit.load(write(b.graph), threads=threads) as model:
            found = model.run(b.feeds)
            np.testing.assert_array_equal(np.array(found[y]), b.values[y], strict=True)
            used = [node.kernel for node in model.profile(b.feeds, runs=1).nodes]
        assert any(f"gemm_s8{kernel}s32" in name for name in used), used


def weights(b: EngineBuilder, values: np.ndarray, *shape: int) -> str:
    data = b.random.choice(values, shape).astype(np.int8)
    return b.constant(data, quantization(b.random.uniform(0.002, 0.01, shape[0]), 0, 0))


def result(b: EngineBuilder, op: str, x: str, w: str, **attributes: object) -> str:
    return b.node_as(op, [x, w, b.bias_s32(x, w)], quantization(0.2, -5), **attributes)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 70])
@pytest.mark.parametrize("case", VALUES)
def test_fully_connected(case: str, rows: int) -> None:
    values, kernel = VALUES[case]
    if case.startswith("palette") and rows <= 4:
        pytest.skip("so small a product is faster in s8")
    b = EngineBuilder(rows)
    x = b.input_s8("x", rows, 150)
    check(b, result(b, "gemm", x, weights(b, values, 75, 150)), kernel)


def test_large_palettes_of_one_row() -> None:
    values, kernel = VALUES["palette"]
    b = EngineBuilder()
    x = b.input_s8("x", 1, 1030)
    check(b, result(b, "gemm", x, weights(b, values, 1040, 1030)), kernel)


@pytest.mark.parametrize(("kernel_size", "channels", "group"), [(1, 96, 1), (3, 32, 1), (3, 24, 1), (3, 64, 2)])
@pytest.mark.parametrize("case", VALUES)
def test_convolutions(case: str, kernel_size: int, channels: int, group: int) -> None:
    values, kernel = VALUES[case]
    b = EngineBuilder(kernel_size + channels)
    x = b.input_s8("x", 2, 6, 7, channels)
    w = weights(b, values, 64, kernel_size, kernel_size, channels // group)
    pad = kernel_size // 2
    y = result(b, "conv", x, w, strides=[1, 1], dilations=[1, 1], pads=[pad] * 4, group=group)
    check(b, y, kernel)


def test_other_weights_stay_s8() -> None:
    b = EngineBuilder()
    x = b.input_s8("x", 8, 150)
    b.graph.outputs = [result(b, "gemm", x, b.weights_s8(75, 150))]
    with whit.load(write(b.graph)) as model:
        assert not model.has_coded_weights
        assert all("s8s8s32" in node.kernel for node in model.profile(b.feeds, runs=1).nodes)
