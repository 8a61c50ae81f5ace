"""Matrix products."""

from __future__ import annotations

import numpy as np

from whit.importers.onnx.context import Context, Operation, Unsupported, Weight
from whit.importers.onnx.registry import handles
from whit.ir import Quantization


def _identity(w: np.ndarray) -> np.ndarray:
    return w


def _transposed(w: np.ndarray) -> np.ndarray:
    return w.T


@handles("MatMul")
def _mat_mul(context: Context, operation: Operation) -> str:
    a_value, b_value = operation.input(0), operation.input(1)
    shape = context.shape(operation.output)
    weight = context.weight(b_value)
    a = context.f32(a_value)
    if weight is not None and weight.data.ndim == 2:
        w = context.add_weight(b_value, weight, "transposed", _transposed, axis=1)
        return context.emit("gemm", [a, w], shape)
    if context.rank(a_value) >= 2 and context.rank(b_value) >= 2:
        return context.emit("mat_mul", [a, context.f32(b_value)], shape)
    # numpy's rule for vectors: a row in front, a column behind, dropped from the result.
    b = context.f32(b_value)
    dropped = []
    full = list(shape)
    if context.rank(b_value) == 1:
        b = context.move("unsqueeze", [b], [*context.shape_of(b), 1], axes=[1])
        full.append(1)
        dropped.append(len(full) - 1)
    if context.rank(a_value) == 1:
        a = context.move("unsqueeze", [a], [1, *context.shape_of(a)], axes=[0])
        full.insert(len(full) - 1, 1)
        dropped = [len(full) - 2, *([len(full) - 1] if dropped else [])]
    y = context.emit("mat_mul", [a, b], full)
    return context.move("squeeze", [y], shape, axes=dropped)


@handles("Gemm")
def _gemm(context: Context, operation: Operation) -> str:
    alpha, beta = operation.number("alpha", 1.0), operation.number("beta", 1.0)
    if context.rank(operation.input(0)) != 2 or context.rank(operation.input(1)) != 2:
        raise Unsupported("its operands must have 2 dimensions")
    a = context.f32(operation.input(0))
    if operation.integer("transA", 0):
        a = context.transpose(a, [1, 0])
    shape = context.shape(operation.output)
    transposed = bool(operation.integer("transB", 0))
    value = operation.input(1)
    weight = context.weight(value)
    if weight is None:
        b = context.f32(value)
        if transposed:
            b = context.transpose(b, [1, 0])
        y = context.emit("mat_mul", [a, b], shape)
        if alpha != 1.0:
            y = context.same("mul", [y, context.scalar(alpha)])
        return _add_c(context, operation, y, beta)
    layout = f"{'rows' if transposed else 'transposed'}{'' if alpha == 1.0 else f' * {alpha!r}'}"
    w = context.add_weight(
        value, _scaled(weight, alpha), layout, _identity if transposed else _transposed, axis=0 if transposed else 1
    )
    bias = _bias(context, operation, weight.data.shape[0 if transposed else 1], beta)
    y = context.emit("gemm", [a, w] if bias is None else [a, w, bias], shape)
    return y if bias is not None else _add_c(context, operation, y, beta)


def _scaled(weight: Weight, factor: float) -> Weight:
    """Alpha times a weight: in its scales where it is quantised."""
    if factor == 1.0:
        return weight
    quantization = weight.quantization
    if quantization is not None and factor > 0:
        scale = (quantization.scale * np.float32(factor)).astype(np.float32)
        return Weight(weight.data, Quantization(scale, quantization.zero_point, quantization.axis))
    return Weight((weight.real() * np.float32(factor)).astype(np.float32))


def _bias(context: Context, operation: Operation, count: int, beta: float) -> str | None:
    """C as a bias [n]; None if it is absent, computed, or differs from row to row."""
    value = operation.optional(2)
    if value is None or any(size != 1 for size in context.shape(value)[:-1]):
        return None
    if beta == 1.0:
        return context.add_bias(value, count)
    weight = context.weight(value)
    if weight is None:
        return None
    data = (weight.real() * np.float32(beta)).astype(np.float32)
    return context.add_constant("bias", np.broadcast_to(data.reshape(-1), (count,)))


def _add_c(context: Context, operation: Operation, y: str, beta: float) -> str:
    value = operation.optional(2)
    if value is None or beta == 0.0:
        return y
    c = context.f32(value)
    if beta != 1.0:
        c = context.same("mul", [c, context.scalar(beta)])
    return context.same("add", [y, c])
