"""Reductions and softmax."""

from __future__ import annotations

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.registry import handles
from whit.ir import Dim

_REDUCE = {
    "ReduceMean": "reduce_mean",
    "ReduceSum": "reduce_sum",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceL1": "reduce_sum",
    "ReduceL2": "reduce_sum",
    "ReduceSumSquare": "reduce_sum",
    "ReduceLogSum": "reduce_sum",
    "ReduceLogSumExp": "reduce_sum",
}


@handles(*_REDUCE)
def _reduce(context: Context, operation: Operation) -> str:
    x = context.f32(operation.input(0))
    rank = context.rank(operation.input(0))
    if operation.optional(1) is not None:
        axes = context.require_ints(operation.optional(1), "axes")
    else:
        axes = operation.integers("axes")
    axes = sorted({axis % rank for axis in axes})
    if not axes:
        if operation.integer("noop_with_empty_axes", 0):
            return x
        axes = list(range(rank))
    if not axes:
        return x
    keepdims = operation.integer("keepdims", 1)
    shape = _reduced(context.shape_of(x), axes, keepdims)
    op = _REDUCE[operation.op_type]
    match operation.op_type:
        case "ReduceL1":
            x = context.same("abs", [x])
        case "ReduceL2" | "ReduceSumSquare":
            x = context.same("mul", [x, x])
        case "ReduceLogSumExp":
            return _log_sum_exp(context, x, axes, keepdims)
    y = context.emit(op, [x], shape, axes=axes, keepdims=keepdims)
    match operation.op_type:
        case "ReduceL2":
            y = context.same("sqrt", [y])
        case "ReduceLogSum":
            y = context.same("log", [y])
    return y


def _reduced(shape: tuple[Dim, ...], axes: list[int], keepdims: int) -> list[Dim]:
    kept: list[Dim] = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return kept if keepdims else [size for axis, size in enumerate(shape) if axis not in axes]


def _log_sum_exp(context: Context, x: str, axes: list[int], keepdims: int) -> str:
    shape = context.shape_of(x)
    kept = _reduced(shape, axes, 1)
    top = context.emit("reduce_max", [x], kept, axes=axes, keepdims=1)
    exp = context.same("exp", [context.same("sub", [x, top])])
    total = context.same("log", [context.emit("reduce_sum", [exp], kept, axes=axes, keepdims=1)])
    y = context.same("add", [total, top])
    return y if keepdims else context.move("squeeze", [y], _reduced(shape, axes, 0), axes=axes)


@handles("ArgMax", "ArgMin")
def _arg_max(context: Context, operation: Operation) -> str:
    operation.refuse_attribute("select_last_index", 0)
    x = context.f32(operation.input(0))
    if operation.op_type == "ArgMin":
        x = context.same("neg", [x])
    axis = operation.integer("axis", 0) % context.rank(operation.input(0))
    keepdims = operation.integer("keepdims", 1)
    shape = _reduced(context.shape_of(x), [axis], keepdims)
    return context.emit("arg_max", [x], shape, dtype="s32", axis=axis, keepdims=keepdims)


@handles("Softmax", "LogSoftmax")
def _softmax(context: Context, operation: Operation) -> str:
    op = "softmax" if operation.op_type == "Softmax" else "log_softmax"
    x = context.f32(operation.input(0))
    shape = context.shape_of(x)
    rank = len(shape)
    if rank == 0:
        raise Unsupported("its input is a scalar")
    axis = operation.integer("axis", -1 if operation.opset >= 13 else 1) % rank
    trailing = shape[axis + 1 :]
    if operation.opset >= 13 or all(size == 1 for size in trailing):
        return context.same(op, [x], axis=axis)
    # Until opset 12 it runs over all axes from `axis` on, as one.
    fixed = [size for size in shape[axis:] if isinstance(size, int)]
    if len(fixed) != rank - axis:
        raise Unsupported("in opset 11 and 12 it needs fixed sizes from its axis on (input_shapes)")
    count = 1
    for size in fixed:
        count *= size
    flat = context.reshape(x, [0] * axis + [count], [*shape[:axis], count])
    y = context.same(op, [flat], axis=axis)
    return context.reshape(y, [0] * axis + fixed, shape)
