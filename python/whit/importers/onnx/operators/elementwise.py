"""Arithmetic and activations, element by element."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.operators.comparison import choose
from whit.importers.onnx.registry import handles

_BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "PRelu": "prelu"}
_UNARY = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "HardSwish": "hard_swish",
    "Erf": "erf",
    "Softplus": "softplus",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Abs": "abs",
    "Neg": "neg",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Sin": "sin",
    "Cos": "cos",
}
_UNARY_ALPHA = {"LeakyRelu": ("leaky_relu", 0.01), "Elu": ("elu", 1.0)}
_VARIADIC = {"Min": "min", "Max": "max", "Sum": "add", "Mean": "add"}


def _inputs(context: Context, operation: Operation) -> list[str]:
    return [context.f32(operation.input(index)) for index in range(len(operation.node.inputs))]


@handles(*_BINARY)
def _binary(context: Context, operation: Operation) -> str:
    return context.emit(_BINARY[operation.op_type], _inputs(context, operation), context.shape(operation.output))


@handles(*_UNARY)
def _unary(context: Context, operation: Operation) -> str:
    return context.same(_UNARY[operation.op_type], _inputs(context, operation))


@handles(*_UNARY_ALPHA)
def _unary_alpha(context: Context, operation: Operation) -> str:
    op, alpha = _UNARY_ALPHA[operation.op_type]
    return context.same(op, _inputs(context, operation), alpha=operation.number("alpha", alpha))


@handles(*_VARIADIC)
def _variadic(context: Context, operation: Operation) -> str:
    inputs = _inputs(context, operation)
    shapes = [context.shape_of(name) for name in inputs]
    result = inputs[0]
    for index, name in enumerate(inputs[1:], start=2):
        last = index == len(inputs)
        # Between them, a shape is that of the widest input so far: exact where all inputs have one shape.
        shape = context.shape(operation.output) if last else _broadcast(shapes[:index])
        result = context.emit(_VARIADIC[operation.op_type], [result, name], shape)
    if operation.op_type == "Mean" and len(inputs) > 1:
        result = context.same("div", [result, context.scalar(len(inputs))])
    return result


def _broadcast(shapes: Sequence[tuple[int | str, ...]]) -> list[int | str]:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result: list[int | str] = []
    for sizes in zip(*padded, strict=True):
        fixed = [size for size in sizes if isinstance(size, int) and size != 1]
        named = [size for size in sizes if isinstance(size, str)]
        result.append(fixed[0] if fixed else named[0] if named else 1)
    return result


@handles("Pow")
def _power(context: Context, operation: Operation) -> str:
    exponent = context.constant(operation.input(1))
    if exponent is not None and exponent.size == 1 and exponent.ndim <= context.rank(operation.input(0)):
        base = context.f32(operation.input(0))
        match float(exponent.reshape(())):
            case 1.0:
                return base
            case 2.0:
                return context.same("mul", [base, base])
            case 0.5:
                return context.same("sqrt", [base])
            case -1.0:
                return context.same("reciprocal", [base])
    if exponent is not None and exponent.dtype != np.float32:
        name = context.add_constant("exponent", exponent.astype(np.float32))
    else:
        name = context.f32(operation.input(1))
    return context.emit("pow", [context.f32(operation.input(0)), name], context.shape(operation.output))


# --- clamps ---


@handles("Relu")
def _relu(context: Context, operation: Operation) -> str:
    return context.same("clip", _inputs(context, operation), clamp_min=0.0, clamp_max=math.inf)


@handles("Clip")
def _clip(context: Context, operation: Operation) -> str:
    x = context.f32(operation.input(0))
    bounds = [-math.inf, math.inf]
    computed = []
    for index, op in ((1, "max"), (2, "min")):
        bound = operation.optional(index)
        array = context.constant(bound)
        if array is not None:
            bounds[index - 1] = float(array.reshape(()))
        elif bound is not None:
            computed.append((op, context.f32(bound)))
    if bounds[0] > bounds[1]:
        bounds[0] = bounds[1]  # as ONNX: min(max(x, low), high)
    if math.isnan(bounds[0]) or math.isnan(bounds[1]):
        raise Unsupported("a bound is NaN")
    if not computed or bounds != [-math.inf, math.inf]:
        x = context.same("clip", [x], clamp_min=bounds[0], clamp_max=bounds[1])
    for op, name in computed:
        x = context.same(op, [x, name])
    return x


@handles("HardSigmoid")
def _hard_sigmoid(context: Context, operation: Operation) -> str:
    alpha, beta = operation.number("alpha", 0.2), operation.number("beta", 0.5)
    return context.same("hard_sigmoid", _inputs(context, operation), alpha=alpha, beta=beta)


# --- smooth activations ---


@handles("Gelu")
def _gelu(context: Context, operation: Operation) -> str:
    return context.same("gelu", _inputs(context, operation), approximate=operation.string("approximate", "none"))


@handles("Swish")
def _swish(context: Context, operation: Operation) -> str:
    (x,) = _inputs(context, operation)
    alpha = operation.number("alpha", 1.0)
    if alpha == 1.0:
        return context.same("silu", [x])
    scaled = context.same("mul", [x, context.scalar(alpha)])
    return context.same("mul", [x, context.same("sigmoid", [scaled])])


@handles("Mish")
def _mish(context: Context, operation: Operation) -> str:
    (x,) = _inputs(context, operation)
    return context.same("mul", [x, context.same("tanh", [context.same("softplus", [x])])])


@handles("Selu")
def _selu(context: Context, operation: Operation) -> str:
    alpha = operation.number("alpha", 1.67326319217681884765625)
    gamma = operation.number("gamma", 1.05070102214813232421875)
    (x,) = _inputs(context, operation)
    return context.same("mul", [context.same("elu", [x], alpha=alpha), context.scalar(gamma)])


@handles("Celu")
def _celu(context: Context, operation: Operation) -> str:
    alpha = operation.number("alpha", 1.0)
    (x,) = _inputs(context, operation)
    if alpha == 1.0:
        return context.same("elu", [x], alpha=1.0)
    scaled = context.same("elu", [context.same("div", [x, context.scalar(alpha)])], alpha=1.0)
    return context.same("mul", [scaled, context.scalar(alpha)])


@handles("Softsign")
def _softsign(context: Context, operation: Operation) -> str:
    (x,) = _inputs(context, operation)
    return context.same("div", [x, context.same("add", [context.same("abs", [x]), context.scalar(1)])])


# --- types and nothing at all ---


@handles("Identity")
def _identity(context: Context, operation: Operation) -> str:
    return context.tensor(operation.input(0))


@handles("Dropout")
def _dropout(context: Context, operation: Operation) -> str:
    operation.refuse_output(1, "mask")
    training = context.constant(operation.optional(2))
    if operation.optional(2) is not None and (training is None or training.any()):
        raise Unsupported("training_mode is on; export the model for inference")
    return context.tensor(operation.input(0))


@handles("Cast")
def _cast(context: Context, operation: Operation) -> str:
    if operation.input(0) in context.truths:
        return choose(context, operation.input(0), 1, 0)
    source, target = context.dtype(operation.input(0)), context.dtype(operation.output)
    x = context.tensor(operation.input(0))
    if source == target:
        return x
    if context.is_offset(x):
        return context.from_offset(x, target)
    return context.same("cast", [x], dtype=target)
