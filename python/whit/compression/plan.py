"""Which operators of a graph compute in s8, which tensors are quantised for them, and which of these share a range.

Operators fall into four kinds (csrc/model/op_list.inc has their kernels):

* products (conv, conv_transpose, gemm with constant weights) are why a model is quantised at all;
* rescaling operators have a quantisation on each side: add, sub, mul, unary functions (tables), average_pool,
  reduce_mean;
* sharing operators move or select values, so inputs and outputs have one quantisation: movement, max_pool, resize, ...;
* everything else runs in f32.

An operator that is no product computes in s8 only between s8 neighbours: something before it must be s8 already (or an
input of the graph) and a product must follow. So softmax or sigmoid at the end, and what leads there from the last
product, stay f32, and that product writes f32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from whit.ir import PRODUCTS, Graph, Node
from whit.optimize.base import attribute_floats
from whit.optimize.fold_bits import binary_products

if TYPE_CHECKING:
    from whit.compression.steps import Step

__all__ = ["Plan", "data_inputs", "has_residual", "make_plan", "observed"]

_BINARY = frozenset({"add", "sub", "mul"})
_RESCALING = _BINARY | {
    *("average_pool", "reduce_mean", "clip", "leaky_relu", "elu", "sigmoid", "tanh", "hard_sigmoid", "hard_swish"),
    *("silu", "gelu", "erf", "softplus", "abs", "neg"),
}
_SHARING = frozenset(
    {
        *("max_pool", "reduce_max", "reduce_min", "resize", "pad", "slice", "concat", "split", "gather", "reshape"),
        *("squeeze", "unsqueeze", "transpose", "expand", "depth_to_space"),
    }
)
#: Longer sums of products of s8 could leave s32.
_MAX_SUM_LENGTH = 1 << 15


@dataclass
class Plan:
    """What `quantize` will do.

    Attributes:
        nodes: operators that compute in s8.
        groups: quantised tensor -> the tensor that names its group; a group has one quantisation.
        sources: group -> the tensors whose values span it (the others of the group only repeat these).
        fixed: group -> values that the range must hold whatever was observed (padding).
        reasons: node name -> why an operator stays in f32.
    """

    nodes: set[Node] = field(default_factory=set)
    groups: dict[str, str] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    fixed: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def data_inputs(node: Node) -> list[int]:
    """Positions of the inputs that hold activations (not weights, bias or indices)."""
    if node.op in PRODUCTS:
        return [index for index in (0, 3) if node.input(index)]
    if node.op in _BINARY or node.op == "concat":
        return [index for index, name in enumerate(node.inputs) if name]
    return [0]


def has_residual(node: Node) -> bool:
    """True for a product that adds a tensor. Its result is s8 even where nobody needs that: no kernel gives f32."""
    return node.op in PRODUCTS and node.input(3) != ""


def make_plan(graph: Graph, step: Step) -> Plan:
    """Decides for an optimised f32 graph and the layers that a step is for; changes nothing."""
    plan = Plan()
    consumers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in set(node.inputs):
            consumers.setdefault(name, []).append(node)
    _choose_nodes(graph, step, plan, consumers)
    _group_tensors(graph, plan)
    return plan


def _choose_nodes(graph: Graph, step: Step, plan: Plan, consumers: dict[str, list[Node]]) -> None:
    candidates: set[Node] = set()
    binary = binary_products(graph)
    for node in reversed(graph.nodes):
        reason = "multiplies bits" if node.name in binary else _reason_against(graph, node, step)
        if reason is not None:
            plan.reasons[node.name] = reason
        elif node.op in PRODUCTS or any(
            other in candidates and name in _activations(other)
            for name in node.outputs
            for other in consumers.get(name, [])
        ):
            candidates.add(node)
        else:
            plan.reasons[node.name] = "no product in s8 follows"
    available = {name for name in graph.inputs if graph.tensors[name].dtype == "f32"}
    for node in graph.nodes:
        if node not in candidates:
            continue
        if node.op in PRODUCTS or available.intersection(_activations(node)):
            plan.nodes.add(node)
            available.update(node.outputs)
        else:
            plan.reasons[node.name] = "nothing before it is s8"


def _reason_against(graph: Graph, node: Node, step: Step) -> str | None:
    """Why an operator cannot or must not compute in s8; None if it can."""
    if step.for_node(node, graph) is None:
        return "left alone by the recipe"
    if node.op not in PRODUCTS and node.op not in _RESCALING and node.op not in _SHARING:
        return f"{node.op} has no s8 kernel"
    touched = [*_activations(node), *(name for name in node.outputs if name)]
    if any(graph.tensors[name].dtype != "f32" for name in touched):
        return "not f32"
    if node.op in PRODUCTS:
        weights = graph.constant(node.inputs[1])
        bias = graph.constant(node.input(2))
        if weights is None or (node.input(2) and bias is None):
            return "weights or bias are computed"
        if weights.dtype != np.float32:
            return "weights are quantised already"
        if weights[0].size > _MAX_SUM_LENGTH:
            return f"sums of {weights[0].size} products could overflow s32"
        if not _is_finite(weights) or not _is_finite(bias):
            return "weights or bias are not finite"
    elif node.op == "pad" and node.attributes["mode"] == "constant" and not math.isfinite(_pad_value(node)):
        return "pads with infinity"
    elif not all(_is_finite(graph.constant(name)) for name in _activations(node)):
        return "a constant operand is not finite"
    return None


def _is_finite(constant: np.ndarray | None) -> bool:
    return constant is None or bool(np.isfinite(constant).all())


def _group_tensors(graph: Graph, plan: Plan) -> None:
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    repeated: set[str] = set()
    for node in graph.nodes:
        if node not in plan.nodes:
            continue
        names = _activations(node)
        if node.op not in PRODUCTS or has_residual(node):
            names += [name for name in node.outputs if name]
        roots = [find(name) for name in names]
        if node.op in _SHARING:
            for root in roots[1:]:
                parent[find(root)] = find(roots[0])
            repeated.update(node.outputs)
    plan.groups = {name: find(name) for name in parent}
    for name, group in plan.groups.items():
        if name not in repeated:
            plan.sources.setdefault(group, []).append(name)
    for node in plan.nodes:
        if node.op == "conv" and node.attributes.get("pad_values"):
            plan.fixed.setdefault(plan.groups[node.inputs[0]], []).extend(attribute_floats(node, "pad_values"))
        if node.op == "pad" and node.attributes["mode"] == "constant":
            plan.fixed.setdefault(plan.groups[node.inputs[0]], []).append(_pad_value(node))


def _pad_value(node: Node) -> float:
    value = node.attributes["value"]
    assert isinstance(value, (int, float))
    return float(value)


def _activations(node: Node) -> list[str]:
    return [node.inputs[index] for index in data_inputs(node)]


def observed(graph: Graph, plan: Plan) -> Iterable[str]:
    """The computed tensors whose ranges must be measured."""
    names = (name for group in plan.sources.values() for name in group)
    return [name for name in names if not graph.tensors[name].is_constant]
