"""Weights of two values: bits in memory where products are looked up, codes of 2 bits elsewhere; the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from builder import quantization
from engine_graphs import EngineBuilder

import whit
from whit import _core
from whit.format import write

LEVELS = _core.cpu()["active"]
LOOK_UP = {"avx2", "neon"}


def weights(b: EngineBuilder, values: tuple[int, int], *shape: int) -> str:
    data = b.random.choice(values, shape).astype(np.int8)
    return b.constant(data, quantization(b.random.uniform(0.002, 0.01, shape[0]), 0, 0))


def check(b: EngineBuilder, y: str, monkeypatch: pytest.MonkeyPatch, *, bits: bool = True) -> None:
    b.graph.outputs = [y]
    data = write(b.graph)
    for level in LEVELS:
        monkeypatch.setenv("WHIT_ISA", level)
        for threads in (1, 2):
            with whit.load(data, threads=threads) as model:
                np.testing.assert_array_equal(np.array(model.run(b.feeds)[y]), b.values[y], strict=True)
                (node,) = model.profile(b.feeds, runs=1).nodes
                assert ("s8w1s32" in node.kernel) == (bits and level in LOOK_UP), (level, node.kernel)


@pytest.mark.parametrize("values", [(-1, 1), (5, 90), (-127, 127)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 70), (3, 300), (40, 256)])
def test_fully_connected(values: tuple[int, int], rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    b = EngineBuilder(rows)
    x = b.input_s8("x", rows, 150)
    w = weights(b, values, columns, 150)
    check(b, b.node_as("gemm", [x, w, b.bias_s32(x, w)], quantization(0.2, -5)), monkeypatch)


@pytest.mark.parametrize(("kernel", "channels", "group"), [(1, 40, 1), (3, 33, 1), (3, 48, 2)])
def test_convolutions(kernel: int, channels: int, group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    b = EngineBuilder(kernel + channels)
    x = b.input_s8("x", 2, 6, 7, channels)
    w = weights(b, (-1, 1), 256 * group, kernel, kernel, channels // group)
    pads = [kernel // 2] * 4
    y = b.node_as("conv", [x, w, b.bias_s32(x, w)], quantization(0.2, -5), strides=[1, 1], dilations=[1, 1], pads=pads,
                  group=group)  # fmt: skip
    check(b, y, monkeypatch)


def test_few_columns_do_not_make_up_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    b = EngineBuilder()
    x = b.input_s8("x", 40, 150)
    w = weights(b, (-1, 1), 64, 150)
    check(b, b.node_as("gemm", [x, w, b.bias_s32(x, w)], quantization(0.2, -5)), monkeypatch, bits=False)


def test_memory_is_that_of_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    level = next((level for level in LEVELS if level in LOOK_UP), None)
    if level is None:
        pytest.skip("nothing here looks products up")
    monkeypatch.setenv("WHIT_ISA", level)
    b = EngineBuilder()
    x = b.input_s8("x", 1, 1024)
    b.graph.outputs = [b.node_as("gemm", [x, weights(b, (-1, 1), 1024, 1024), ""], quantization(0.2, -5))]
    with whit.load(write(b.graph), threads=1) as model:
        model.run(b.feeds)
        assert model.packed_bytes <= 0.13 * 1024 * 1024
