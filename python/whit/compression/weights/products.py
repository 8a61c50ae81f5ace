"""What the techniques that rewrite convolutions and matrix products share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from whit.errors import InvalidArgumentError
from whit.ir import Attribute, Dim, Graph, Node
from whit.optimize.base import attribute_int, attribute_ints

__all__ = [
    "EPILOGUE",
    "add_to_bias",
    "bias_of",
    "find_layer",
    "group_of",
    "has_free_bias",
    "is_plain",
    "macs",
    "positions",
    "spatial_of",
    "unit_attributes",
    "weights_of",
]

#: Attributes of what happens to the sums of a product.
EPILOGUE = ("activation", "clamp_min", "clamp_max")


def find_layer(graph: Graph, name: str) -> Node:
    """The node of that name; InvalidArgumentError if there is none."""
    for node in graph.nodes:
        if node.name == name:
            return node
    raise InvalidArgumentError(f"no layer {name!r} in the graph; `whit inspect` lists them")


def weights_of(graph: Graph, node: Node) -> np.ndarray | None:
    """Constant f32 weights, or None."""
    data = graph.constant(node.input(1))
    return data if data is not None and data.dtype == np.float32 else None


def bias_of(graph: Graph, node: Node) -> tuple[bool, np.ndarray | None]:
    """Whether a product has a bias, and its data if it is constant."""
    return node.input(2) != "", graph.constant(node.input(2))


def has_free_bias(graph: Graph, node: Node) -> bool:
    """Whether something can be added to a product's bias: it is constant, or there is none."""
    return not node.input(2) or graph.constant(node.input(2)) is not None


def add_to_bias(graph: Graph, node: Node, shift: np.ndarray) -> None:
    """Adds f64 [O] to a bias that is free."""
    bias = graph.constant(node.input(2))
    total = (shift if bias is None else shift + bias).astype(np.float32)
    node.inputs[2:3] = [graph.add_constant(f"{node.name}_bias", total)]


def group_of(node: Node) -> int:
    """1 for a gemm."""
    return attribute_int(node, "group", 1)


def is_plain(node: Node) -> bool:
    """True where the sums are the result: no activation, no clamp, nothing added."""
    low, high = node.attributes.get("clamp_min", -math.inf), node.attributes.get("clamp_max", math.inf)
    return not node.attributes.get("activation", "") and low == -math.inf and high == math.inf and not node.input(3)


def macs(graph: Graph, node: Node) -> int:
    """Multiply-adds of one run; sizes that are open count as 1."""
    weights = weights_of(graph, node)
    assert weights is not None, "asked of products with constant weights"
    output = graph.tensors[node.outputs[0]].shape
    if node.op == "conv_transpose":
        source = graph.tensors[node.inputs[0]].shape
        return positions(source) * weights.size
    return positions(output) * weights.size


def positions(shape: Sequence[Dim] | None) -> int:
    """Of a shape without its last axis; sizes that are open count as 1."""
    return math.prod(size if isinstance(size, int) else 1 for size in (shape or (1,))[:-1])


def unit_attributes(axes: int) -> dict[str, Attribute]:
    """Of a convolution with one tap for each of `axes` spatial axes."""
    return {"strides": [1] * axes, "dilations": [1] * axes, "pads": [0] * 2 * axes, "group": 1}


def spatial_of(node: Node) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and pads of a convolution."""
    return attribute_ints(node, "strides"), attribute_ints(node, "dilations"), attribute_ints(node, "pads")
