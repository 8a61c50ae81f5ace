"""The invariants of a graph, checked after import, after every pass under test, and before writing."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from whit.dtypes import DTYPES, NUMPY_DTYPES
from whit.errors import InvalidArgumentError, ShapeError, UnsupportedOperatorError
from whit.ir.graph import Graph, Node, Quantization, Tensor

__all__ = ["verify"]

#: Zero points that a quantised dtype can have.
_ZERO_POINTS = {"s8": (-128, 127), "u8": (0, 255), "s16": (-32768, 32767), "s32": (0, 0)}
_SCALAR_TYPES: dict[str, type] = {"int": int, "float": float, "string": str}


def verify(graph: Graph) -> None:
    """Checks everything that passes, the writer and the engine rely on.

    Raises:
        UnsupportedOperatorError: an operator or an attribute is not in whit's operator list, or has the wrong type.
        ShapeError: a constant's data, or a quantisation, does not fit the tensor's shape.
        InvalidArgumentError: anything else; the message names the node or the tensor.
    """
    for name, tensor in graph.tensors.items():
        if tensor.name != name:
            raise InvalidArgumentError(f"tensor {tensor.name!r} is filed under the name {name!r}")
        _verify_tensor(tensor)
    _verify_interface(graph)
    available = {name for name, tensor in graph.tensors.items() if tensor.is_constant} | set(graph.inputs)
    produced: dict[str, Node] = {}
    for node in graph.nodes:
        for output in filter(None, node.outputs):
            if output in produced or output in available:
                raise InvalidArgumentError(f"{_label(node)}: tensor {output!r} is given by someone else already")
            produced[output] = node
    for node in graph.nodes:
        _verify_schema(node)
        for name in filter(None, (*node.inputs, *node.outputs)):
            if name not in graph.tensors:
                raise InvalidArgumentError(f"{_label(node)}: tensor {name!r} does not exist")
        for name in filter(None, node.inputs):
            if name in available:
                continue
            if name in produced:
                raise InvalidArgumentError(
                    f"{_label(node)} reads {name!r} before {_label(produced[name])} computes it: "
                    "the nodes are out of order or form a cycle"
                )
            raise InvalidArgumentError(f"{_label(node)}: nothing computes tensor {name!r}")
        available.update(filter(None, node.outputs))
    for name in graph.outputs:
        if name not in available:
            raise InvalidArgumentError(f"graph output {name!r}: nothing computes it")


def _verify_interface(graph: Graph) -> None:
    for kind, names in (("input", graph.inputs), ("output", graph.outputs)):
        for name in names:
            if name not in graph.tensors:
                raise InvalidArgumentError(f"graph {kind} {name!r} does not exist")
            if names.count(name) > 1:
                raise InvalidArgumentError(f"graph {kind} {name!r} is listed twice")
    for name in graph.inputs:
        if graph.tensors[name].is_constant:
            raise InvalidArgumentError(f"graph input {name!r} is a constant")


def _verify_tensor(tensor: Tensor) -> None:
    if not tensor.name:
        raise InvalidArgumentError("a tensor has an empty name")
    if tensor.dtype not in DTYPES:
        raise InvalidArgumentError(f"tensor {tensor.name!r}: dtype {tensor.dtype!r} is none of {', '.join(DTYPES)}")
    for size in tensor.shape or ():
        named = isinstance(size, str) and size != ""
        if not named and not (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
            raise ShapeError(f"tensor {tensor.name!r}: {size!r} in shape {tensor.shape} is neither a size nor a name")
    if tensor.data is not None:
        wanted = NUMPY_DTYPES.get(tensor.dtype)
        if wanted is not None and tensor.data.dtype != wanted:
            raise InvalidArgumentError(f"constant {tensor.name!r} is {tensor.dtype}, its data {tensor.data.dtype}")
        if wanted is not None and tensor.data.shape != tensor.shape:
            raise ShapeError(f"constant {tensor.name!r} has shape {tensor.shape}, its data {tensor.data.shape}")
    if tensor.quantization is not None:
        _verify_quantization(tensor, tensor.quantization)


def _verify_quantization(tensor: Tensor, quantization: Quantization) -> None:
    scale, zero_point, axis = quantization.scale, quantization.zero_point, quantization.axis
    label = f"quantisation of tensor {tensor.name!r}"
    if tensor.dtype not in _ZERO_POINTS:
        raise InvalidArgumentError(f"{label}: a {tensor.dtype} tensor has none")
    if scale.dtype != np.float32 or zero_point.dtype != np.int32:
        raise InvalidArgumentError(f"{label}: scale is {scale.dtype}, zero_point {zero_point.dtype}; want f32, s32")
    if quantization.group:
        _verify_groups(tensor, quantization, label)
    elif scale.ndim != 1 or scale.shape != zero_point.shape or scale.size == 0:
        raise ShapeError(f"{label}: scale {scale.shape} and zero_point {zero_point.shape} are not [count] both")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        raise InvalidArgumentError(f"{label}: every scale must be finite and positive")
    low, high = _ZERO_POINTS[tensor.dtype]
    if (zero_point < low).any() or (zero_point > high).any():
        raise InvalidArgumentError(f"{label}: zero points of {tensor.dtype} go from {low} to {high}")
    if quantization.group:
        return
    if axis is None:
        if scale.size != 1:
            raise ShapeError(f"{label}: {scale.size} scales, but no axis")
    elif tensor.shape is not None:
        if not 0 <= axis < len(tensor.shape):
            raise ShapeError(f"{label}: axis {axis} is not one of shape {tensor.shape}")
        if tensor.shape[axis] != scale.size:
            raise ShapeError(f"{label}: {scale.size} scales along axis {axis} of shape {tensor.shape}")


def _verify_groups(tensor: Tensor, quantization: Quantization, label: str) -> None:
    scale, group = quantization.scale, quantization.group
    if tensor.dtype != "s8" or tensor.data is None:
        raise InvalidArgumentError(f"{label}: only constants of s8 with two axes or more have scales by groups")
    shape = tensor.data.shape
    if len(shape) < 2 or tensor.data.size == 0:
        raise ShapeError(f"{label}: only constants of s8 with two axes or more have scales by groups; got {shape}")
    if group != Quantization.GROUP or quantization.axis != len(shape) - 1:
        raise ShapeError(
            f"{label}: groups of {group} along axis {quantization.axis}; known are those of {Quantization.GROUP} along "
            f"the last axis"
        )
    wanted = (tensor.data.size // shape[-1], -(-shape[-1] // group))
    if scale.shape != wanted or quantization.zero_point.shape != wanted:
        raise ShapeError(
            f"{label}: scale {scale.shape} and zero_point {quantization.zero_point.shape} must be {wanted}"
        )
    with np.errstate(over="ignore"):
        stored = scale.astype(np.float16)
    if (stored != scale).any():
        raise InvalidArgumentError(f"{label}: scales by groups must be numbers that f16 has")
    if quantization.zero_point.any():
        raise InvalidArgumentError(f"{label}: zero points by groups are 0")


def _verify_schema(node: Node) -> None:
    schema = _schemas().get(node.op)
    if schema is None:
        message = f"{_label(node)}: whit has no such operator"
        raise UnsupportedOperatorError(message, [(node.name, node.op, "unknown operator")])
    for kind, names in (("inputs", node.inputs), ("outputs", node.outputs)):
        least, most = schema[f"min_{kind}"], schema[f"max_{kind}"]
        if len(names) < least or (most >= 0 and len(names) > most):
            raise InvalidArgumentError(f"{_label(node)} has {len(names)} {kind}; want {least} to {most}")
    for index in range(schema["min_inputs"]):
        if not node.inputs[index]:
            raise InvalidArgumentError(f"{_label(node)}: input {index} is missing")
    known = {attribute["name"]: attribute for attribute in schema["attributes"]}
    for name, attribute in known.items():
        if name not in node.attributes and attribute["required"]:
            _attribute_error(node, name, "is missing")
    for name, value in node.attributes.items():
        if name not in known:
            _attribute_error(node, name, f"is unknown; known are {', '.join(known) or 'none'}")
        if not _has_type(value, known[name]["type"]):
            _attribute_error(node, name, f"is {value!r}, not of type {known[name]['type']}")


def _attribute_error(node: Node, attribute: str, what: str) -> None:
    message = f"{_label(node)}: attribute {attribute!r} {what}"
    raise UnsupportedOperatorError(message, [(node.name, node.op, f"attribute {attribute!r} {what}")])


def _has_type(value: object, kind: str) -> bool:
    if kind in _SCALAR_TYPES:
        return isinstance(value, _SCALAR_TYPES[kind]) and not isinstance(value, bool)
    return isinstance(value, list) and all(_has_type(element, kind.removesuffix("s")) for element in value)


def _label(node: Node) -> str:
    return f"node {node.name!r} ({node.op})"


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    """The operator list, from the one place that has it."""
    from whit import _core

    return {schema["name"]: schema for schema in _core.operators()}
