"""Operators that only give a tensor another shape or order."""

from __future__ import annotations

import math

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.registry import handles
from whit.ir import Dim


@handles("Reshape")
def _reshape(context: Context, operation: Operation) -> str:
    target = context.require_ints(operation.input(1), "shape")
    if operation.integer("allowzero", 0) and 0 in target:
        raise Unsupported("attribute allowzero=1 with a size of 0; tensors without elements are not supported")
    return context.reshape(context.tensor(operation.input(0)), target, context.shape(operation.output))


@handles("Flatten")
def _flatten(context: Context, operation: Operation) -> str:
    value = operation.input(0)
    before = context.shape(value)
    axis = operation.integer("axis", 1)
    axis = axis + len(before) if axis < 0 else axis
    rows, columns = _count(before[:axis]), _count(before[axis:])
    if axis == 1:
        target = [0, -1 if columns is None else columns]
    elif rows is None and columns is None:
        raise Unsupported(f"needs fixed sizes before or after axis {axis} (input_shapes)")
    else:
        target = [-1 if rows is None else rows, -1 if columns is None else columns]
    return context.reshape(context.tensor(value), target, context.shape(operation.output))


def _count(sizes: tuple[Dim, ...]) -> int | None:
    fixed = [size for size in sizes if isinstance(size, int)]
    return math.prod(fixed) if len(fixed) == len(sizes) else None


def _axes(context: Context, operation: Operation, rank: int) -> list[int] | None:
    """Sorted non-negative axes, an attribute until opset 12 and an input since; None if they are not given."""
    if operation.optional(1) is not None:
        axes = context.require_ints(operation.optional(1), "axes")
    elif operation.has("axes"):
        axes = operation.integers("axes")
    else:
        return None
    return sorted(axis % rank for axis in axes)


@handles("Squeeze")
def _squeeze(context: Context, operation: Operation) -> str:
    value = operation.input(0)
    before = context.shape(value)
    axes = _axes(context, operation, len(before))
    if axes is None:
        context.static_shape(value, "when its axes are not given")
        axes = [axis for axis, size in enumerate(before) if size == 1]
    x = context.tensor(value)
    if not axes:
        return x
    return context.move("squeeze", [x], [size for axis, size in enumerate(before) if axis not in axes], axes=axes)


@handles("Unsqueeze")
def _unsqueeze(context: Context, operation: Operation) -> str:
    value = operation.input(0)
    count = context.require_ints(operation.optional(1), "axes") if operation.optional(1) else operation.integers("axes")
    axes = _axes(context, operation, context.rank(value) + len(count)) or []
    shape = list(context.shape(value))
    for axis in axes:
        shape.insert(axis, 1)
    return context.move("unsqueeze", [context.tensor(value)], shape, axes=axes)


@handles("Transpose")
def _transpose(context: Context, operation: Operation) -> str:
    rank = context.rank(operation.input(0))
    return context.transpose(context.tensor(operation.input(0)), operation.integers("perm", range(rank)[::-1]))


@handles("Expand")
def _expand(context: Context, operation: Operation) -> str:
    target = context.require_ints(operation.input(1), "shape")
    return context.move("expand", [context.tensor(operation.input(0))], context.shape(operation.output), shape=target)


_MAX_TILES = 64


@handles("Tile")
def _tile(context: Context, operation: Operation) -> str:
    repeats = context.require_ints(operation.input(1), "repeats")
    if min(repeats, default=1) < 1 or math.prod(repeats) > _MAX_TILES:
        raise Unsupported(f"repeats {repeats}; 1 to {_MAX_TILES} copies are supported")
    x = context.tensor(operation.input(0))
    shape = list(context.shape_of(x))
    for axis, count in enumerate(repeats):
        if count > 1:
            size = shape[axis]
            last = all(later == 1 for later in repeats[axis + 1 :])
            shape[axis] = size * count if isinstance(size, int) else f"{size} * {count}"
            x = context.move("concat", [x] * count, context.shape(operation.output) if last else shape, axis=axis)
    return x


@handles("DepthToSpace")
def _depth_to_space(context: Context, operation: Operation) -> str:
    x = context.channels_last(context.tensor(operation.input(0)))
    y = context.move(
        "depth_to_space",
        [x],
        context.shape_channels_last(operation.output),
        blocksize=operation.integer("blocksize"),
        mode=operation.string("mode", "DCR"),
    )
    return context.channels_first(y)


@handles("SpaceToDepth")
def _space_to_depth(context: Context, operation: Operation) -> str:
    block = operation.integer("blocksize")
    batch, *rest = context.shape(operation.input(0))
    fixed = [size for size in rest if isinstance(size, int)]
    if len(fixed) != 3:
        raise Unsupported("needs fixed sizes of channels, height and width (input_shapes)")
    channels, height, width = fixed
    split = [channels, height // block, block, width // block, block]
    x = context.reshape(context.tensor(operation.input(0)), [0, *split], [batch, *split])
    x = context.transpose(x, [0, 3, 5, 1, 2, 4])
    merged = [channels * block * block, height // block, width // block]
    return context.reshape(x, [0, *merged], [batch, *merged])
