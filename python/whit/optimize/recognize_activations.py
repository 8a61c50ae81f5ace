"""Finds activations that a model spells out in simpler operators.

Legal cases, for f32 tensors, constants of one element, and no other reader of the products in between:
* hard_sigmoid: clip(x + b, 0, h) * (1 / h); clip(x / 6 + 0.5, 0, 1); clip((x + 3) / 6, 0, 1)
* hard_swish:   x * clip(x + 3, 0, 6) / 6 in any order and grouping; x * hard_sigmoid(x) with 1/6 and 0.5
* silu:         x * sigmoid(x)
* gelu:         0.5 * x * (1 + erf(x / sqrt(2))) in any order and grouping
* clip:         min or max with a constant; clip after clip
Multiplication and division by constants count the same, so results may differ in the last bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from whit.ir import Attribute, Graph, Node
from whit.optimize.base import NodePass, attribute_float, scalar_constant, sole_consumer

__all__ = ["RecognizeActivations", "clamp_of", "merge_clamps"]

_Found = tuple[str, str, dict[str, Attribute]]  # operator, its input, its attributes


class RecognizeActivations(NodePass):
    """See the module."""

    name: ClassVar[str] = "recognize_activations"
    operators: ClassVar[frozenset[str]] = frozenset(("mul", "div", "min", "max", "clip", "add"))
    ensures: ClassVar[tuple[str, ...]] = ("activations_recognized",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        if graph.tensors[node.outputs[0]].dtype != "f32":
            return False
        for rule in _RULES[node.op]:
            found = rule(graph, node)
            if found is not None and graph.tensors[found[1]].shape == graph.tensors[node.outputs[0]].shape:
                node.op, node.inputs, node.attributes = found[0], [found[1]], found[2]
                return True
        return False


def clamp_of(node: Node) -> tuple[float, float]:
    """The bounds of a node; infinite where it has none."""
    return attribute_float(node, "clamp_min", -math.inf), attribute_float(node, "clamp_max", math.inf)


def merge_clamps(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """One clamp that does what two in a row do."""
    low, high = second
    return min(max(first[0], low), high), min(max(first[1], low), high)


def _is_free(node: Node) -> bool:
    return clamp_of(node) == (-math.inf, math.inf)


def _near(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=3e-6)


# --- reading ---


def _factors(graph: Graph, node: Node) -> tuple[list[str], float]:
    """The product that `node` computes: factors that are no products themselves, and the product of the constants."""
    factors: list[str] = []
    scale = 1.0
    names = list(node.inputs)
    if node.op == "div":
        divisor = scalar_constant(graph, names.pop())
        if not divisor:
            return [], 0.0
        scale /= divisor
    for name in names:
        value = scalar_constant(graph, name)
        inner = graph.producer(name)
        if value is not None:
            scale *= value
        elif inner is not None and inner.op in ("mul", "div") and _is_free(inner) and sole_consumer(graph, name):
            deeper, deeper_scale = _factors(graph, inner)
            factors += deeper or [name]
            scale *= deeper_scale if deeper else 1.0
        else:
            factors.append(name)
    return factors, scale


def _added(graph: Graph, node: Node) -> tuple[str, float] | None:
    """The sum x + b, as (x, b)."""
    if node.op == "sub":
        value = scalar_constant(graph, node.inputs[1])
        return None if value is None else (node.inputs[0], -value)
    for index in (0, 1) if node.op == "add" else ():
        value = scalar_constant(graph, node.inputs[index])
        if value is not None:
            return node.inputs[1 - index], value
    return None


def _clipped_sum(graph: Graph, tensor: str) -> tuple[str, float, float] | None:
    """The gate clip(x + b, 0, h), as (x, b, h)."""
    node = graph.producer(tensor)
    if node is None or node.op not in ("clip", "add"):
        return None
    low, high = clamp_of(node)
    if node.op == "clip":
        node = graph.producer(node.inputs[0])
        if node is None or not _is_free(node):
            return None
    found = _added(graph, node)
    return None if found is None or low != 0 or not 0 < high < math.inf else (*found, high)


def _affine(graph: Graph, tensor: str) -> tuple[str, float, float]:
    """The tensor as a * x + b, given as (x, a, b), through nodes with one reader."""
    node = graph.producer(tensor)
    if node is None or not _is_free(node) or not graph.is_single_use(tensor):
        return tensor, 1.0, 0.0
    found = _added(graph, node)
    if found is not None:
        x, a, b = _affine(graph, found[0])
        return x, a, b + found[1]
    if node.op in ("mul", "div"):
        constants = [index for index in (0, 1) if scalar_constant(graph, node.inputs[index]) is not None]
        if len(constants) == 1 and (node.op == "mul" or constants == [1]):
            value = scalar_constant(graph, node.inputs[constants[0]]) or 0.0
            factor = value if node.op == "mul" else 1 / value if value else 0.0
            x, a, b = _affine(graph, node.inputs[1 - constants[0]])
            return x, a * factor, b * factor
    return tensor, 1.0, 0.0


# --- the rules ---


def _hard_sigmoid_product(graph: Graph, node: Node) -> _Found | None:
    factors, scale = _factors(graph, node)
    found = _clipped_sum(graph, factors[0]) if len(factors) == 1 and _is_free(node) else None
    if found is None or not _near(scale * found[2], 1):
        return None
    x, b, h = found
    return "hard_sigmoid", x, {"alpha": 1 / h, "beta": b / h}


def _hard_sigmoid_clip(graph: Graph, node: Node) -> _Found | None:
    """Only the one with 1/6 and 0.5: others fold into a convolution in front just as well."""
    if node.op == "add" and clamp_of(node) != (0, 1):
        return None
    if node.op == "clip":
        x, a, b = _affine(graph, node.inputs[0])
    else:
        found = _added(graph, node)
        if found is None:
            return None
        x, a, b = _affine(graph, found[0])
        b += found[1]
    if clamp_of(node) != (0, 1) or not _near(a, 1 / 6) or not _near(b, 0.5):
        return None
    return "hard_sigmoid", x, {"alpha": 1 / 6, "beta": 0.5}


def _gated(graph: Graph, node: Node) -> _Found | None:
    """Products of x and a gate of x."""
    factors, scale = _factors(graph, node)
    if len(factors) != 2 or not _is_free(node):
        return None
    for x, gate in (factors, factors[::-1]):
        clipped, producer = _clipped_sum(graph, gate), graph.producer(gate)
        if clipped is not None and clipped == (x, 3.0, 6.0) and _near(scale, 1 / 6):
            return "hard_swish", x, {}
        if producer is None:
            continue
        if producer.op == "hard_sigmoid" and producer.inputs[0] == x and _near(scale, 1):
            alpha, beta = attribute_float(producer, "alpha"), attribute_float(producer, "beta")
            if _near(alpha, 1 / 6) and _near(beta, 0.5):
                return "hard_swish", x, {}
        if producer.op == "sigmoid" and producer.inputs[0] == x and _near(scale, 1):
            return "silu", x, {}
        if _near(scale, 0.5) and _is_one_plus_erf(graph, producer, x):
            return "gelu", x, {"approximate": "none"}
    return None


def _is_one_plus_erf(graph: Graph, node: Node, x: str) -> bool:
    found = _added(graph, node) if _is_free(node) else None
    inner = None if found is None or found[1] != 1 else graph.producer(found[0])
    if inner is None or inner.op != "erf":
        return False
    source, a, b = _affine(graph, inner.inputs[0])
    return source == x and b == 0 and _near(a, math.sqrt(0.5))


def _clip_of_bound(graph: Graph, node: Node) -> _Found | None:
    for index in (0, 1):
        bound, x = scalar_constant(graph, node.inputs[index]), node.inputs[1 - index]
        if bound is not None and not math.isnan(bound) and graph.constant(x) is None:
            low, high = (-math.inf, bound) if node.op == "min" else (bound, math.inf)
            return "clip", x, {"clamp_min": low, "clamp_max": high}
    return None


def _clip_of_clip(graph: Graph, node: Node) -> _Found | None:
    first = graph.producer(node.inputs[0])
    if first is None or first.op != "clip" or graph.tensors[first.inputs[0]].dtype != "f32":
        return None
    low, high = merge_clamps(clamp_of(first), clamp_of(node))
    return "clip", first.inputs[0], {"clamp_min": low, "clamp_max": high}


_RULES: dict[str, list[Callable[[Graph, Node], _Found | None]]] = {
    "mul": [_gated, _hard_sigmoid_product],
    "div": [_gated, _hard_sigmoid_product],
    "add": [_hard_sigmoid_clip],
    "clip": [_clip_of_clip, _hard_sigmoid_clip],
    "min": [_clip_of_bound],
    "max": [_clip_of_bound],
}
