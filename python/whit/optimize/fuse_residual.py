"""Lets a convolution or gemm add the residual behind it.

Legal for an add of two computed f32 tensors of equal shape, one of which is the result of a conv or gemm without
residual, activation and clamp that the add alone reads, and not a product of bits. If both are, the later one takes the
residual. The convolution moves to the place of the add, where the other operand is there; a clamp of the add becomes
the convolution's.
"""

from __future__ import annotations

from typing import ClassVar

from whit.ir import Graph, Node
from whit.optimize.base import NodePass, sole_consumer
from whit.optimize.fold_batch_norm import has_plain_epilogue

__all__ = ["FuseResidual"]


class FuseResidual(NodePass):
    """See the module."""

    name: ClassVar[str] = "fuse_residual"
    operators: ClassVar[frozenset[str]] = frozenset(("add",))
    requires: ClassVar[tuple[str, ...]] = ("batch_norm_folded", "activations_recognized")
    ensures: ClassVar[tuple[str, ...]] = ("residuals_fused",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        shapes = [graph.tensors[name].shape for name in (*node.inputs, *node.outputs)]
        if shapes[0] is None or shapes.count(shapes[0]) != 3:
            return False
        if any(graph.constant(name) is not None or graph.tensors[name].dtype != "f32" for name in node.inputs):
            return False
        order = {id(other): index for index, other in enumerate(graph.nodes)}
        found = [(producer, 1 - index) for index in (0, 1) if (producer := _candidate(graph, node, index)) is not None]
        if not found:
            return False
        producer, other = max(found, key=lambda pair: order[id(pair[0])])
        producer.inputs = [*producer.inputs, *[""] * (3 - len(producer.inputs)), node.inputs[other]][:4]
        producer.attributes.update(node.attributes)
        producer.outputs = list(node.outputs)
        graph.remove_node(producer)
        graph.insert_before(node, [producer])
        graph.remove_node(node)
        return True


def _candidate(graph: Graph, node: Node, index: int) -> Node | None:
    producer = graph.producer(node.inputs[index])
    if producer is None or producer.op not in ("conv", "gemm") or not has_plain_epilogue(producer):
        return None
    if graph.tensors[producer.inputs[0]].dtype == "b1":
        return None
    return producer if sole_consumer(graph, node.inputs[index]) is node else None
