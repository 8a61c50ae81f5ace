"""QuantizeLinear and DequantizeLinear; QLinearConv and the like are written out as these before, in qoperator.py.

s8 activations keep their numbers. u8 ones become s8: 128 less, in values and in zero point.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from whit.importers.onnx.blocks import blocks_of
from whit.importers.onnx.context import Context, Operation, Unsupported, Weight, offset_u8
from whit.importers.onnx.registry import handles
from whit.ir import Quantization

_MOVES = frozenset(
    {"concat", "depth_to_space", "expand", "gather", "max_pool", "pad", "reshape", "resize", "slice", "split"}
    | {"squeeze", "transpose", "unsqueeze"}
)


def _parameters(context: Context, operation: Operation) -> Quantization:
    operation.refuse_attribute("block_size", 0)
    quantization = context.quantization_of(operation.node)
    if quantization is None:
        raise Unsupported("its scale or zero point is computed at run time; both must be constants")
    return quantization


@handles("QuantizeLinear")
def _quantize_linear(context: Context, operation: Operation) -> str:
    quantization = _parameters(context, operation)
    dtype = operation.output.dtype
    if dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
        raise Unsupported(
            f"it quantises to {dtype.name.lower() if dtype else 'an unknown type'}; int8 and uint8 are supported"
        )
    x = context.f32(operation.input(0))
    if dtype == ir.DataType.UINT8:
        quantization = Quantization(quantization.scale, quantization.zero_point - 128, quantization.axis)
    y = context.emit("quantize_linear", [x], context.shape_of(x), dtype="s8", quantization=quantization)
    if dtype == ir.DataType.UINT8:
        context.mark_offset(y)
    return y


@handles("DequantizeLinear")
def _dequantize_linear(context: Context, operation: Operation) -> str:
    blocks = blocks_of(operation.node)
    if blocks is not None:
        return context.add_constant("real", blocks.real())
    quantization = _parameters(context, operation)
    if context.dtype(operation.output) != "f32":
        raise Unsupported("its output is not float")
    value = operation.input(0)
    array = context.constant(value)
    if array is not None:
        return _dequantize_constant(context, array, quantization)
    x = context.tensor(value)
    if context.graph.tensors[x].dtype == "u8":
        x = context.to_offset(x)
        context.bind(value, x)
    if context.is_offset(x):
        quantization = Quantization(quantization.scale, quantization.zero_point - 128, quantization.axis)
    shifted_s32 = context.graph.tensors[x].dtype == "s32" and quantization.zero_point.any()
    if context.graph.tensors[x].quantization is None and not shifted_s32:
        _assign(context, x, quantization)
    if _equal(context.graph.tensors[x].quantization, quantization):
        return context.same("dequantize_linear", [x])
    # Quantised one way and read another, or s32 with a zero point: the numbers are taken as they are.
    if quantization.axis is not None:
        raise Unsupported(
            "it reads a tensor that was quantised with other parameters, or s32 with a zero point, per axis"
        )
    steps = context.same("sub", [context.same("cast", [x]), context.scalar(int(quantization.zero_point[0]))])
    return context.same("mul", [steps, context.scalar(float(quantization.scale[0]))])


def _dequantize_constant(context: Context, array: np.ndarray, quantization: Quantization) -> str:
    if array.dtype == np.uint8:
        array, quantization = offset_u8(array, quantization)
    elif array.dtype not in (np.int8, np.int32):
        raise Unsupported(f"it dequantises a constant of {array.dtype}; int8, uint8 and int32 are supported")
    if array.dtype == np.int32 and quantization.zero_point.any():
        return context.add_constant("real", Weight(array, quantization).real())
    return context.same("dequantize_linear", [context.add_constant("q", array, quantization)])


def _assign(context: Context, name: str, quantization: Quantization) -> None:
    """Sets the quantisation of a tensor that had none, and of those that it is only another view of."""
    pending = [name]
    while pending:
        tensor = context.graph.tensors[pending.pop()]
        if tensor.quantization is not None or tensor.dtype not in ("s8", "s32"):
            continue
        tensor.quantization = quantization
        producer = context.graph.producer(tensor.name)
        if producer is not None and producer.op in _MOVES and quantization.axis is None:
            pending.extend(producer.inputs[:1] if producer.op == "gather" else producer.inputs)


def _equal(a: Quantization | None, b: Quantization) -> bool:
    return (
        a is not None
        and a.axis == b.axis
        and np.array_equal(a.scale, b.scale)
        and np.array_equal(a.zero_point, b.zero_point)
    )
