"""Merges linear layers that follow each other with nothing between.

W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2), which is Ding et al., "RepVGG", 2021, and others, read backwards: layers
that training needed and running does not. The legal cases:

* gemm, gemm;
* a convolution without groups, then a 1 x 1 convolution without groups and padding (any strides: they multiply);
* a 1 x 1 convolution of stride 1 without groups and padding, then any without groups, if the second has no padding or
  the first no bias (else the padding would have to hold what the first makes of it).

The first must be plain (no activation, clamp or residual), its result read by the second alone and no output of the
graph. Done where the merged layer is neither larger nor more work than both.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from whit.compression.weights.products import bias_of, group_of, is_plain, macs, spatial_of, weights_of
from whit.ir import Graph, Node
from whit.optimize.base import attribute_floats, attribute_ints, clone, sole_consumer

__all__ = ["Merge", "merge_layers"]


@dataclass(frozen=True)
class Merge:
    """Two layers that follow each other.

    Attributes:
        first, second: their names; the merged one is named as the second.
        reason: why they were left alone, or "" where they were merged.
        macs_before, macs_after, bytes_before, bytes_after: of both and of the merged one (f32; open sizes count as 1).
    """

    first: str
    second: str
    reason: str = ""
    macs_before: int = 0
    macs_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


def merge_layers(graph: Graph, layers: Container[str] | None = None) -> tuple[Graph, list[Merge]]:
    """Merges what can be merged and pays.

    Args:
        graph: f32; not changed.
        layers: names of those that may be merged; None: all.

    Returns:
        The new graph, and every pair that could be merged, with the reason where it was not worth it.
    """
    result, done = clone(graph), []
    refused: dict[tuple[str, str], Merge] = {}
    while True:
        pairs = (pair for pair in _pairs(result) if layers is None or all(node.name in layers for node in pair))
        pair = next((pair for pair in pairs if (pair[0].name, pair[1].name) not in refused), None)
        if pair is None:
            break
        outcome = _merge(result, *pair)
        if outcome.reason:
            refused[outcome.first, outcome.second] = outcome
        else:
            done.append(outcome)
    result.prune()
    return result, done + list(refused.values())


def _pairs(graph: Graph) -> list[tuple[Node, Node]]:
    found = []
    for first in graph.nodes:
        if first.op not in ("gemm", "conv") or not is_plain(first) or weights_of(graph, first) is None:
            continue
        second = sole_consumer(graph, first.outputs[0])
        if second is None or second.op != first.op or second.inputs[0] != first.outputs[0]:
            continue
        constant = all(
            data is not None or not present for present, data in (bias_of(graph, n) for n in (first, second))
        )
        if weights_of(graph, second) is not None and constant and _fit(graph, first, second):
            found.append((first, second))
    return found


def _fit(graph: Graph, first: Node, second: Node) -> bool:
    if first.op == "gemm":
        return True
    if group_of(first) != 1 or group_of(second) != 1:
        return False
    if _is_pointwise(graph, second):
        return True
    unit_steps = all(stride == 1 for stride in spatial_of(first)[0])
    if not _is_pointwise(graph, first) or not unit_steps:
        return False
    return not any(spatial_of(second)[2]) or (
        not bias_of(graph, first)[0] and not attribute_floats(second, "pad_values")
    )


def _is_pointwise(graph: Graph, node: Node) -> bool:
    weights = weights_of(graph, node)
    return weights is not None and all(size == 1 for size in weights.shape[1:-1]) and not any(spatial_of(node)[2])


def _merge(graph: Graph, first: Node, second: Node) -> Merge:
    one, two = weights_of(graph, first), weights_of(graph, second)
    assert one is not None and two is not None, "_pairs saw to it"  # noqa: PT018
    inner, outer = one.reshape(len(one), -1).astype(np.float64), two.reshape(-1, two.shape[-1]).astype(np.float64)
    merged = outer @ inner  # [O2 * taps2, taps1 * I]: one of both has one tap
    kernel = two.shape[1:-1] if max(two.shape[1:-1], default=1) > 1 else one.shape[1:-1]
    weights = merged.reshape(len(two), *kernel, one.shape[-1]).astype(np.float32)
    before = macs(graph, first) + macs(graph, second), 4 * (one.size + two.size)
    after = macs(graph, second) // two.size * weights.size, 4 * weights.size
    if after[0] > before[0] or after[1] > before[1]:
        reason = (
            f"merged they would take {after[0]} multiply-adds and {after[1]} bytes, now {before[0]} and {before[1]}"
        )
        return Merge(first.name, second.name, reason, before[0], after[0], before[1], after[1])
    (has_one, bias_one), (has_two, bias_two) = bias_of(graph, first), bias_of(graph, second)
    bias = ""
    if has_one or has_two:
        total = np.zeros(len(two)) if bias_two is None else bias_two.astype(np.float64)
        if bias_one is not None:
            total = total + outer.reshape(len(two), -1, len(one)).sum(axis=1) @ bias_one
        bias = graph.add_constant(f"{second.name}_bias", total.astype(np.float32))
    if first.op == "conv":
        _join_attributes(graph, first, second)
    rest = second.inputs[3:]
    second.inputs = [first.inputs[0], graph.add_constant(f"{second.inputs[1]}_merged", weights)]
    if bias or rest:
        second.inputs.append(bias)
    second.inputs.extend(rest)
    graph.remove_node(first)
    graph.prune()
    return Merge(first.name, second.name, "", before[0], after[0], before[1], after[1])


def _join_attributes(graph: Graph, first: Node, second: Node) -> None:
    """Gives the second the geometry of both."""
    if _is_pointwise(graph, second):
        strides = [a * b for a, b in zip(spatial_of(first)[0], spatial_of(second)[0], strict=True)]
        for name in ("dilations", "pads"):
            second.attributes[name] = attribute_ints(first, name)
        second.attributes["strides"] = strides
        second.attributes.pop("pad_values", None)
        if attribute_floats(first, "pad_values"):
            second.attributes["pad_values"] = attribute_floats(first, "pad_values")
