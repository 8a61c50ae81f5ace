"""A small ONNX classifier with the operators that mobile networks have."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def small_classifier(batch: int | str = 1, size: int | str = 16, seed: int = 0) -> onnx.ModelProto:
    """image [batch, 3, size, size] -> logits [batch, 10]."""
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(name: str, *shape: int, scale: float) -> str:
        weights.append(numpy_helper.from_array(rng.normal(0, scale, shape).astype(np.float32), name))
        return name

    def node(op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def conv(x: str, name: str, out: int, into: int, kernel: int, **attributes: Any) -> str:
        scale = (2 / (into * kernel * kernel)) ** 0.5
        inputs = [
            x,
            constant(f"{name}_w", out, into, kernel, kernel, scale=scale),
            constant(f"{name}_b", out, scale=0.1),
        ]
        return node("Conv", inputs, name, pads=[kernel // 2] * 4, **attributes)

    weights.append(numpy_helper.from_array(np.float32(0), "zero"))
    weights.append(numpy_helper.from_array(np.float32(6), "six"))
    x = node("Clip", [conv("image", "stem", 16, 3, 3, strides=[2, 2]), "zero", "six"], "stem_relu6")
    y = node("Clip", [conv(x, "depthwise", 16, 1, 3, group=16), "zero", "six"], "depthwise_relu6")
    y = node("Add", [conv(y, "project", 16, 16, 1), x], "residual")
    y = node("Relu", [conv(y, "head", 32, 16, 1)], "head_relu")
    y = node("Flatten", [node("GlobalAveragePool", [y], "pooled")], "flat", axis=1)
    inputs = [y, constant("classifier_w", 10, 32, scale=0.3), constant("classifier_b", 10, scale=0.1)]
    node("Gemm", inputs, "logits", transB=1)
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 10])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def images(count: int = 12, size: int = 16, seed: int = 1) -> np.ndarray:
    """f32 [count, 3, size, size]"""
    return np.random.default_rng(seed).normal(size=(count, 3, size, size)).astype(np.float32)
