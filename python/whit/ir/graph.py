"""The graph that the offline half works on: plain dataclasses, no framework.

A `Graph` holds tensors by name and nodes in an order in which they can run. Operators, their attributes and layouts
are those of csrc/model/op_list.inc (channels-last images). Passes change a graph in place through the methods here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

__all__ = ["Attribute", "Dim", "Graph", "LinearCodes", "Node", "Quantization", "Tensor"]

#: A size: fixed, or the name of one that is known only at run time.
Dim = int | str
Attribute = int | float | str | list[int] | list[float]


@dataclass(eq=False)
class Quantization:
    """real = (q - zero_point) * scale, per tensor (`axis` None, one scale), per index of `axis`, or by groups.

    `scale` is f32 [count], `zero_point` s32 [count]. By groups each `GROUP` values of a row of the last axis, or fewer
    at its end, have a scale: `group` is `GROUP`, `axis` the last one, and both arrays are [rows, groups], scales
    numbers that f16 has, zero points 0. Such are constants of s8.
    """

    #: Values that share a scale.
    GROUP: ClassVar[int] = 32

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None = None
    group: int = 0

    @classmethod
    def by_groups(cls, scale: np.ndarray, rank: int) -> Quantization:
        """Of a constant with `rank` axes; `scale` is [rows, groups]."""
        return cls(scale.astype(np.float32), np.zeros(scale.shape, np.int32), rank - 1, cls.GROUP)

    def spread(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """`values`, scale or zero_point, as an array that broadcasts to a tensor of `shape`."""
        if self.group:
            return np.repeat(values, self.group, axis=1)[:, : shape[-1]].reshape(shape)
        return values.reshape([-1 if axis == self.axis else 1 for axis in range(len(shape))])


@dataclass(frozen=True, eq=False)
class LinearCodes:
    """f32 values as small integers: value = (code - zero_point) * scale, one f32 multiply.

    Attributes:
        codes: s8 or u8, of the shape of the values.
        scale: f32, one of three shapes: [1] for the whole tensor; [O] for each index of the first axis; [O, G] for each
            `group` consecutive values of the rest of each index of the first axis, flattened (the last may be shorter).
        zero_point: s32, shaped as `scale`.
        group: 0 for the first two.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    group: int = 0

    def dequantize(self) -> np.ndarray:
        """The values, f32, of the shape of `codes`."""
        rows = self.codes.reshape(len(self.codes) if self.scale.size > 1 else 1, -1)
        scale, zero_point = (each.reshape(len(each), -1) for each in (self.scale, self.zero_point))
        if self.group:
            scale, zero_point = (
                np.repeat(each, self.group, axis=1)[:, : rows.shape[1]] for each in (scale, zero_point)
            )
        steps = (rows.astype(np.int32) - zero_point).astype(np.float32)
        result: np.ndarray = (steps * scale.astype(np.float32)).reshape(self.codes.shape)
        return result


@dataclass(eq=False)
class Tensor:
    """An input, something computed, or a constant (`data` not None).

    `shape` is None where it is not known yet (before shape inference). `codes` say how a constant may be stored.
    """

    name: str
    dtype: str = "f32"
    shape: tuple[Dim, ...] | None = None
    quantization: Quantization | None = None
    data: np.ndarray | None = None
    codes: LinearCodes | None = None

    @property
    def is_constant(self) -> bool:
        return self.data is not None


@dataclass(eq=False)
class Node:
    """One operation. An absent optional input or output is an empty name."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def input(self, position: int) -> str:
        """The name of an input; '' where it is absent, which `Graph.constant` takes."""
        return self.inputs[position] if position < len(self.inputs) else ""

    @property
    def output(self) -> str:
        """The name of the first output that is not absent."""
        return next(name for name in self.outputs if name)


#: Operators of (data, weights, bias, residual), of which the last two may be absent, with an activation.
PRODUCTS = frozenset({"conv", "conv_transpose", "gemm"})
#: Where operators that have weights have them.
WEIGHT_INPUTS = {**dict.fromkeys(sorted(PRODUCTS), (1,)), "lstm": (1, 2)}


@dataclass(eq=False)
class Graph:
    """A model. `metadata` goes into the file as JSON."""

    name: str = ""
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    metadata: dict[str, object] = field(default_factory=dict)

    # --- asking ---

    def producer(self, tensor: str) -> Node | None:
        """The node that computes `tensor`; None for inputs and constants."""
        return self._producers().get(tensor)

    def consumers(self, tensor: str) -> list[Node]:
        """Every node that reads `tensor`, once each, in order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def is_single_use(self, tensor: str) -> bool:
        """True if exactly one node input reads `tensor` and it is not an output of the graph."""
        uses = sum(node.inputs.count(tensor) for node in self.nodes)
        return uses == 1 and tensor not in self.outputs

    def constant(self, tensor: str) -> np.ndarray | None:
        """The data of a constant tensor, None for '' and for tensors that are computed."""
        found = self.tensors.get(tensor)
        return None if found is None else found.data

    def _producers(self) -> dict[str, Node]:
        return {output: node for node in self.nodes for output in node.outputs if output}

    # --- changing ---

    def add_tensor(self, tensor: Tensor) -> str:
        """Adds a tensor; its name must be new. Returns the name."""
        if tensor.name in self.tensors:
            raise ValueError(f"graph already has a tensor named {tensor.name!r}")
        self.tensors[tensor.name] = tensor
        return tensor.name

    def add_constant(self, hint: str, data: np.ndarray, quantization: Quantization | None = None) -> str:
        """Adds a constant under a fresh name made from `hint`. Returns the name."""
        from whit.dtypes import dtype_of

        data = np.asarray(data, order="C")
        return self.add_tensor(Tensor(self.fresh_name(hint), dtype_of(data), data.shape, quantization, data))

    def fresh_name(self, hint: str) -> str:
        """`hint`, or `hint_2`, ...: a name that no tensor has."""
        name, count = hint, 1
        while name in self.tensors:
            count += 1
            name = f"{hint}_{count}"
        return name

    def insert_before(self, node: Node, new: Iterable[Node]) -> None:
        """Inserts nodes just before `node`."""
        index = self.nodes.index(node)
        self.nodes[index:index] = list(new)

    def insert_after(self, node: Node, new: Iterable[Node]) -> None:
        """Inserts nodes just after `node`."""
        index = self.nodes.index(node) + 1
        self.nodes[index:index] = list(new)

    def remove_node(self, node: Node) -> None:
        """Removes a node; its outputs stay as tensors until `prune`."""
        self.nodes = [other for other in self.nodes if other is not node]

    def replace_uses(self, old: str, new: str) -> None:
        """Every node input that reads `old` reads `new`. Graph outputs stay (see `is_single_use`)."""
        for node in self.nodes:
            node.inputs = [new if name == old else name for name in node.inputs]

    def prune(self) -> bool:
        """Drops nodes whose results nobody needs and tensors that nobody names. Inputs stay. True if changed."""
        needed = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(name for name in node.inputs if name)
        kept.reverse()
        changed = len(kept) != len(self.nodes)
        self.nodes = kept
        named = {name for node in kept for name in (*node.inputs, *node.outputs) if name}
        named.update(self.inputs, self.outputs)
        unused = [name for name in self.tensors if name not in named]
        for name in unused:
            del self.tensors[name]
        return changed or bool(unused)

    def sort(self) -> None:
        """Puts the nodes into an order in which they can run; a cycle is a ValueError."""
        producers = self._producers()
        state: dict[int, bool] = {}
        ordered: list[Node] = []
        for root in self.nodes:
            stack: list[tuple[Node, Iterator[str]]] = []
            if id(root) not in state:
                state[id(root)] = False
                stack.append((root, iter(root.inputs)))
            while stack:
                node, inputs = stack[-1]
                for name in inputs:
                    parent = producers.get(name)
                    if parent is None or state.get(id(parent)) is True:
                        continue
                    if id(parent) in state:
                        raise ValueError(f"graph has a cycle through node {parent.name!r}")
                    state[id(parent)] = False
                    stack.append((parent, iter(parent.inputs)))
                    break
                else:
                    state[id(node)] = True
                    ordered.append(node)
                    stack.pop()
        self.nodes = ordered
