"""Weights of few values: they stay codes of 4 or 2 bits, and give the same bytes as s8 ones; or have a scale for 32."""

from __future__ import annotations

import numpy as np
import pytest
from builder import quantization
from engine_graphs import EngineBuilder

import whit
from whit import _core
from whit.format import write
from whit.ir import Node, Quantization, Tensor

LEVELS = _core.cpu()["active"]
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
        assert any(f"gemm_s8{kernel}" in name for name in used), used


def weights(b: EngineBuilder, values: np.ndarray, *shape: int) -> str:
    data = b.random.choice(values, shape).astype(np.int8)
    return b.constant(data, quantization(b.random.uniform(0.002, 0.01, shape[0]), 0, 0))


def result(b: EngineBuilder, op: str, x: str, w: str, **attributes: object) -> str:
    return b.node_as(op, [x, w, b.bias_s32(x, w)], quantization(0.2, -5), **attributes)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 70])
@pytest.mark.parametrize("case", VALUES)
def test_fully_connected(case: str, rows: int) -> None:
    values, kernel = VALUES[case]
    if rows <= 4 and (case.startswith("palette") or "neondot" in LEVELS):
        pytest.skip("so small a product is faster in s8")
    b = EngineBuilder(rows)
    x = b.input_s8("x", rows, 150)
    check(b, result(b, "gemm", x, weights(b, values, 75, 150)), f"{kernel}s32")


def test_large_palettes_of_one_row() -> None:
    values, kernel = VALUES["palette"]
    b = EngineBuilder()
    x = b.input_s8("x", 1, 1030)
    check(b, result(b, "gemm", x, weights(b, values, 1040, 1030)), f"{kernel}s32")


@pytest.mark.parametrize(("kernel_size", "channels", "group"), [(1, 96, 1), (3, 32, 1), (3, 24, 1), (3, 64, 2)])
@pytest.mark.parametrize("case", VALUES)
def test_convolutions(case: str, kernel_size: int, channels: int, group: int) -> None:
    values, kernel = VALUES[case]
    b = EngineBuilder(kernel_size + channels)
    x = b.input_s8("x", 2, 6, 7, channels)
    w = weights(b, values, 64, kernel_size, kernel_size, channels // group)
    pad = kernel_size // 2
    y = result(b, "conv", x, w, strides=[1, 1], dilations=[1, 1], pads=[pad] * 4, group=group)
    check(b, y, f"{kernel}s32")


def test_other_weights_stay_s8() -> None:
    b = EngineBuilder()
    x = b.input_s8("x", 8, 150)
    b.graph.outputs = [result(b, "gemm", x, b.weights_s8(75, 150))]
    with whit.load(write(b.graph)) as model:
        assert not model.has_coded_weights
        assert all("s8s8s32" in node.kernel for node in model.profile(b.feeds, runs=1).nodes)


@pytest.mark.parametrize("rows", [1, 4, 5, 70])
@pytest.mark.parametrize("case", VALUES)
def test_rows_rounded_at_run_time(case: str, rows: int) -> None:
    values, kernel = VALUES[case]
    if rows <= 4 and (case.startswith("palette") or "neondot" in LEVELS):
        pytest.skip("so small a product is faster in s8")
    b = EngineBuilder(rows)
    inputs = [b.input("x", rows, 150), weights(b, values, 75, 150), b.random_constant(75), b.input("r", rows, 75)]
    check(b, b.node("gemm", *inputs, dynamic=1, activation="hard_swish", clamp_max=2.0), f"{kernel}s32")


def grouped(b: EngineBuilder, *shape: int, low: int = -8, high: int = 7) -> str:
    """Weights with a scale for every 32 of a row, small and large ones."""
    data = b.random.integers(low, high + 1, shape).astype(np.int8)
    data.flat[0], data.flat[-1] = low, high
    scale = 2.0 ** b.random.uniform(-12, 4, (data.size // shape[-1], -(-shape[-1] // 32)))
    return b.constant(data, Quantization.by_groups(scale.astype(np.float16), len(shape)))


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize(
    ("rows", "n", "k"), [(1, 1, 1), (1, 75, 31), (3, 64, 32), (5, 33, 45), (13, 75, 161), (2, 9, 1030)]
)
def test_scales_of_groups(rows: int, n: int, k: int, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit what the order of docs/NUMERICS.md gives."""
    monkeypatch.setenv("WHIT_ISA", isa)
    b = EngineBuilder(rows * n * k)
    x = b.input("x", rows, k)
    check(b, b.node("gemm", x, grouped(b, n, k), b.random_constant(n), dynamic=1), "w4f32_grouped")
    finished = [x, grouped(b, n, k), b.random_constant(n), b.input("r", rows, n)]
    check(b, b.node("gemm", *finished, dynamic=1, activation="hard_swish", clamp_min=-1.0), "w4f32_grouped")
    check(b, b.node("gemm", x, grouped(b, n, k), dynamic=1, clamp_max=0.5), "w4f32_grouped")


@pytest.mark.parametrize("isa", LEVELS)
def test_special_rows_with_scales_of_groups(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHIT_ISA", isa)
    b = EngineBuilder()
    rows = b.random.standard_normal((2, 7, 40)).astype(np.float32)
    rows[0, 0] = 0
    rows[0, 1, 7] = np.nan
    rows[0, 2, 3], rows[0, 3, 39] = np.inf, -np.inf
    rows[1, 0] = np.abs(rows[1, 0])
    rows[1, 1] *= 1e30
    y = b.node("gemm", b.feed("x", rows), grouped(b, 11, 40), b.random_constant(11), dynamic=1)
    check(b, y, "w4f32_grouped")


def test_scales_of_groups_in_f32() -> None:
    """Without rounding of rows, and in other operators, weights are exactly w * scale."""
    b = EngineBuilder(3)
    image, rows = b.input("image", 1, 6, 5, 40), b.input("x", 3, 45)
    taps = grouped(b, 7, 3, 3, 40, low=-127, high=127)
    window = {"strides": [1, 1], "dilations": [1, 1], "pads": [1] * 4, "group": 1}
    states = [b.input("sequence", 3, 1, 40), grouped(b, 1, 8, 40), grouped(b, 1, 8, 2)]
    outputs = [
        b.node("conv", image, taps, **window),
        b.node("conv", image, grouped(b, 40, 3, 3, 1), **{**window, "group": 40}),
        b.node("conv_transpose", image, grouped(b, 7, 2, 2, 40), output_padding=[0, 0], **window),
        b.node("gemm", rows, grouped(b, 9, 45, low=-127, high=127)),
        b.nodes("lstm", *states, direction="forward")[0],
    ]
    b.graph.outputs = outputs
    exact = EngineBuilder(3)
    exact.graph, exact.feeds = b.graph, b.feeds
    with whit.load(write(b.graph)) as model:
        found = {name: np.array(value) for name, value in model.run(b.feeds).items()}
    for node in b.graph.nodes:
        for position in (1, 2) if node.op == "lstm" else (1,):
            tensor = b.graph.tensors[node.inputs[position]]
            assert tensor.data is not None
            assert tensor.quantization is not None
            scale = tensor.quantization.spread(tensor.quantization.scale, tensor.data.shape)
            node.inputs[position] = b.graph.add_constant("real", tensor.data * scale)
    with whit.load(write(b.graph)) as model:
        for name, value in model.run(b.feeds).items():
            np.testing.assert_array_equal(value, found[name], strict=True)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("dequantize_linear", {}, "no scale for all, and none by an axis"),
        ("transpose", {"perm": [1, 0]}, "must have the same quantisation"),
        ("reshape", {"shape": [40, 3]}, "must have the same quantisation"),
        ("abs", {}, "needs one scale"),
        ("pad", {"mode": "constant", "pads": [0, 0, 1, 0], "value": 1.0}, "must have the same quantisation|zero point"),
    ],
)
def test_operators_without_weights_refuse_scales_of_groups(op: str, attributes: dict, message: str) -> None:
    b = EngineBuilder()
    w = grouped(b, 3, 40)
    b.graph.nodes.append(Node(op, op, [w], ["y"], attributes))
    dtype = "f32" if op == "dequantize_linear" else "s8"
    b.graph.add_tensor(Tensor("y", dtype, ("a", "b"), quantization(0.1) if op == "abs" else None))
    b.graph.outputs = ["y"]
    with pytest.raises(whit.UnsupportedOperatorError, match=message):
        whit.load(write(b.graph)).run({})


def test_scales_of_groups_want_4_bits_where_rows_are_rounded() -> None:
    b = EngineBuilder()
    b.graph.outputs = [b.node("gemm", b.input("x", 1, 40), grouped(b, 3, 40, high=8), dynamic=1)]
    with pytest.raises(whit.UnsupportedOperatorError, match="go from -8 to 7"):
        whit.load(write(b.graph)).run(b.feeds)


@pytest.mark.parametrize("isa", LEVELS)
def test_memory_of_weights(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of a weight while a layer runs, its scales among them."""
    monkeypatch.setenv("WHIT_ISA", isa)
    n, k = 1024, 1024

    def bytes_of_weight(b: EngineBuilder, y: str) -> float:
        b.graph.outputs = [y]
        with whit.load(write(b.graph)) as model:
            model.run(b.feeds)
            return model.packed_bytes / (n * k)

    b = EngineBuilder()
    assert bytes_of_weight(b, b.node("gemm", b.input("x", 1, k), grouped(b, n, k), dynamic=1)) <= 0.57
    for dynamic in (0, 1):
        b = EngineBuilder()
        x = b.input("x", 1, k) if dynamic else b.input_s8("x", 1, k)
        w = weights(b, np.arange(-8, 8), n, k)
        y = b.node("gemm", x, w, dynamic=1) if dynamic else result(b, "gemm", x, w)
        assert bytes_of_weight(b, y) <= 0.52
