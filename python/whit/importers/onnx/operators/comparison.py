"""Signs: whit has no boolean tensors, but choosing between two numbers by a comparison with a constant is arithmetic.

A comparison becomes +1 and -1 (`binarize`), of which its readers know which one is true. NaN counts as 0 here.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.registry import handles

_NO_BOOLEANS = "there are no boolean tensors; only the choice between two constants by one comparison with a constant"


@handles("Sign")
def _sign(context: Context, operation: Operation) -> str:
    """Of 0 it is 0: half of what x and -x differ by."""
    x = context.f32(operation.input(0))
    above, below = context.same("binarize", [x]), context.same("binarize", [context.same("neg", [x])])
    return context.same("mul", [context.same("sub", [above, below]), context.scalar(0.5)])


@handles("GreaterOrEqual", "Less", "Greater", "LessOrEqual")
def _compare(context: Context, operation: Operation) -> str:
    """What x >= c and x > c mean is that x - c is not below 0, and that c - x is."""
    op_type, values = operation.op_type, [operation.input(0), operation.input(1)]
    constants = [context.constant(value) for value in values]
    if (constants[0] is None) == (constants[1] is None):
        raise Unsupported(_NO_BOOLEANS)
    if constants[0] is not None:  # c < x is x > c
        values.reverse()
        constants.reverse()
        op_type = {
            "GreaterOrEqual": "LessOrEqual",
            "LessOrEqual": "GreaterOrEqual",
            "Greater": "Less",
            "Less": "Greater",
        }[op_type]
    x, bound = context.f32(values[0]), constants[1]
    assert bound is not None, "one of two is a constant"
    if context.shape(values[0]) != context.shape(operation.output):
        raise Unsupported(_NO_BOOLEANS)
    if bound.any():
        if not np.isfinite(bound).all():
            raise Unsupported(f"it compares with {bound.ravel()[0]}")
        x = context.same("sub", [x, context.add_constant("bound", bound.astype(np.float32))])
    if op_type in ("Greater", "LessOrEqual"):
        x = context.same("neg", [x])
    context.truths[operation.output] = 1 if op_type in ("GreaterOrEqual", "LessOrEqual") else -1
    return context.same("binarize", [x])


@handles("Where")
def _where(context: Context, operation: Operation) -> str:
    chosen = [context.constant(operation.input(index)) for index in (1, 2)]
    if operation.input(0) not in context.truths or any(value is None or value.size != 1 for value in chosen):
        raise Unsupported(_NO_BOOLEANS)
    yes, no = (float(np.asarray(value).reshape(-1)[0]) for value in chosen)
    return choose(context, operation.input(0), yes, no)


def choose(context: Context, condition: ir.Value, yes: float, no: float) -> str:
    """A comparison's result as one of two numbers."""
    if not (math.isfinite(yes) and math.isfinite(no)):
        raise Unsupported("it chooses infinity or NaN")
    factor, middle = context.truths[condition] * (yes - no) / 2, (yes + no) / 2
    result = context.tensor(condition)
    if factor != 1:
        result = context.same("mul", [result, context.scalar(factor)])
    return result if middle == 0 else context.same("add", [result, context.scalar(middle)])
