"""The contract of a pass, and what passes share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from whit.ir import Dim, Graph, Node, Quantization, Tensor

__all__ = [
    "NodePass",
    "Pass",
    "attribute_float",
    "attribute_floats",
    "attribute_int",
    "attribute_ints",
    "attribute_str",
    "clone",
    "is_static",
    "new_tensor_like",
    "redirect",
    "same_quantization",
    "scalar_constant",
    "sole_consumer",
]


class Pass:
    """One rewrite of the graph that keeps what the graph computes.

    Attributes:
        name: for messages; the name of the module.
        requires: what must hold before (names out of other passes' `ensures`).
        ensures: what holds afterwards, once the pipeline has settled.

    The legal cases stand in the docstring of the module. Nodes may be left in any order that can run; results that
    nobody needs may be left to `Graph.prune`, which the framework calls.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    ensures: ClassVar[tuple[str, ...]] = ()

    def run(self, graph: Graph) -> bool:
        """Changes `graph` in place; True if anything changed."""
        raise NotImplementedError


class NodePass(Pass):
    """A pass that looks at one node at a time, in order.

    Attributes:
        operators: the nodes to look at; empty for all.
    """

    operators: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> bool:
        changed = False
        for node in list(graph.nodes):
            if (not self.operators or node.op in self.operators) and node in graph.nodes:
                changed |= self.rewrite(graph, node)
        return changed

    def rewrite(self, graph: Graph, node: Node) -> bool:
        """Changes `graph` around `node`; True if anything changed."""
        raise NotImplementedError


def clone(graph: Graph) -> Graph:
    """A copy whose nodes and tensors may be changed freely; the data of constants is shared, never written to."""
    return Graph(
        name=graph.name,
        nodes=[
            Node(
                node.op,
                node.name,
                list(node.inputs),
                list(node.outputs),
                {key: list(value) if isinstance(value, list) else value for key, value in node.attributes.items()},
            )
            for node in graph.nodes
        ],
        tensors={name: replace(tensor) for name, tensor in graph.tensors.items()},
        inputs=list(graph.inputs),
        outputs=list(graph.outputs),
        metadata=dict(graph.metadata),
    )


# --- asking ---


def sole_consumer(graph: Graph, tensor: str) -> Node | None:
    """The one node that reads `tensor`, if one input of one node does and it is not an output of the graph."""
    return graph.consumers(tensor)[0] if graph.is_single_use(tensor) else None


def scalar_constant(graph: Graph, tensor: str) -> float | None:
    """The value of an f32 constant of one element."""
    data = graph.constant(tensor)
    if data is None or data.size != 1 or data.dtype != np.float32:
        return None
    return float(data.reshape(-1)[0])


def same_quantization(a: Quantization | None, b: Quantization | None) -> bool:
    """True if both mean the same real numbers."""
    if a is None or b is None:
        return a is b
    return (
        a.axis == b.axis
        and a.group == b.group
        and np.array_equal(a.scale, b.scale)
        and np.array_equal(a.zero_point, b.zero_point)
    )


def is_static(shape: Sequence[Dim] | None) -> bool:
    """True if every size is known."""
    return shape is not None and all(isinstance(size, int) for size in shape)


def attribute_int(node: Node, name: str, default: int = 0) -> int:
    """An integer attribute."""
    value = node.attributes.get(name, default)
    assert isinstance(value, int), f"{node.name}: {name}"
    return value


def attribute_ints(node: Node, name: str) -> list[int]:
    """A list of integers, a copy."""
    value = node.attributes[name]
    assert isinstance(value, list), f"{node.name}: {name}"
    return [int(element) for element in value]


def attribute_float(node: Node, name: str, default: float = math.nan) -> float:
    """A number."""
    value = node.attributes.get(name, default)
    assert isinstance(value, float), f"{node.name}: {name}"
    return value


def attribute_floats(node: Node, name: str) -> list[float]:
    """A list of numbers, a copy; empty where the node does not have it."""
    value = node.attributes.get(name, [])
    assert isinstance(value, list), f"{node.name}: {name}"
    return [float(element) for element in value]


def attribute_str(node: Node, name: str, default: str = "") -> str:
    """A string."""
    value = node.attributes.get(name, default)
    assert isinstance(value, str), f"{node.name}: {name}"
    return value


# --- changing ---


def new_tensor_like(
    graph: Graph,
    tensor: str,
    hint: str,
    *,
    shape: tuple[Dim, ...] | None = None,
    dtype: str | None = None,
    quantization: Quantization | None = None,
) -> str:
    """Adds a computed tensor shaped as `tensor`, with a fresh name made from `hint`, and returns the name.

    `dtype` given: that dtype with `quantization`; else dtype and quantisation of `tensor`.
    """
    like = graph.tensors[tensor]
    if dtype is None:
        dtype, quantization = like.dtype, like.quantization
    return graph.add_tensor(Tensor(graph.fresh_name(hint), dtype, shape or like.shape, quantization))


def redirect(graph: Graph, old: str, new: str) -> bool:
    """Makes `new` stand for `old` everywhere; False (and nothing changed) where that cannot be.

    It cannot be where `old` is an output of the graph and `new` is an input, a constant or an output itself: the name
    of an output must stay, so the producer of `new` takes it over. The producer of `old` goes.
    """
    producer, old_producer = graph.producer(new), graph.producer(old)
    is_output = old in graph.outputs
    if is_output and (producer is None or new in graph.outputs):
        return False
    if old_producer is not None:  # it must not count as a reader of what it read
        old_producer.outputs = ["" if name == old else name for name in old_producer.outputs]
        if not any(old_producer.outputs):
            graph.remove_node(old_producer)
    if not is_output or producer is None:
        graph.replace_uses(old, new)
        return True
    producer.outputs = [old if name == new else name for name in producer.outputs]
    taken = graph.tensors.pop(new)
    graph.tensors[old] = Tensor(old, taken.dtype, graph.tensors[old].shape, taken.quantization)
    graph.replace_uses(new, old)
    graph.sort()
    return True
