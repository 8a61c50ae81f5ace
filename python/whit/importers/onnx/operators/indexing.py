"""Operators that take parts, join parts, or add borders."""

from __future__ import annotations

import math

from whit.importers.onnx.context import INT32_MAX, Context, Operation, Unsupported
from whit.importers.onnx.registry import handles
from whit.ir import Dim


@handles("Slice")
def _slice(context: Context, operation: Operation) -> str:
    value = operation.input(0)
    starts = context.require_ints(operation.input(1), "starts")
    ends = context.require_ints(operation.input(2), "ends")
    rank = context.rank(value)
    axes, steps = list(range(len(starts))), [1] * len(starts)
    if operation.optional(3) is not None:
        axes = [axis % rank for axis in context.require_ints(operation.optional(3), "axes")]
    if operation.optional(4) is not None:
        steps = context.require_ints(operation.optional(4), "steps")
    shape = context.shape(operation.output)
    if 0 in shape:
        raise Unsupported("its result has no elements")
    x = context.tensor(value)
    return context.move("slice", [x], shape, starts=starts, ends=ends, axes=axes, steps=steps)


@handles("Concat")
def _concat(context: Context, operation: Operation) -> str:
    values = [value for value in operation.node.inputs if value is not None]
    names = [context.tensor(value) for value in values]
    if any(map(context.is_offset, names)):
        names = [name if context.is_offset(name) else context.to_offset(name) for name in names]
    if len(names) == 1:
        return names[0]
    axis = operation.integer("axis") % context.rank(values[0])
    return context.move("concat", names, context.shape(operation.output), axis=axis)


@handles("Split")
def _split(context: Context, operation: Operation) -> list[str]:
    value = operation.input(0)
    axis = operation.integer("axis", 0) % context.rank(value)
    outputs = operation.node.outputs
    if operation.optional(1) is not None:
        sizes = context.require_ints(operation.optional(1), "split")
    elif operation.has("split"):
        sizes = operation.integers("split")
    else:
        size = context.shape(value)[axis]
        part = -(-size // len(outputs)) if isinstance(size, int) else 0
        even = isinstance(size, str) or size % len(outputs) == 0
        sizes = (
            [] if even or isinstance(size, str) else [part] * (len(outputs) - 1) + [size - part * (len(outputs) - 1)]
        )
    shapes = [context.shape(output) for output in outputs]
    if len(outputs) == 1:
        return [context.tensor(value)]
    return context.move_many("split", [context.tensor(value)], shapes, axis=axis, sizes=sizes)


@handles("Gather")
def _gather(context: Context, operation: Operation) -> str:
    value, indices = operation.input(0), operation.input(1)
    if context.dtype(indices) != "s32":
        raise Unsupported(f"its indices are {context.dtype(indices)}")
    axis = operation.integer("axis", 0) % context.rank(value)
    inputs = [context.tensor(value), context.tensor(indices)]
    return context.move("gather", inputs, context.shape(operation.output), axis=axis)


@handles("Pad")
def _pad(context: Context, operation: Operation) -> str:
    value = operation.input(0)
    mode = operation.string("mode", "constant")
    operation.refuse_attribute("mode", "constant", "reflect", "edge")
    rank = context.rank(value)
    given = context.require_ints(operation.input(1), "pads")
    if operation.optional(3) is not None:
        axes = [axis % rank for axis in context.require_ints(operation.optional(3), "axes")]
    else:
        axes = list(range(rank))
    pads = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        pads[axis], pads[rank + axis] = given[place], given[len(axes) + place]
    x = context.tensor(value)
    if min(pads) < 0:
        if mode != "constant":
            raise Unsupported(f"pads {pads}: negative ones are supported in constant mode only")
        x = _crop(context, x, pads)
        pads = [max(0, amount) for amount in pads]
    if not any(pads):
        return x
    fill = _fill(context, operation, x)
    return context.move("pad", [x], context.shape(operation.output), mode=mode, pads=pads, value=fill)


def _fill(context: Context, operation: Operation, x: str) -> float:
    """The real number that a constant pad writes."""
    value = operation.optional(2)
    array = None if value is None else context.require_constant(value, "constant value")
    step = 0.0 if array is None or array.size == 0 else float(array.reshape(-1)[0])
    tensor = context.graph.tensors[x]
    if tensor.dtype == "f32" or operation.string("mode", "constant") != "constant":
        return step
    quantization = tensor.quantization
    if quantization is None:
        if step == 0.0 and not context.is_offset(x):
            return 0.0
        raise Unsupported(f"it pads {tensor.dtype} that is not quantised with {step:g}")
    stored = step - 128 if context.is_offset(x) else step
    return float((stored - int(quantization.zero_point[0])) * float(quantization.scale[0]))


def _crop(context: Context, x: str, pads: list[int]) -> str:
    shape: list[Dim] = list(context.shape_of(x))
    rank = len(shape)
    starts, ends, axes = [], [], []
    for axis in range(rank):
        begin, end = min(0, pads[axis]), min(0, pads[rank + axis])
        if begin or end:
            size = shape[axis]
            shape[axis] = size + begin + end if isinstance(size, int) else f"{size} - {-begin - end}"
            starts.append(-begin)
            ends.append(end or INT32_MAX)
            axes.append(axis)
    return context.move("slice", [x], shape, starts=starts, ends=ends, axes=axes, steps=[1] * len(axes))


@handles("Resize")
def _resize(context: Context, operation: Operation) -> str:
    operation.refuse_attribute("mode", "nearest", "linear")
    operation.refuse_attribute(
        "coordinate_transformation_mode", "asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"
    )
    operation.refuse_attribute("antialias", 0)
    operation.refuse_attribute("keep_aspect_ratio_policy", "stretch")
    value = operation.input(0)
    rank = context.rank(value)
    if rank not in (3, 4):
        raise Unsupported(f"its input has {rank} dimensions; 3 ([N, C, L]) and 4 ([N, C, H, W]) are supported")
    axes = [axis % rank for axis in operation.integers("axes", range(rank))]
    scales, sizes = _scales(context, operation, axes), _sizes(context, operation, axes)
    if not scales and not sizes:
        raise Unsupported("it has neither scales nor sizes")
    shape = context.shape_channels_last(operation.output)
    x = context.channels_last(context.tensor(value))
    y = context.move(
        "resize",
        [x],
        shape,
        mode=operation.string("mode", "nearest"),
        coordinate_transformation_mode=operation.string("coordinate_transformation_mode", "half_pixel"),
        nearest_mode=operation.string("nearest_mode", "round_prefer_floor"),
        scales=scales,
        sizes=sizes,
    )
    return context.channels_first(y)


def _scales(context: Context, operation: Operation, axes: list[int]) -> list[float]:
    """One per spatial axis; empty if sizes are given instead."""
    value = operation.optional(2)
    if value is None:
        return []
    given = [float(scale) for scale in context.require_constant(value, "scales").reshape(-1)]
    if not given:
        return []
    scales = [1.0] * context.rank(operation.input(0))
    for axis, scale in zip(axes, given, strict=True):
        if not (math.isfinite(scale) and scale > 0):
            raise Unsupported(f"its scales are {given}")
        scales[axis] = scale
    if scales[0] != 1 or scales[1] != 1:
        raise Unsupported(f"its scales {given} change batch or channels; only spatial axes are resized")
    return scales[2:]


def _sizes(context: Context, operation: Operation, axes: list[int]) -> list[int]:
    value = operation.optional(3)
    if value is None:
        return []
    given = context.require_ints(value, "sizes")
    shape = context.shape(operation.input(0))
    sizes: list[Dim] = list(shape)
    for axis, size in zip(axes, given, strict=True):
        # Sizes name the batch too; where it is open, the model fixes it to what it was exported with.
        sizes[axis] = shape[axis] if axis < 2 and isinstance(shape[axis], str) else size
    if tuple(sizes[:2]) != shape[:2]:
        raise Unsupported(f"its sizes {given} change batch or channels; only spatial axes are resized")
    fixed = [size for size in sizes[2:] if isinstance(size, int)]
    if len(fixed) != len(shape) - 2:
        raise Unsupported("it needs the sizes of all spatial axes")
    return fixed
