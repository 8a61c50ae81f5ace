"""Recurrent layers."""

from __future__ import annotations

import onnx_ir as ir

from whit.importers.onnx.context import Context, Operation, Unsupported
from whit.importers.onnx.registry import handles
from whit.ir import Dim

_ACTIVATIONS = ["sigmoid", "tanh", "tanh"]


@handles("LSTM")
def _lstm(context: Context, operation: Operation) -> list[str]:
    operation.refuse_attribute("layout", 0)
    operation.refuse_attribute("input_forget", 0)
    if operation.number("clip", 0.0):
        raise Unsupported("attribute clip is not supported")
    if operation.has("activations"):
        names = [str(name) for name in operation.node.attributes["activations"].as_strings()]
        if any(name.lower() != _ACTIVATIONS[place % 3] for place, name in enumerate(names)):
            raise Unsupported(f"activations {names}; only Sigmoid, Tanh, Tanh are supported")
    if operation.optional(4) is not None:
        _check_lengths(context, operation)
    if operation.optional(7) is not None and (
        context.constant(operation.optional(7)) is None or _is_set(context, operation)
    ):
        raise Unsupported("peepholes (input 7) are not supported")

    time, batch, _ = context.shape(operation.input(0))
    directions, _, hidden = context.shape(operation.input(2))
    state: list[Dim] = [directions, batch, hidden]
    shapes = [[time, directions, batch, hidden], state, state]
    inputs = [context.f32(operation.input(0)), *(_weight(context, operation, index) for index in (1, 2, 3))]
    for index in (5, 6):
        value = operation.optional(index)
        inputs.append("" if value is None else context.f32(value))
    wanted = [shape if operation.is_used(index) else None for index, shape in enumerate(shapes)]
    while len(wanted) > 1 and wanted[-1] is None:
        wanted.pop()
    return context.emit_many("lstm", inputs, wanted, direction=operation.string("direction", "forward"))


def _check_lengths(context: Context, operation: Operation) -> None:
    lengths = context.constant(operation.optional(4))
    time = context.shape(operation.input(0))[0]
    if lengths is None or not isinstance(time, int) or (lengths != time).any():
        raise Unsupported("sequence_lens (input 4) is not supported; run sequences of one length")


def _is_set(context: Context, operation: Operation) -> bool:
    array = context.constant(operation.optional(7))
    return array is not None and bool(array.any())


def _weight(context: Context, operation: Operation, index: int) -> str:
    """A constant as f32, also where it is stored quantised."""
    value: ir.Value | None = operation.optional(index)
    if value is None:
        return ""
    weight = context.weight(value)
    if weight is None or weight.quantization is None:
        return context.f32(value)
    return context.add_constant("weight", weight.real())
