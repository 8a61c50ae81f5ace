"""DequantizeLinear with blocks: weights stay s8 with a scale for every 32 where whit's files can say it, else f32."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx_check import check, model, node, normal, ops, run_onnx

import whit
from whit.ir import Graph
from whit.optimize import optimize

DTYPES = {"s4": ml_dtypes.int4, "s8": np.int8}


def weights(k: int, n: int, dtype: str, axis: int, block: int = 32) -> dict[str, np.ndarray]:
    """w and its scales s, of a matrix [k, n], or [n, k] for axis 1, with blocks along k."""
    random = np.random.default_rng(k + n)
    low, high = (-8, 8) if dtype == "s4" else (-127, 128)
    values, scales = random.integers(low, high, (k, n)), 2.0 ** random.uniform(-9, 1, (-(-k // block), n))
    if axis:
        values, scales = values.T, scales.T
    return {"w": values.astype(np.int8).astype(DTYPES[dtype]), "s": scales.astype(np.float16).astype(np.float32)}


def grouped(graph: Graph) -> list[str]:
    return [
        name for name, tensor in graph.tensors.items() if tensor.quantization is not None and tensor.quantization.group
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("k", "n"), [(64, 5), (45, 40), (7, 3), (1, 1), (33, 1)])
@pytest.mark.parametrize("kind", ["mat_mul", "gemm", "transposed"])
def test_products_keep_their_blocks(kind: str, k: int, n: int, dtype: str) -> None:
    axis = 0 if kind == "mat_mul" else 1
    made = [node("DequantizeLinear", "w s", "f", axis=axis - (2 if k == 45 else 0), block_size=32)]
    if kind == "gemm":
        made += [node("Gemm", "x f b", transB=1)]
    else:
        made += [node("Transpose", "f", "t", perm=[1, 0])] if axis else []
        made += [node("MatMul", "x t" if axis else "x f")]
    constants = weights(k, n, dtype, axis) | ({"b": normal(n)} if kind == "gemm" else {})
    graph = optimize(check(made, {"x": normal(3, k)}, constants, opset=21))
    assert ops(graph) == ["gemm"]
    (name,) = grouped(graph)
    tensor = graph.tensors[name]
    assert graph.nodes[0].inputs[1] == name
    assert tensor.shape == (n, k)
    assert tensor.quantization is not None
    wanted = constants["s"] if axis else constants["s"].T
    np.testing.assert_array_equal(tensor.quantization.scale, wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"block_size": 16},
        {"s": lambda s: s * np.float32(1.001)},  # not of f16
        {"z": np.int8(3)},
    ],
    ids=["block", "scale", "zero point"],
)
def test_others_become_f32(change: dict) -> None:
    block = change.get("block_size", 32)
    constants = weights(64, 5, "s8", 0, block)
    constants["s"] = change.get("s", lambda s: s)(constants["s"])
    constants["z"] = np.full(constants["s"].shape, change.get("z", 0), np.int8)
    made = [node("DequantizeLinear", "w s z", "f", axis=0, block_size=block), node("MatMul", "x f")]
    graph = optimize(check(made, {"x": normal(3, 64)}, constants, opset=21))
    assert ops(graph) == ["gemm"]
    assert not grouped(graph)


def test_blocks_along_the_other_axis_and_elsewhere_become_f32() -> None:
    made = [
        node("DequantizeLinear", "w s", "f", axis=0, block_size=32),
        node("MatMul", "x f", "a"),  # sums run along the other axis
        node("Add", "a f"),
    ]
    constants = {key: array.T.copy() for key, array in weights(40, 40, "s8", 0).items()}
    made[0].attribute[0].i = 1
    graph = optimize(check(made, {"x": normal(40, 40)}, constants, opset=21))
    assert not grouped(graph)


def test_4_bit_blocks_run_in_4_bits() -> None:
    constants = weights(100, 30, "s4", 0) | {"b": normal(30)}
    made = [
        node("DequantizeLinear", "w s", "f", axis=0, block_size=32),
        node("MatMul", "x f", "m"),
        node("Add", "m b"),
    ]
    feeds = {"x": normal(4, 100)}
    proto = model(made, feeds, constants, opset=21)
    wanted = run_onnx(proto, feeds)["y"]
    exact = whit.compress(proto, None, "f32").file
    assert exact is not None
    with whit.load(exact) as runner:
        np.testing.assert_allclose(runner.run(feeds)["y"], wanted, rtol=1e-4, atol=1e-4)
    recipe = {"steps": [{"kind": "quantize", "activations": "dynamic"}]}
    rounded = whit.compress(proto, None, recipe).file
    assert rounded is not None
    with whit.load(rounded) as runner:
        assert "w4f32_grouped" in runner.kernels()[0]["kernel"]
        got = runner.run(feeds)["y"]
        assert np.square(got - wanted).mean() < 1e-3 * np.square(wanted).mean()
