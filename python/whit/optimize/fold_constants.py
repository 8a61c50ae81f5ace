"""Computes at once what depends on constants alone.

Import has folded the model's own constants; this is for what import and other passes leave behind: constants that are
transposed, reshaped, or combined element by element. Legal where all inputs are constants of one array dtype.
A transpose or reshape of a dequantised constant moves in front of the dequantisation, so that weights stay s8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from whit.dtypes import dtype_of
from whit.ir import Graph, Node, Quantization, Tensor
from whit.optimize.base import NodePass, attribute_float, attribute_int, attribute_ints
from whit.optimize.layout_rules import permute_tensor

__all__ = ["FoldConstants"]


def _clamp(node: Node, data: np.ndarray) -> np.ndarray:
    low, high = attribute_float(node, "clamp_min", -np.inf), attribute_float(node, "clamp_max", np.inf)
    return np.clip(data, low, high) if data.dtype.kind == "f" else data


def _reshape(node: Node, data: np.ndarray) -> np.ndarray:
    sizes = attribute_ints(node, "shape")
    return data.reshape([data.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "transpose": lambda node, data: data.transpose(attribute_ints(node, "perm")),
    "reshape": _reshape,
    "squeeze": lambda node, data: np.squeeze(data, tuple(attribute_ints(node, "axes"))),
    "unsqueeze": lambda node, data: np.expand_dims(data, tuple(attribute_ints(node, "axes"))),
    "concat": lambda node, *data: np.concatenate(data, axis=attribute_int(node, "axis")),
    "add": lambda node, a, b: _clamp(node, a + b),
    "sub": lambda _, a, b: a - b,
    "mul": lambda node, a, b: _clamp(node, a * b),
    "min": lambda _, a, b: np.minimum(a, b),
    "max": lambda _, a, b: np.maximum(a, b),
    "neg": lambda _, data: -data,
    "abs": lambda _, data: np.abs(data),
    "clip": _clamp,
}
#: The results of these are f32 for f32 inputs only.
_FLOAT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "div": lambda _, a, b: a / b,
    "sqrt": lambda _, data: np.sqrt(data),
    "reciprocal": lambda _, data: 1 / data,
}


class FoldConstants(NodePass):
    """See the module."""

    name: ClassVar[str] = "fold_constants"
    operators: ClassVar[frozenset[str]] = frozenset((*_FUNCTIONS, *_FLOAT_FUNCTIONS))
    ensures: ClassVar[tuple[str, ...]] = ("constants_folded",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        result = node.outputs[0]
        if result in graph.outputs:
            return False
        data = [graph.constant(name) for name in node.inputs]
        if any(each is None for each in data):
            return _move_dequantize(graph, node)
        arrays = [each for each in data if each is not None]
        if len({each.dtype for each in arrays}) > 1:
            return False
        if node.op not in ("transpose", "reshape") and any(graph.tensors[name].quantization for name in node.inputs):
            return False
        if node.op in _FLOAT_FUNCTIONS and arrays[0].dtype != np.float32:
            return False
        function = _FUNCTIONS.get(node.op) or _FLOAT_FUNCTIONS[node.op]
        with np.errstate(all="ignore"):
            value = np.ascontiguousarray(function(node, *arrays)).astype(arrays[0].dtype)
        quantization: Quantization | None = graph.tensors[node.inputs[0]].quantization
        if quantization is not None:
            moved = _moved_quantization(node, graph.tensors[node.inputs[0]])
            if moved is None:
                return False
            quantization = moved
        graph.remove_node(node)
        graph.tensors[result] = Tensor(result, dtype_of(value), value.shape, quantization, value)
        return True


def _move_dequantize(graph: Graph, node: Node) -> bool:
    if node.op not in ("transpose", "reshape"):
        return False
    inner = graph.producer(node.inputs[0])
    if inner is None or inner.op != "dequantize_linear":
        return False
    source = graph.tensors[inner.inputs[0]]
    quantization = _moved_quantization(node, source)
    if source.data is None or quantization is None:
        return False
    data = (
        source.data.transpose(attribute_ints(node, "perm")) if node.op == "transpose" else _reshape(node, source.data)
    )
    moved = graph.add_constant(f"{source.name}_{node.op}d", data, quantization)
    node.op, node.inputs, node.attributes = "dequantize_linear", [moved], {}
    return True


def _moved_quantization(node: Node, tensor: Tensor) -> Quantization | None:
    """The quantisation after a transpose or reshape; None if it cannot be said."""
    quantization = tensor.quantization
    if quantization is None or quantization.axis is None:
        return quantization
    if quantization.group:
        return None
    if node.op == "transpose":
        return permute_tensor(tensor, attribute_ints(node, "perm"))[1]
    if tensor.data is None:
        return None
    axis, old, new = quantization.axis, tensor.data.shape, _reshape(node, tensor.data).shape
    place = next(
        (
            index
            for index, size in enumerate(new)
            if size == old[axis] and np.prod(new[:index], dtype=int) == np.prod(old[:axis], dtype=int)
        ),
        None,
    )
    return None if place is None else Quantization(quantization.scale, quantization.zero_point, place)
