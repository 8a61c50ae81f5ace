"""Folds per-channel constants in front of a convolution or gemm into its weights and bias.

Learnable scale-and-shift layers behind an activation look like this, and so does the normalisation of an image.

Legal cases, for conv and gemm with constant f32 weights whose input comes from an f32 node that nobody else reads:
* mul by, div by an f32 constant with one element, or one per channel (last axis)
* add of, sub of such a constant, if no padding is mixed in
* the same where the convolution pads, for what is computed from an input of the graph (or its integers) by such
  constants alone: `pad_values` then holds what they make 0. Elsewhere that might lie far outside of what the tensor
  takes, and cost the precision of its steps when it is quantised.
* add or sub of such a constant after mul or div by one without zeros, where padding forbids the case above: the factor
  goes into the weights, the constant is divided by it and stays
Computed in double, rounded to f32 once per node folded.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whit.ir import Graph, Node
from whit.optimize.base import (
    NodePass,
    attribute_float,
    attribute_floats,
    attribute_int,
    attribute_ints,
    sole_consumer,
)

__all__ = ["FoldInputAffine"]


class FoldInputAffine(NodePass):
    """See the module."""

    name: ClassVar[str] = "fold_input_affine"
    operators: ClassVar[frozenset[str]] = frozenset(("conv", "gemm"))
    requires: ClassVar[tuple[str, ...]] = ("channels_last", "pads_merged", "batch_norm_folded")
    ensures: ClassVar[tuple[str, ...]] = ("input_affine_folded",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        weights = graph.constant(node.inputs[1])
        if weights is None or weights.dtype != np.float32:
            return False
        changed = False
        while _fold_producer(graph, node):
            changed = True
        return changed


def _fold_producer(graph: Graph, node: Node) -> bool:
    found = _affine(graph, node.inputs[0])
    if found is None:
        return False
    producer, source, factor, term = found
    pads = node.op == "conv" and any(attribute_ints(node, "pads"))
    if term is not None and pads and not _is_from_input(graph, source):
        return _swap(graph, node, producer, source, term)
    padding = _padding(node, factor, term) if pads else None
    if padding is not None and np.abs(padding).max() > np.finfo(np.float32).max:
        return False
    if term is None:
        _scale_weights(graph, node, factor)
    elif not _shift_bias(graph, node, term):
        return False
    if padding is not None:
        shape = graph.tensors[node.inputs[0]].shape
        assert shape is not None
        assert isinstance(shape[-1], int), "the weights say how many channels"
        node.attributes["pad_values"] = [float(value) for value in np.broadcast_to(padding, (shape[-1],))]
    if padding is None or not padding.any():
        node.attributes.pop("pad_values", None)
    node.inputs[0] = source
    graph.remove_node(producer)
    return True


def _is_from_input(graph: Graph, tensor: str) -> bool:
    """True if only per-channel constants lie between `tensor` and an input of the graph, or what was integers."""
    found = _affine(graph, tensor)
    if found is not None:
        return _is_from_input(graph, found[1])
    producer = graph.producer(tensor)
    if producer is not None and producer.op in ("transpose", "reshape"):
        return _is_from_input(graph, producer.inputs[0])
    return producer is None or producer.op == "dequantize_linear"


def _padding(node: Node, factor: np.ndarray, term: np.ndarray | None) -> np.ndarray:
    """`pad_values` once the producer is gone, f64: what it makes of them is what they are now, inf if nothing is."""
    padding: np.ndarray = np.asarray(attribute_floats(node, "pad_values") or [0.0])
    if term is not None:
        shifted: np.ndarray = padding - term
        return shifted
    padding, factor = np.broadcast_arrays(padding, factor)
    scaled: np.ndarray = np.divide(padding, factor, out=np.where(padding == 0, 0.0, np.inf), where=factor != 0)
    return scaled


def _affine(graph: Graph, tensor: str) -> tuple[Node, str, np.ndarray, np.ndarray | None] | None:
    """The node behind `tensor`, its input, and what it does per channel: a factor, or a term that it adds."""
    producer = graph.producer(tensor)
    if producer is None or producer.op not in ("mul", "div", "add", "sub") or sole_consumer(graph, tensor) is None:
        return None
    bounds = attribute_float(producer, "clamp_min", -np.inf), attribute_float(producer, "clamp_max", np.inf)
    source, data = graph.tensors[producer.inputs[0]], graph.constant(producer.inputs[1])
    shape = graph.tensors[tensor].shape
    if bounds != (-np.inf, np.inf) or source.is_constant or data is None or data.dtype != np.float32:
        return None
    if shape is None or source.shape != shape or data.ndim > len(shape):
        return None
    if data.size != 1 and (data.shape[-1] != shape[-1] or data.size != shape[-1]):
        return None
    values = data.reshape(-1).astype(np.float64)
    if producer.op in ("add", "sub"):
        return producer, source.name, np.ones(1), values if producer.op == "add" else -values
    if producer.op == "div":
        if not values.all():
            return None
        values = 1 / values
    return producer, source.name, values, None


def _per_weight(node: Node, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of input channels, shaped to multiply weights [o, kernel..., i / group]."""
    if values.size == 1:
        return values.reshape([1] * weights.ndim)
    group = attribute_int(node, "group", 1)
    by_group = np.repeat(values.reshape(group, -1), weights.shape[0] // group, axis=0)
    return by_group.reshape(weights.shape[0], *[1] * (weights.ndim - 2), weights.shape[-1])


def _scale_weights(graph: Graph, node: Node, factor: np.ndarray) -> None:
    weights = graph.tensors[node.inputs[1]].data
    assert weights is not None, "checked by rewrite"
    scaled = (weights * _per_weight(node, weights, factor)).astype(np.float32)
    node.inputs[1] = graph.add_constant(f"{node.name}_weights", scaled)


def _shift_bias(graph: Graph, node: Node, term: np.ndarray) -> bool:
    weights = graph.tensors[node.inputs[1]].data
    assert weights is not None, "checked by rewrite"
    shift = (weights * _per_weight(node, weights, term)).reshape(weights.shape[0], -1).sum(axis=1)
    if node.input(2):
        bias = graph.constant(node.input(2))
        if bias is None or bias.dtype != np.float32:
            return False
        shift = shift + bias
    node.inputs[2:3] = [graph.add_constant(f"{node.name}_bias", shift.astype(np.float32))]
    return True


def _swap(graph: Graph, node: Node, add: Node, source: str, term: np.ndarray) -> bool:
    """X * factor + term = (x + term / factor) * factor."""
    found = _affine(graph, source)
    if found is None or found[3] is not None or not found[2].all():
        return False
    mul, x, factor, _ = found
    quotient = term / factor
    if np.abs(quotient).max() > np.finfo(np.float32).max:
        return False
    _scale_weights(graph, node, factor)
    add.op, add.inputs = "add", [x, graph.add_constant(f"{add.name}_term", quotient.astype(np.float32))]
    graph.remove_node(mul)
    return True
