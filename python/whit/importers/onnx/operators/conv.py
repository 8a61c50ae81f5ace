"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whit.importers.onnx.context import Context, Operation, Unsupported, Weight
from whit.importers.onnx.registry import handles
from whit.ir import Dim

__all__ = ["same_pads", "spatial_rank"]


def spatial_rank(context: Context, operation: Operation) -> int:
    """Spatial axes of input 0; Unsupported unless one or two."""
    rank = context.rank(operation.input(0))
    if rank not in (3, 4):
        raise Unsupported(f"its input has {rank} dimensions; 3 ([N, C, L]) and 4 ([N, C, H, W]) are supported")
    return rank - 2


def same_pads(
    operation: Operation,
    sizes: Sequence[Dim],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[int]:
    """Explicit pads (begins, then ends) of a sliding window over spatial `sizes`, whatever `auto_pad` says."""
    mode = operation.string("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = operation.integers("pads", [0] * (2 * len(kernel)))
        if min(pads) < 0:
            raise Unsupported(f"attribute pads={pads}: negative pads are not supported; use Slice")
        return pads
    if mode == "VALID":
        return [0] * (2 * len(kernel))
    begins, ends = [], []
    for size, extent, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        window = dilation * (extent - 1) + 1
        if isinstance(size, str) and stride != 1:
            raise Unsupported(f"auto_pad={mode} with stride {stride} needs a fixed size, not '{size}' (input_shapes)")
        total = window - 1 if isinstance(size, str) else max(0, (-(-size // stride) - 1) * stride + window - size)
        less, more = total // 2, total - total // 2
        begins.append(more if mode == "SAME_LOWER" else less)
        ends.append(less if mode == "SAME_LOWER" else more)
    return begins + ends


def _weight(context: Context, operation: Operation) -> Weight:
    weight = context.weight(operation.input(1))
    if weight is None:
        raise Unsupported(f"its weight '{operation.input(1).name}' is computed at run time; it must be a constant")
    return weight


def _with_bias(context: Context, operation: Operation, inputs: list[str], shape: list[Dim]) -> list[str]:
    """Adds a constant bias to the inputs; a computed one becomes an add (in `_finish`)."""
    bias = operation.optional(2)
    name = None if bias is None else context.add_bias(bias, shape[-1] if isinstance(shape[-1], int) else 0)
    return [*inputs, name] if name is not None else inputs


def _finish(context: Context, operation: Operation, y: str, bias_done: bool) -> str:
    bias = operation.optional(2)
    if bias is not None and not bias_done:
        y = context.same("add", [y, context.f32(bias)])
    return context.channels_first(y)


@handles("Conv")
def _conv(context: Context, operation: Operation) -> str:
    spatial = spatial_rank(context, operation)
    weight = _weight(context, operation)
    kernel = list(weight.data.shape[2:])
    strides = operation.integers("strides", [1] * spatial)
    dilations = operation.integers("dilations", [1] * spatial)
    group = operation.integer("group", 1)
    sizes = context.shape(operation.input(0))[2:]
    x = context.channels_last(context.f32(operation.input(0)))
    perm = [0, *range(2, 2 + spatial), 1]
    w = context.add_weight(operation.input(1), weight, "conv", lambda w: w.transpose(perm), axis=0)
    shape = context.shape_channels_last(operation.output)
    shape[-1] = weight.data.shape[0]
    inputs = _with_bias(context, operation, [x, w], shape)
    pads = same_pads(operation, sizes, kernel, strides, dilations)
    y = context.emit("conv", inputs, shape, strides=strides, dilations=dilations, pads=pads, group=group)
    return _finish(context, operation, y, bias_done=len(inputs) == 3)


@handles("ConvTranspose")
def _conv_transpose(context: Context, operation: Operation) -> str:
    spatial = spatial_rank(context, operation)
    weight = _weight(context, operation)
    group = operation.integer("group", 1)
    in_channels, out_per_group, *kernel = weight.data.shape
    strides = operation.integers("strides", [1] * spatial)
    dilations = operation.integers("dilations", [1] * spatial)
    pads, output_padding = _transpose_pads(context, operation, kernel, strides, dilations)
    x = context.channels_last(context.f32(operation.input(0)))

    def arrange(w: np.ndarray) -> np.ndarray:
        grouped = w.reshape(group, in_channels // group, out_per_group, *kernel)
        return grouped.transpose(0, 2, *range(3, 3 + spatial), 1).reshape(
            group * out_per_group, *kernel, in_channels // group
        )

    w = context.add_weight(operation.input(1), weight, f"conv_transpose_{group}", arrange, axis=1)
    shape = context.shape_channels_last(operation.output)
    shape[-1] = group * out_per_group
    inputs = _with_bias(context, operation, [x, w], shape)
    y = context.emit(
        "conv_transpose",
        inputs,
        shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        output_padding=output_padding,
        group=group,
    )
    return _finish(context, operation, y, bias_done=len(inputs) == 3)


def _transpose_pads(
    context: Context, operation: Operation, kernel: list[int], strides: list[int], dilations: list[int]
) -> tuple[list[int], list[int]]:
    """Explicit pads and output padding; an `output_shape` or SAME auto_pad decides the pads."""
    spatial = len(kernel)
    output_padding = operation.integers("output_padding", [0] * spatial)
    mode = operation.string("auto_pad", "NOTSET")
    wanted: Sequence[Dim] = operation.integers("output_shape")
    if not wanted and mode in ("NOTSET", "VALID"):
        pads = operation.integers("pads", [0] * (2 * spatial)) if mode == "NOTSET" else [0] * (2 * spatial)
        if min(pads) < 0:
            raise Unsupported(f"attribute pads={pads}: negative pads are not supported; use Pad")
        return pads, output_padding
    begins, ends = [], []
    for axis, size in enumerate(context.shape(operation.input(0))[2:]):
        window = dilations[axis] * (kernel[axis] - 1) + 1
        if wanted:
            if isinstance(size, str):
                raise Unsupported(f"output_shape needs a fixed input size, not '{size}' (input_shapes)")
            total = strides[axis] * (size - 1) + output_padding[axis] + window - int(wanted[axis])
        else:
            total = output_padding[axis] + window - strides[axis]
        if total < 0:
            # A larger output than the windows cover: the rest is zeros (plus bias) at the end.
            output_padding[axis] -= total
            total = 0
        less, more = total // 2, total - total // 2
        begins.append(less if mode == "SAME_UPPER" else more)
        ends.append(more if mode == "SAME_UPPER" else less)
    return begins + ends, output_padding
