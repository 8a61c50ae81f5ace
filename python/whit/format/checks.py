"""What a graph must fulfil so that readers accept its file; the same rules as in docs/FORMAT.md."""

from __future__ import annotations

import json
import math
import unicodedata

import numpy as np

from whit.dtypes import NUMPY_DTYPES
from whit.errors import InvalidArgumentError
from whit.format import schema
from whit.format.encodings import check_codes
from whit.ir import Graph, Node, Quantization, Tensor

__all__ = ["check_graph", "encode_metadata", "encode_text", "quantization_arrays"]


def encode_text(text: str, what: str) -> bytes:
    """`text` as in the file: u16 length and UTF-8."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError as problem:
        raise InvalidArgumentError(
            f"cannot write {what}: {text!r:.100} is not Unicode text ({problem.reason})"
        ) from None
    if len(encoded) > schema.MAX_TEXT_BYTES:
        raise InvalidArgumentError(
            f"cannot write {what}: {text!r:.60}... has {len(encoded)} bytes; at most {schema.MAX_TEXT_BYTES} fit"
        )
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise InvalidArgumentError(f"cannot write {what}: {text!r:.100} has control characters")
    return len(encoded).to_bytes(2, "little") + encoded


def encode_metadata(metadata: dict[str, object]) -> bytes:
    """`metadata` as JSON: sorted, compact, UTF-8."""
    try:
        _check_json(metadata, schema.MAX_JSON_DEPTH)
        text = json.dumps(metadata, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        encoded = text.encode()
    except (TypeError, ValueError) as problem:
        raise InvalidArgumentError(f"cannot write the metadata as JSON: {problem}") from problem
    if len(encoded) > schema.MAX_METADATA_BYTES:
        raise InvalidArgumentError(
            f"cannot write the metadata: {len(encoded)} bytes of JSON; at most {schema.MAX_METADATA_BYTES} are allowed"
        )
    return encoded


def _check_json(value: object, depth: int) -> None:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys must be strings")
        children = list(value.values())
    elif isinstance(value, (list, tuple)):
        children = list(value)
    else:
        if isinstance(value, int) and abs(value) >= 10 ** (schema.MAX_JSON_NUMBER - 1):
            raise ValueError("an integer is too long")
        return
    if depth == 0:
        raise ValueError(f"nested more than {schema.MAX_JSON_DEPTH} deep")
    for child in children:
        _check_json(child, depth - 1)


def quantization_arrays(tensor: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point of a quantised tensor, each [count]."""
    assert tensor.quantization is not None
    return np.ravel(tensor.quantization.scale), np.ravel(tensor.quantization.zero_point)


def check_graph(graph: Graph, operators: dict[str, schema.Operator]) -> list[Tensor]:
    """Checks everything but the values of attributes. Returns the tensors to write, in the order of the graph."""
    used = {name for node in graph.nodes for name in (*node.inputs, *node.outputs) if name}
    used.update(graph.inputs, graph.outputs)
    missing = sorted(used - graph.tensors.keys())
    if missing:
        raise InvalidArgumentError(f"cannot write the model: the graph uses {missing[0]!r}, but has no such tensor")
    tensors = [tensor for name, tensor in graph.tensors.items() if name in used]
    for name in used:
        if graph.tensors[name].name != name:
            raise InvalidArgumentError(
                f"cannot write the model: the graph lists tensor {graph.tensors[name].name!r} under the name {name!r}"
            )
    for tensor in tensors:
        _check_tensor(tensor)
    for node in graph.nodes:
        _check_node(node, operators)
    _check_sources(graph)
    if len(tensors) > schema.MAX_TENSORS or len(graph.nodes) > schema.MAX_NODES:
        raise InvalidArgumentError(
            f"cannot write the model: {len(tensors)} tensors and {len(graph.nodes)} nodes; "
            f"at most {schema.MAX_TENSORS} of each are allowed"
        )
    return tensors


def _check_tensor(tensor: Tensor) -> None:
    def fail(problem: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"cannot write tensor {tensor.name!r}: {problem}")

    if not tensor.name:
        raise fail("it has no name")
    if tensor.dtype not in schema.DTYPE_NUMBERS:
        raise fail(f"unknown dtype {tensor.dtype!r}")
    if tensor.shape is None:
        raise fail("its shape is not known; run shape inference first")
    if len(tensor.shape) > schema.MAX_RANK:
        raise fail(f"rank {len(tensor.shape)}; at most {schema.MAX_RANK} is allowed")
    elements = 1
    for size in tensor.shape:
        if isinstance(size, str):
            continue
        if not 0 <= size <= schema.MAX_SIZE:
            raise fail(f"shape {tensor.shape}: sizes are 0 to {schema.MAX_SIZE} or names")
        elements *= max(size, 1)
    if elements > schema.MAX_ELEMENTS:
        raise fail(f"shape {tensor.shape} has more than 2**40 elements")
    if tensor.data is not None:
        if tensor.dtype not in NUMPY_DTYPES:
            raise fail(f"constants of dtype {tensor.dtype} cannot be written yet")
        if tensor.data.dtype.newbyteorder("<") != NUMPY_DTYPES[tensor.dtype] or tensor.data.shape != tensor.shape:
            raise fail(
                f"it is declared {tensor.dtype} {tensor.shape}, but its data is {tensor.data.dtype} {tensor.data.shape}"
            )
    problem = check_codes(tensor)
    if problem:
        raise fail(problem)
    if tensor.quantization is not None:
        problem = _quantization_problem(tensor)
        if problem:
            raise fail(problem)


def _quantization_problem(tensor: Tensor) -> str | None:
    assert tensor.quantization is not None
    assert tensor.shape is not None
    if tensor.dtype not in schema.ZERO_POINT_RANGES:
        return f"dtype {tensor.dtype} cannot be quantized"
    axis, group = tensor.quantization.axis, tensor.quantization.group
    count: int | str = 1
    if group:
        if tensor.dtype != "s8" or tensor.data is None or tensor.data.ndim < 2 or tensor.data.size == 0:
            return "only constants of s8 with two axes or more have scales by groups"
        if group != Quantization.GROUP or axis != tensor.data.ndim - 1:
            return f"groups of {group} along axis {axis}; they must be of {Quantization.GROUP} along the last axis"
        count = tensor.data.size // tensor.data.shape[-1] * -(-tensor.data.shape[-1] // group)
    elif axis is not None:
        if not 0 <= axis < len(tensor.shape):
            return f"quantization axis {axis}, but its shape is {tensor.shape}"
        count = tensor.shape[axis]
        if isinstance(count, str) or count < 1:
            return f"quantization axis {axis} has size {count}; it must be fixed and at least 1"
    scale, zero_point = quantization_arrays(tensor)
    if scale.size != count or zero_point.size != count:
        return f"{scale.size} scales and {zero_point.size} zero points; {count} of each are needed"
    if not np.issubdtype(zero_point.dtype, np.integer):
        return f"zero points must be integers; got {zero_point.dtype}"
    with np.errstate(over="ignore"):
        stored = scale.astype(np.float32)
    for value in stored:
        if not (math.isfinite(value) and value > 0):
            return f"a scale is {value}; scales are finite and above 0 (as f32)"
    with np.errstate(over="ignore"):
        if group and (stored.astype(np.float16) != stored).any():
            return "scales by groups must be numbers that f16 has"
    low, high = (0, 0) if group else schema.ZERO_POINT_RANGES[tensor.dtype]
    if zero_point.min() < low or zero_point.max() > high:
        return f"zero points from {zero_point.min()} to {zero_point.max()}; {tensor.dtype} has {low} to {high}"
    return None


def _check_node(node: Node, operators: dict[str, schema.Operator]) -> None:
    def fail(problem: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"cannot write node {node.name!r} ({node.op}): {problem}")

    operator = operators.get(node.op)
    if operator is None:
        raise fail("no such operator")
    for what, names, (least, most) in (
        ("inputs", node.inputs, operator.inputs),
        ("outputs", node.outputs, operator.outputs),
    ):
        most = schema.MAX_LIST if most < 0 else most
        if not least <= len(names) <= most:
            raise fail(f"{len(names)} {what}; {least} to {most} are allowed")
    for position, name in enumerate(node.inputs[: operator.inputs[0]]):
        if not name:
            raise fail(f"input {position} is missing")
    if not any(node.outputs):
        raise fail("it has no output")
    missing = sorted(operator.required - node.attributes.keys())
    unknown = sorted(node.attributes.keys() - operator.attributes.keys())
    if missing or unknown:
        raise fail(f"attribute {missing[0]!r} is missing" if missing else f"unknown attribute {unknown[0]!r}")


def _check_sources(graph: Graph) -> None:
    """Every tensor is an input, a constant or the output of one node, and is computed before it is read."""
    ready = {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    for name in graph.inputs:
        if name in ready:
            raise InvalidArgumentError(f"cannot write the model: input {name!r} is a constant, or appears twice")
        ready.add(name)
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in ready:
                raise InvalidArgumentError(
                    f"cannot write the model: node {node.name!r} ({node.op}) reads {name!r} before it is computed"
                )
        for name in node.outputs:
            if name in ready:
                raise InvalidArgumentError(
                    f"cannot write the model: node {node.name!r} ({node.op}) computes {name!r}, "
                    "which is an input, a constant or computed before"
                )
            if name:
                ready.add(name)
    for name in graph.outputs:
        if name not in ready:
            raise InvalidArgumentError(f"cannot write the model: nothing computes output {name!r}")
    if not graph.outputs or len(set(graph.outputs)) != len(graph.outputs):
        raise InvalidArgumentError("cannot write the model: it has no outputs, or one of them twice")
    if max(len(graph.inputs), len(graph.outputs)) > schema.MAX_LIST:
        raise InvalidArgumentError(f"cannot write the model: more than {schema.MAX_LIST} inputs or outputs")
