"""What operators cost on cores that are not at hand: estimated from counted instructions, not measured on boards.

The numbers are means over MobileNetV1 and V2, recipes int8 and f32, of what
`python -m bench.arm --contenders whit --models mobilenet_v1 mobilenet_v2 --breakdown 14` counts for the kernels of
each kind. docs/ARM.md says how, and what is left out: caches, memory, several threads. They rank recipes; a board says
how long they take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from whit.ir import PRODUCTS, Graph, Node

__all__ = ["TARGETS", "Target", "estimate_ms", "macs"]


@dataclass(frozen=True)
class Target:
    """A core.

    Attributes:
        megahertz: of the board that is named.
        board: whose clock that is.
        mac: estimated cycles (Cortex-A53: issue slots) for each multiply-accumulate, by kind and dtype of the data.
        element: for each element that any other operator writes: what quantize_linear takes.
    """

    megahertz: float
    board: str
    mac: Mapping[tuple[str, str], float]
    element: float


TARGETS: dict[str, Target] = {
    "cortex-a53": Target(
        1200,
        "Raspberry Pi 3",
        {("dense", "s8"): 0.263, ("depthwise", "s8"): 0.658, ("dense", "f32"): 0.497, ("depthwise", "f32"): 1.090},
        3.1,
    ),
    "cortex-a72": Target(
        1500,
        "Raspberry Pi 4",
        {("dense", "s8"): 0.140, ("depthwise", "s8"): 0.298, ("dense", "f32"): 0.309, ("depthwise", "f32"): 0.571},
        2.3,
    ),
    "cortex-a76": Target(
        2400,
        "Raspberry Pi 5",
        {("dense", "s8"): 0.040, ("depthwise", "s8"): 0.168, ("dense", "f32"): 0.166, ("depthwise", "f32"): 0.350},
        1.3,
    ),
}
#: They cost nothing.
_VIEWS = frozenset({"reshape", "squeeze", "unsqueeze"})
_PRODUCTS = PRODUCTS | {"matmul", "lstm"}


def estimate_ms(graph: Graph, target: str) -> float:
    """Milliseconds of one inference on one thread; sizes that are open count as 1."""
    core = TARGETS[target]
    cycles = 0.0
    for node in graph.nodes:
        is_f32 = graph.tensors[node.inputs[0]].dtype == "f32" and not node.attributes.get("dynamic")
        dtype = "f32" if is_f32 else "s8"
        count = macs(graph, node)
        if count:
            cycles += count * core.mac[_kind(graph, node), dtype]
        elif node.op not in _VIEWS:
            cycles += sum(_elements(graph, name) for name in node.outputs if name) * core.element
    return cycles / (core.megahertz * 1e3)


def macs(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of one operator; 0 for those that are no product."""
    if node.op not in _PRODUCTS:
        return 0
    if node.op == "lstm":
        steps = _size(graph, node.inputs[0])[0]
        return steps * sum(math.prod(_size(graph, name)) for name in node.inputs[1:3])
    weights = _size(graph, node.inputs[1])
    if node.op == "conv_transpose":
        return _elements(graph, node.inputs[0]) * math.prod(weights) // max(_size(graph, node.inputs[0])[-1], 1)
    if node.op == "matmul":
        return _elements(graph, node.outputs[0]) * _size(graph, node.inputs[0])[-1]
    return _elements(graph, node.outputs[0]) * math.prod(weights[1:])


def _kind(graph: Graph, node: Node) -> str:
    return "depthwise" if node.op == "conv" and _size(graph, node.inputs[1])[-1] == 1 and _groups(node) > 1 else "dense"


def _groups(node: Node) -> int:
    group = node.attributes.get("group", 1)
    return group if isinstance(group, int) else 1


def _size(graph: Graph, name: str) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else 1 for size in graph.tensors[name].shape or ())


def _elements(graph: Graph, name: str) -> int:
    return math.prod(_size(graph, name))
