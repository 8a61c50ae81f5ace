"""Writes quantised operators (QLinearConv, QLinearAdd, ...) out as DequantizeLinear -> operator -> QuantizeLinear.

That is what they mean; whit's optimiser turns each such group into one s8 operator again. Nodes whose scales are not
constants stay, and their handler says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.registry import MICROSOFT, handles

__all__ = ["expand_qoperators"]


class _Rewrite:
    """The nodes that replace one node."""

    def __init__(self, node: ir.Node) -> None:
        self.node = node
        self.nodes: list[ir.Node] = []
        self.result: ir.Value | None = None

    def input(self, index: int) -> ir.Value | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def add(self, op_type: str, inputs: list[ir.Value | None], **attributes: Any) -> ir.Value:
        while inputs and inputs[-1] is None:
            inputs.pop()
        given = {name: value for name, value in attributes.items() if value is not None}
        new = ir.node(op_type, inputs, given, name=f"{self.node.name}/{op_type}_{len(self.nodes)}")
        new.outputs[0].name = f"{self.node.outputs[0].name}/{op_type}_{len(self.nodes)}"
        self.nodes.append(new)
        return new.outputs[0]

    def constant(self, array: np.ndarray) -> ir.Value:
        return self.add("Constant", [], value=ir.tensor(array))

    def dequantize(self, index: int, axis: int | None = None) -> ir.Value:
        """Inputs index, index + 1, index + 2 are a tensor, its scale and its zero point."""
        x, scale, zero_point = (self.input(index + offset) for offset in range(3))
        per_tensor = scale is None or scale.const_value is None or scale.const_value.size == 1
        return self.add("DequantizeLinear", [x, scale, zero_point], axis=None if per_tensor else axis)

    def dequantize_bias(self, index: int, lhs: int, rhs: int, alpha: float = 1.0) -> ir.Value | None:
        """An s32 bias whose scale is the product of the scales at inputs `lhs` and `rhs`."""
        bias = self.input(index)
        if bias is None:
            return None
        scales = [np.asarray(_value(self.input(place)), np.float32).reshape(-1) for place in (lhs, rhs)]
        scale = (np.float32(alpha) * scales[0] * scales[1]).astype(np.float32)
        if scale.size == 1:
            return self.add("DequantizeLinear", [bias, self.constant(scale.reshape(()))])
        zero_point = self.constant(np.zeros(scale.shape, np.int32))
        return self.add("DequantizeLinear", [bias, self.constant(scale), zero_point], axis=0)

    def quantize(self, x: ir.Value, scale: int) -> None:
        """The result: x with the scale and zero point at inputs `scale`, `scale` + 1."""
        self.result = self.add("QuantizeLinear", [x, self.input(scale), self.input(scale + 1)])

    def attributes(self, *dropped: str) -> dict[str, Any]:
        return {name: value for name, value in self.node.attributes.items() if name not in dropped}

    def attribute(self, name: str, default: Any) -> Any:
        found = self.node.attributes.get(name)
        return default if found is None else found.value


def _value(value: ir.Value | None) -> np.ndarray:
    assert value is not None
    assert value.const_value is not None
    array: np.ndarray = value.const_value.numpy()
    return array


def _conv(rewrite: _Rewrite) -> None:
    x, w = rewrite.dequantize(0), rewrite.dequantize(3, axis=0)
    bias = rewrite.dequantize_bias(8, lhs=1, rhs=4)
    rewrite.quantize(rewrite.add("Conv", [x, w, bias], **rewrite.attributes()), 6)


def _mat_mul(rewrite: _Rewrite) -> None:
    a, b = rewrite.dequantize(0, axis=0), rewrite.dequantize(3, axis=1)
    rewrite.quantize(rewrite.add("MatMul", [a, b]), 6)


def _gemm(rewrite: _Rewrite) -> None:
    a = rewrite.dequantize(0)
    b = rewrite.dequantize(3, axis=0 if rewrite.attribute("transB", 0) else 1)
    bias = rewrite.dequantize_bias(6, lhs=1, rhs=4, alpha=rewrite.attribute("alpha", 1.0))
    y = rewrite.add("Gemm", [a, b, bias], **rewrite.attributes())
    if rewrite.input(7) is None:
        rewrite.result = y
    else:
        rewrite.quantize(y, 7)


def _binary(op_type: str) -> Callable[[_Rewrite], None]:
    def expand(rewrite: _Rewrite) -> None:
        rewrite.quantize(rewrite.add(op_type, [rewrite.dequantize(0), rewrite.dequantize(3)]), 6)

    return expand


def _unary(op_type: str, *dropped: str) -> Callable[[_Rewrite], None]:
    def expand(rewrite: _Rewrite) -> None:
        rewrite.quantize(rewrite.add(op_type, [rewrite.dequantize(0)], **rewrite.attributes(*dropped)), 3)

    return expand


def _concat(rewrite: _Rewrite) -> None:
    parts: list[ir.Value | None] = [rewrite.dequantize(index) for index in range(2, len(rewrite.node.inputs), 3)]
    rewrite.quantize(rewrite.add("Concat", parts, **rewrite.attributes()), 0)


_EXPANSIONS: dict[tuple[str, str], Callable[[_Rewrite], None]] = {
    ("", "QLinearConv"): _conv,
    ("", "QLinearMatMul"): _mat_mul,
    (MICROSOFT, "QGemm"): _gemm,
    (MICROSOFT, "QLinearAdd"): _binary("Add"),
    (MICROSOFT, "QLinearMul"): _binary("Mul"),
    (MICROSOFT, "QLinearAveragePool"): _unary("AveragePool", "channels_last"),
    (MICROSOFT, "QLinearGlobalAveragePool"): _unary("GlobalAveragePool", "channels_last"),
    (MICROSOFT, "QLinearLeakyRelu"): _unary("LeakyRelu"),
    (MICROSOFT, "QLinearSigmoid"): _unary("Sigmoid"),
    (MICROSOFT, "QLinearSoftmax"): _unary("Softmax", "opset"),
    (MICROSOFT, "QLinearConcat"): _concat,
}

#: Inputs that are scales (and so must be constants); every third from `start` for the others.
_SCALES = {"QLinearConv": (1, 4, 6), "QLinearMatMul": (1, 4, 6), "QGemm": (1, 4, 7)}


def expand_qoperators(model: ir.Model) -> None:
    """Replaces every quantised operator of `model` that can be written out; constants must be initializers."""
    for node in list(model.graph):
        expansion = _EXPANSIONS.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
        if expansion is None or _reason(node):
            continue
        rewrite = _Rewrite(node)
        expansion(rewrite)
        result, old = rewrite.result, node.outputs[0]
        assert result is not None
        name = old.name
        ir.convenience.replace_nodes_and_values(model.graph, node, [node], rewrite.nodes, [old], [result])
        result.name = name


def _reason(node: ir.Node) -> str:
    """Why a quantised operator cannot be written out; '' if it can."""
    for index, value in enumerate(node.inputs):
        is_scale = index in _SCALES.get(node.op_type, ())
        if is_scale and value is not None and value.const_value is None:
            return f"its scale '{value.name}' is computed; scales must be constants"
    channels_last = node.attributes.get("channels_last")
    if channels_last is not None and channels_last.as_int():
        return "channels_last=1 is not supported; use the model before onnxruntime's layout optimisation"
    if node.op_type == "QLinearSoftmax":
        meant, opset = node.attributes["opset"].as_int(), node.graph.opset_imports.get("", 0)
        if (meant < 13) != (opset < 13):
            return f"it follows opset {meant} in a model of opset {opset}"
    return ""


@handles("QLinearConv", "QLinearMatMul")
@handles(*(op_type for domain, op_type in _EXPANSIONS if domain == MICROSOFT), domain=MICROSOFT)
def _not_expanded(_: Context, operation: Operation) -> str:
    raise Unsupported(_reason(operation.node) or "its scales must be constants")
