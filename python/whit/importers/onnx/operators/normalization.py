"""Normalisations."""

from __future__ import annotations

import numpy as np

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.registry import handles


@handles("BatchNormalization")
def _batch_normalization(context: Context, operation: Operation) -> str:
    operation.refuse_attribute("training_mode", 0)
    for index, what in ((1, "running mean"), (2, "running variance"), (3, "saved mean"), (4, "saved variance")):
        operation.refuse_output(index, what)
    names = ("scale", "B", "mean", "var")
    parameters = [
        context.require_weight(operation.input(index), name).astype(np.float64)
        for index, name in enumerate(names, start=1)
    ]
    scale, bias, mean, variance = parameters
    factor = scale / np.sqrt(variance + operation.number("epsilon", 1e-5))
    if not np.isfinite(factor).all():
        raise Unsupported("its variance plus epsilon is not positive")
    x = context.f32(operation.input(0))
    spatial = [1] * max(0, context.rank(operation.input(0)) - 2)
    mul = context.add_constant("scale", factor.reshape(-1, *spatial).astype(np.float32))
    add = context.add_constant("bias", (bias - mean * factor).reshape(-1, *spatial).astype(np.float32))
    return context.same("add", [context.same("mul", [x, mul]), add])


@handles("InstanceNormalization")
def _instance_normalization(context: Context, operation: Operation) -> str:
    x = context.f32(operation.input(0))
    shape = context.shape_of(x)
    axes = list(range(2, len(shape)))
    if not axes:
        raise Unsupported("its input has no spatial axes")
    pooled = [*shape[:2], *[1] * len(axes)]
    centred = context.same("sub", [x, context.emit("reduce_mean", [x], pooled, axes=axes, keepdims=1)])
    squares = context.same("mul", [centred, centred])
    variance = context.emit("reduce_mean", [squares], pooled, axes=axes, keepdims=1)
    deviation = context.same(
        "sqrt", [context.same("add", [variance, context.scalar(operation.number("epsilon", 1e-5))])]
    )
    y = context.same("div", [centred, deviation])
    for index, op in ((1, "mul"), (2, "add")):
        parameter = context.require_weight(operation.input(index), "scale and B")
        y = context.same(op, [y, context.add_constant(op, parameter.reshape(-1, *[1] * len(axes)))])
    return y


@handles("LayerNormalization")
def _layer_normalization(context: Context, operation: Operation) -> str:
    operation.refuse_output(1, "mean")
    operation.refuse_output(2, "inverse standard deviation")
    inputs = [context.f32(operation.input(0)), context.f32(operation.input(1))]
    bias = operation.optional(2)
    if bias is not None:
        inputs.append(context.f32(bias))
    axis = operation.integer("axis", -1) % context.rank(operation.input(0))
    epsilon = operation.number("epsilon", 1e-5)
    return context.same("layer_normalization", inputs, axis=axis, epsilon=epsilon)
