from __future__ import annotations

import numpy as np
import pytest
from onnx_check import OPSETS, check, model, node, normal, ops

from whit.errors import UnsupportedOperatorError
from whit.importers.onnx import import_onnx


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [2, 3], "auto_pad": "VALID"},
        {"kernel_shape": [2, 2], "dilations": [2, 3]},
    ],
)
def test_max_pool(attributes: dict[str, object], opset: int) -> None:
    graph = check(node("MaxPool", "x", **attributes), {"x": normal(2, 3, 9, 10)}, opset=opset)
    assert ops(graph) == ["transpose", "max_pool", "transpose"]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ],
)
def test_average_pool(attributes: dict[str, object], include: int, opset: int) -> None:
    check(node("AveragePool", "x", count_include_pad=include, **attributes), {"x": normal(2, 3, 9, 10)}, opset=opset)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_pool_1d(op_type: str) -> None:
    check(node(op_type, "x", kernel_shape=[3], strides=[2]), {"x": normal(2, 3, 9)})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 5)])
def test_global_pool(op_type: str, shape: tuple[int, ...], opset: int) -> None:
    graph = check(node(op_type, "x"), {"x": normal(*shape)}, opset=opset)
    assert ops(graph)[1] == ("reduce_mean" if op_type == "GlobalAveragePool" else "reduce_max")


def test_max_pool_of_integers() -> None:
    x = np.random.default_rng(1).integers(-128, 128, (1, 2, 6, 6)).astype(np.int8)
    graph = check(node("MaxPool", "x", kernel_shape=[2, 2]), {"x": x}, outputs={"y": np.int8})
    assert graph.tensors["y"].dtype == "s8"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (node("LpPool", "x", kernel_shape=[2, 2]), "no such operator"),
        (node("AveragePool", "x", kernel_shape=[2, 2], dilations=[2, 2]), "dilations"),
        (node("MaxPool", "x", "y i", kernel_shape=[2, 2]), "indices"),
    ],
)
def test_refused(made: object, reason: str) -> None:
    outputs = {"y": np.float32, "i": np.int64} if len(made.output) == 2 else None
    proto = model(made, {"x": normal(1, 2, 6, 6)}, opset=19, outputs=outputs)
    with pytest.raises(UnsupportedOperatorError, match=reason):
        import_onnx(proto)
