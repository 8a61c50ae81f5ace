"""Lets convolutions and average pools do the padding in front of them.

Legal cases, for a constant pad by f32 zeros on spatial axes alone (channels last):
* into conv, unless its own padding holds something else than 0
* into average_pool without ceil_mode, if padding counts there already or the pool has none of its own (then it counts)
"""

from __future__ import annotations

from typing import ClassVar

from whit.ir import Graph, Node
from whit.optimize.base import NodePass, attribute_float, attribute_floats, attribute_int, attribute_ints, attribute_str

__all__ = ["MergePad"]


class MergePad(NodePass):
    """See the module."""

    name: ClassVar[str] = "merge_pad"
    operators: ClassVar[frozenset[str]] = frozenset(("conv", "average_pool"))
    requires: ClassVar[tuple[str, ...]] = ("channels_last",)
    ensures: ClassVar[tuple[str, ...]] = ("pads_merged",)

    def rewrite(self, graph: Graph, node: Node) -> bool:
        pad = graph.producer(node.inputs[0])
        if pad is None or pad.op != "pad" or attribute_str(pad, "mode") != "constant":
            return False
        if attribute_float(pad, "value") != 0 or graph.tensors[pad.inputs[0]].dtype != "f32":
            return False
        if any(attribute_floats(node, "pad_values")):
            return False
        pads, own = attribute_ints(pad, "pads"), attribute_ints(node, "pads")
        rank = len(pads) // 2
        if pads[0] or pads[rank - 1] or pads[rank] or pads[-1]:
            return False
        if node.op == "average_pool":
            if attribute_int(node, "ceil_mode") or not (attribute_int(node, "count_include_pad") or not any(own)):
                return False
            node.attributes["count_include_pad"] = 1
        spatial = pads[1 : rank - 1] + pads[rank + 1 : -1]
        node.attributes["pads"] = [a + b for a, b in zip(own, spatial, strict=True)]
        node.inputs[0] = pad.inputs[0]
        return True
