"""Folds per-channel constants behind a convolution or gemm into its weights and bias.

Batch normalisation is imported as mul + add; a bias, or a scale, written out looks the same.

Legal cases, for conv, conv_transpose and gemm with constant f32 weights, read by that node alone, without activation,
clamp or residual:
* mul by, div by, add of, sub of an f32 constant with one element, or one per output channel (last axis)
* add and mul with the constant on either side
* sub with the constant on the left, as a negation and an add
The result must have the shape that the convolution has. Computed in double, rounded to f32 once per node folded.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whit.ir import PRODUCTS, Graph, Node
from whit.optimize.base import NodePass, attribute_float, attribute_str, redirect, sole_consumer

__all__ = ["FoldBatchNorm", "has_plain_epilogue"]


class FoldBatchNorm(NodePass):
    """See the module."""

    name: ClassVar[str] = "fold_batch_norm"
    operators: ClassVar[frozenset[str]] = PRODUCTS
    requires: ClassVar[tuple[str, ...]] = ("channels_last", "activations_recognized")
    ensures: ClassVar[tuple[str, ...]] = ("batch_norm_folded",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        changed = False
        while has_plain_epilogue(node) and _fold_consumer(graph, node):
            changed = True
        return changed


def has_plain_epilogue(node: Node) -> bool:
    """No residual, activation or clamp."""
    return not node.input(3) and attribute_str(node, "activation") == "" and not _is_clamped(node)


def _is_clamped(node: Node) -> bool:
    bounds = attribute_float(node, "clamp_min", -np.inf), attribute_float(node, "clamp_max", np.inf)
    return bounds != (-np.inf, np.inf)


def _fold_consumer(graph: Graph, node: Node) -> bool:
    result = node.outputs[0]
    other = sole_consumer(graph, result)
    if other is None or other.op not in ("mul", "div", "add", "sub") or _is_clamped(other):
        return False
    weights, bias = graph.constant(node.inputs[1]), np.zeros(())
    if weights is None or weights.dtype != np.float32:
        return False
    if node.input(2):
        data = graph.constant(node.input(2))
        if data is None or data.dtype != np.float32:
            return False
        bias = data.astype(np.float64)
    constant_first = other.inputs[0] != result
    values = _per_channel(graph, other.inputs[0 if constant_first else 1], result, weights.shape[0])
    if values is None or graph.tensors[other.outputs[0]].shape != graph.tensors[result].shape:
        return False
    factor, term = np.ones(()), np.zeros(())
    if other.op == "add":
        term = values
    elif other.op == "mul":
        factor = values
    elif other.op == "sub":
        factor, term = (-factor, values) if constant_first else (factor, -values)
    elif constant_first or not values.all():
        return False
    else:
        factor = 1 / values
    if factor.ndim or factor != 1:
        scaled = weights * factor.reshape(-1, *[1] * (weights.ndim - 1))
        node.inputs[1] = graph.add_constant(f"{node.name}_weights", scaled.astype(np.float32))
    if node.input(2) or term.any():
        new_bias = np.broadcast_to(bias * factor + term, weights.shape[:1]).astype(np.float32)
        node.inputs[2:3] = [graph.add_constant(f"{node.name}_bias", new_bias)]
    return redirect(graph, other.outputs[0], result)


def _per_channel(graph: Graph, tensor: str, like: str, channels: int) -> np.ndarray | None:
    """The constant as f64 [channels] or [], if it is the same for everything but the last axis of `like`."""
    data, shape = graph.constant(tensor), graph.tensors[like].shape
    if data is None or shape is None or data.dtype != np.float32 or data.ndim > len(shape):
        return None
    if data.size == 1:
        return data.reshape(()).astype(np.float64)
    if data.shape[-1] != channels or data.size != channels:
        return None
    return data.reshape(-1).astype(np.float64)
