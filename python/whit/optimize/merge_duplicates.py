"""Computes once what is computed twice.

Legal: nodes with the same operator, inputs and attributes whose outputs have the same dtypes and quantisations, and
whose later outputs are not outputs of the graph; small constants with the same bytes, shape and quantisation.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from whit.ir import Graph, Node, Quantization
from whit.optimize.base import Pass

__all__ = ["MergeDuplicates"]

#: Comparing larger constants costs more than they are likely to save.
_MAX_BYTES = 4096


class MergeDuplicates(Pass):
    """See the module."""

    name: ClassVar[str] = "merge_duplicates"
    ensures: ClassVar[tuple[str, ...]] = ("no_duplicates",)

    def run(self, graph: Graph) -> bool:
        names = _same_constants(graph)
        changed = False
        seen: dict[Hashable, Node] = {}
        kept: list[Node] = []
        for node in graph.nodes:
            inputs = [names.get(name, name) for name in node.inputs]
            changed |= inputs != node.inputs
            node.inputs = inputs
            first = seen.setdefault(_key(graph, node), node)
            if first is not node and not set(node.outputs).intersection(graph.outputs):
                names.update(zip(node.outputs, first.outputs, strict=True))
                changed = True
            else:
                kept.append(node)
        graph.nodes = kept
        return changed


def _same_constants(graph: Graph) -> dict[str, str]:
    first: dict[Hashable, str] = {}
    same: dict[str, str] = {}
    for name, tensor in graph.tensors.items():
        if tensor.data is None or tensor.data.nbytes > _MAX_BYTES or name in graph.outputs:
            continue
        key = (tensor.dtype, tensor.data.shape, tensor.data.tobytes(), _quantization_key(tensor.quantization))
        if first.setdefault(key, name) != name:
            same[name] = first[key]
    return same


def _key(graph: Graph, node: Node) -> Hashable:
    results = [graph.tensors[name] if name else None for name in node.outputs]
    kinds = tuple(tensor and (tensor.dtype, _quantization_key(tensor.quantization)) for tensor in results)
    return node.op, tuple(node.inputs), repr(sorted(node.attributes.items())), kinds


def _quantization_key(quantization: Quantization | None) -> Hashable:
    if quantization is None:
        return None
    return quantization.axis, quantization.group, quantization.scale.tobytes(), quantization.zero_point.tobytes()
