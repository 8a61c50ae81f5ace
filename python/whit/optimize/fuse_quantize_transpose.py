"""Lets quantize_linear do the transpose beside it: an image of f32 planes becomes pixels of s8 in one pass.

Legal cases, for a quantize_linear of one scale per tensor that has no `perm` yet:
* a transpose of its result, which nobody else reads
* a transpose in front of it, whose result nobody else reads

Runs when everything else has settled: other passes take quantize_linear for an operator that keeps the order of axes.
"""

from __future__ import annotations

from typing import ClassVar

from whit.ir import Graph, Node
from whit.optimize.base import NodePass, attribute_ints, sole_consumer
from whit.optimize.s8_forms import is_per_tensor_s8

__all__ = ["FuseQuantizeTranspose"]


class FuseQuantizeTranspose(NodePass):
    """See the module."""

    name: ClassVar[str] = "fuse_quantize_transpose"
    operators: ClassVar[frozenset[str]] = frozenset(("transpose",))

    def rewrite(self, graph: Graph, node: Node) -> bool:
        source, result = node.inputs[0], node.outputs[0]
        before = graph.producer(source)
        if before is not None and _takes_perm(graph, before) and sole_consumer(graph, source) is node:
            node.op, node.inputs = "quantize_linear", list(before.inputs)
            graph.remove_node(before)
            return True
        after = sole_consumer(graph, result)
        if after is not None and _takes_perm(graph, after):
            after.inputs, after.attributes = list(node.inputs), {"perm": list(attribute_ints(node, "perm"))}
            graph.remove_node(node)
            return True
        return False


def _takes_perm(graph: Graph, node: Node) -> bool:
    return (
        node.op == "quantize_linear"
        and not node.attributes.get("perm")
        and is_per_tensor_s8(graph.tensors[node.outputs[0]])
    )
