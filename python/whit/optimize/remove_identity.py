"""Removes nodes that do nothing and merges chains of nodes that only rename axes.

Legal cases:
* reshape to the shape that the input has; squeeze or unsqueeze of no axes
* transpose that keeps the order of axes; transpose that only moves axes of size 1 becomes a reshape
* clip without bounds; add or sub of constant 0, mul or div by constant 1 (same shape and dtype)
* pad by nothing; slice of everything; concat of one input; split into one part; expand to the own shape
* add and mul get their constant on the right
* resize to the own size; requantize to the own quantisation; cast to the own dtype
* reshape, squeeze or unsqueeze after one of them: one reshape; transpose after transpose: one transpose

A node whose input is an input of the graph (or a constant) and whose output is an output of the graph stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from whit.ir import Graph, Node
from whit.optimize.base import (
    NodePass,
    attribute_float,
    attribute_ints,
    is_static,
    redirect,
    same_quantization,
    scalar_constant,
)
from whit.optimize.layout_rules import reshape_for_permutation

__all__ = ["RemoveIdentity", "reshape_attribute"]

_VIEWS = frozenset(("reshape", "squeeze", "unsqueeze"))


class RemoveIdentity(NodePass):
    """See the module."""

    name: ClassVar[str] = "remove_identity"
    ensures: ClassVar[tuple[str, ...]] = ("no_identity",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        turned = node.op in ("add", "mul") and _constant_to_the_right(graph, node)
        if (node.op in _ALWAYS or (node.op in _IF and _IF[node.op](graph, node))) and _same_kind(graph, node):
            return redirect(graph, node.outputs[0], node.inputs[0]) or turned
        if node.op == "transpose":
            return _merge_transposes(graph, node) or _to_reshape(graph, node)
        return (node.op in _VIEWS and _merge_views(graph, node)) or turned


def _constant_to_the_right(graph: Graph, node: Node) -> bool:
    if graph.constant(node.inputs[0]) is None or graph.constant(node.inputs[1]) is not None:
        return False
    node.inputs.reverse()
    return True


def _same_kind(graph: Graph, node: Node) -> bool:
    """The first input and the output agree in dtype, quantisation and (as far as known) shape."""
    source, result = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    same = source.dtype == result.dtype and same_quantization(source.quantization, result.quantization)
    return same and source.shape is not None and source.shape == result.shape


def _adds_zero(graph: Graph, node: Node) -> bool:
    return not _is_clamped(node) and _uniform(graph, node.inputs[1]) == 0


def _multiplies_one(graph: Graph, node: Node) -> bool:
    return not _is_clamped(node) and _uniform(graph, node.inputs[1]) == 1


def _uniform(graph: Graph, tensor: str) -> float | None:
    """The value that all elements of an f32 constant have."""
    value = scalar_constant(graph, tensor)
    data = graph.constant(tensor)
    if value is None and data is not None and data.dtype.kind == "f" and data.size and (data == data.flat[0]).all():
        return float(data.flat[0])
    return value


def _is_clamped(node: Node) -> bool:
    low = attribute_float(node, "clamp_min", -math.inf)
    return low != -math.inf or attribute_float(node, "clamp_max", math.inf) != math.inf


def _resizes_nothing(graph: Graph, node: Node) -> bool:
    scales = node.attributes["scales"]
    assert isinstance(scales, list)
    return is_static(graph.tensors[node.inputs[0]].shape) and all(scale == 1 for scale in scales)


def _slices_everything(graph: Graph, node: Node) -> bool:
    """Equal shapes say it, unless a step turns the order round; unknown sizes need whole ranges."""
    if any(step != 1 for step in attribute_ints(node, "steps")):
        return False
    if is_static(graph.tensors[node.inputs[0]].shape):
        return True
    ends = zip(attribute_ints(node, "starts"), attribute_ints(node, "ends"), strict=True)
    return all(start == 0 and end >= (1 << 31) - 1 for start, end in ends)


#: Identities where the first input and the output look alike.
_ALWAYS = frozenset(("reshape", "squeeze", "unsqueeze", "expand", "requantize", "cast"))
#: The same, if this holds too.
_IF: dict[str, Callable[[Graph, Node], bool]] = {
    "transpose": lambda _, node: attribute_ints(node, "perm") == sorted(attribute_ints(node, "perm")),
    "clip": lambda _, node: not _is_clamped(node),
    "add": _adds_zero,
    "sub": _adds_zero,
    "mul": _multiplies_one,
    "div": _multiplies_one,
    "pad": lambda _, node: not any(attribute_ints(node, "pads")),
    "slice": _slices_everything,
    "concat": lambda _, node: len(node.inputs) == 1,
    "split": lambda _, node: len(node.outputs) == 1,
    "resize": _resizes_nothing,
}


def _merge_transposes(graph: Graph, node: Node) -> bool:
    first = graph.producer(node.inputs[0])
    if first is None or first.op != "transpose":
        return False
    inner = attribute_ints(first, "perm")
    node.attributes = {"perm": [inner[axis] for axis in attribute_ints(node, "perm")]}
    node.inputs = list(first.inputs)
    return True


def _to_reshape(graph: Graph, node: Node) -> bool:
    shape = graph.tensors[node.inputs[0]].shape
    sizes = None if shape is None else reshape_for_permutation(shape, attribute_ints(node, "perm"))
    if sizes is None:
        return False
    node.op, node.attributes = "reshape", {"shape": list(sizes)}
    return True


def _merge_views(graph: Graph, node: Node) -> bool:
    first = graph.producer(node.inputs[0])
    if first is None or first.op not in _VIEWS:
        return False
    sizes = reshape_attribute(graph, first.inputs[0], node.outputs[0])
    if sizes is None:
        return False
    node.op, node.attributes, node.inputs = "reshape", {"shape": list(sizes)}, [first.inputs[0]]
    return True


def reshape_attribute(graph: Graph, source: str, result: str) -> list[int] | None:
    """The attribute `shape` that reshapes `source` into the shape of `result`; None if sizes are not known enough."""
    old, new = graph.tensors[source].shape, graph.tensors[result].shape
    if old is None or new is None or 0 in new:
        return None
    sizes: list[int] = []
    for axis, size in enumerate(new):
        if isinstance(size, int):
            sizes.append(size)
        else:
            sizes.append(0 if axis < len(old) and old[axis] == size else -1)
    return None if sizes.count(-1) > 1 else sizes
