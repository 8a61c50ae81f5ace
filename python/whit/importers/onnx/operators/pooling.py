"""Pooling over windows and over whole images."""

from __future__ import annotations

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.operators.conv import same_pads, spatial_rank
from whit.importers.onnx.registry import handles


@handles("MaxPool")
def _max_pool(context: Context, operation: Operation) -> str:
    operation.refuse_output(1, "indices")
    dilations = operation.integers("dilations", [1] * spatial_rank(context, operation))
    return _pool(context, operation, "max_pool", dilations, dilations=dilations)


@handles("AveragePool")
def _average_pool(context: Context, operation: Operation) -> str:
    dilations = operation.integers("dilations", [1] * spatial_rank(context, operation))
    if any(dilation != 1 for dilation in dilations):
        raise Unsupported(f"attribute dilations={dilations}; only 1 is supported")
    context.f32(operation.input(0))
    return _pool(
        context, operation, "average_pool", dilations, count_include_pad=operation.integer("count_include_pad", 0)
    )


def _pool(context: Context, operation: Operation, op: str, window: list[int], **attributes: int | list[int]) -> str:
    kernel = operation.integers("kernel_shape")
    strides = operation.integers("strides", [1] * len(kernel))
    pads = same_pads(operation, context.shape(operation.input(0))[2:], kernel, strides, window)
    x = context.channels_last(context.tensor(operation.input(0)))
    y = context.move(
        op,
        [x],
        context.shape_channels_last(operation.output),
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        ceil_mode=operation.integer("ceil_mode", 0),
        **attributes,
    )
    return context.channels_first(y)


@handles("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(context: Context, operation: Operation) -> str:
    op = "reduce_mean" if operation.op_type == "GlobalAveragePool" else "reduce_max"
    spatial = context.rank(operation.input(0)) - 2
    if spatial < 1:
        raise Unsupported("its input has no spatial axes")
    x = context.channels_last(context.f32(operation.input(0)))
    shape = context.shape_of(x)
    pooled = [shape[0], *[1] * spatial, shape[-1]]
    return context.channels_first(context.emit(op, [x], pooled, axes=list(range(1, 1 + spatial)), keepdims=1))
