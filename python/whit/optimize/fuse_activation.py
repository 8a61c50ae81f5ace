"""Lets the operator that computes a tensor apply the activation behind it.

Legal cases, where the activation alone reads an f32 tensor:
* clip into conv, conv_transpose, gemm (after whatever activation and clamp they have), add and mul
* hard_swish into conv, conv_transpose and gemm without activation and clamp (a residual is added before it)
"""

from __future__ import annotations

import math
from typing import ClassVar

from whit.ir import PRODUCTS, Attribute, Graph, Node
from whit.optimize.base import NodePass, attribute_str, redirect, sole_consumer
from whit.optimize.recognize_activations import clamp_of, merge_clamps

__all__ = ["FuseActivation"]


class FuseActivation(NodePass):
    """See the module."""

    name: ClassVar[str] = "fuse_activation"
    operators: ClassVar[frozenset[str]] = frozenset(("clip", "hard_swish"))
    requires: ClassVar[tuple[str, ...]] = ("activations_recognized", "batch_norm_folded")
    ensures: ClassVar[tuple[str, ...]] = ("activations_fused",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        source = node.inputs[0]
        before = graph.producer(source)
        if before is None or graph.tensors[source].dtype != "f32" or sole_consumer(graph, source) is not node:
            return False
        attributes: dict[str, Attribute]
        if node.op == "clip" and (before.op in PRODUCTS or before.op in ("add", "mul")):
            low, high = merge_clamps(clamp_of(before), clamp_of(node))
            attributes = {"clamp_min": low, "clamp_max": high}
        elif node.op == "hard_swish" and before.op in PRODUCTS:
            if attribute_str(before, "activation") or clamp_of(before) != (-math.inf, math.inf):
                return False
            attributes = {"activation": "hard_swish"}
        else:
            return False
        if not redirect(graph, node.outputs[0], source):
            return False
        before.attributes.update(attributes)
        return True
