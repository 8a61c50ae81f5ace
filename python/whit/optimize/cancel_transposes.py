"""Chooses for each node whether it runs in the model's layout or channels last, so that transposes cancel.

Import wraps every spatial operator into a transpose to channels last and one back. Between them stand nodes that do not
care about the order of axes, or that only need their attributes and constants changed (layout_rules.py). A pair of
tensors joined by a layout transpose is one value in two layouts; a transpose is needed exactly where the node that
computes a value and the nodes that read it disagree. The cheapest choice for all nodes at once is a minimum cut, so the
number of transposes never grows, and the result does not depend on the order of nodes.

Legal always. Untouched: transposes with other permutations; nodes whose computed operands have different ranks.
The names of graph inputs and outputs, and their layouts, stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from whit.ir import Attribute, Graph, Node, Tensor
from whit.optimize.base import Pass, attribute_ints
from whit.optimize.layout_rules import (
    BINARY,
    Flip,
    Permutation,
    channels_first,
    channels_last,
    flip_rule,
    permute_constant,
    permute_tensor,
    permuted,
    reshape_for_permutation,
)
from whit.optimize.min_cut import MinCut

__all__ = ["CancelTransposes"]

_SPATIAL = frozenset(("conv", "conv_transpose", "max_pool", "average_pool", "resize", "depth_to_space"))
_PERMUTATION = {"plain": channels_first, "last": channels_last}  # into that layout
_OTHER = {"plain": "last", "last": "plain"}
#: A transpose costs more than any number of bytes moved, and a reshape next to nothing.
_TRANSPOSE_COST = 1 << 40


class CancelTransposes(Pass):
    """See the module."""

    name: ClassVar[str] = "cancel_transposes"
    ensures: ClassVar[tuple[str, ...]] = ("channels_last",)

    def run(self, graph: Graph) -> bool:
        layout = _Layout(graph)
        if not layout.transposes:
            return False
        chosen = layout.choose()
        if layout.cost(chosen) >= layout.present_cost():
            return False
        layout.rebuild(chosen)
        return True


@dataclass
class _Value:
    """What is computed, whatever its layout.

    Attributes:
        names: the tensor that holds it, by layout.
        cost: of having both layouts.
        sides: who computes and reads it: a node that may be flipped, or the layout that is wanted.
        transposes: how many layout transposes of it there are.
    """

    names: dict[str, str]
    cost: int
    sides: list[Node | str]
    transposes: int = 0


class _Layout:
    """The layouts of all tensors as they are, and the nodes that could run in another."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.of: dict[str, str] = {}  # tensor -> layout, as it is
        self.values: dict[str, _Value] = {}  # tensor -> value
        self.flips: dict[int, tuple[str, Flip]] = {}  # id(node) -> its layout as it is, what flipping it does
        self.transposes: set[int] = set()  # id(node) of layout transposes
        spatial_inputs = {node.inputs[0] for node in graph.nodes if node.op in _SPATIAL}
        for name in graph.inputs:
            self._add_value(name, "last" if name in spatial_inputs else "plain", "")
        for node in graph.nodes:
            self._visit(node)
        for name in graph.outputs:
            if name in self.values:
                self.values[name].sides.append(self.of[name])

    def choose(self) -> dict[int, str]:
        """The layout of each node that can be flipped."""
        cut = MinCut("plain", "last")
        for value in self._distinct_values():
            members = list({side if isinstance(side, str) else id(side): None for side in value.sides})
            if len(members) > 1:
                cut.add_group(list(members), value.cost)
        plain = cut.solve()
        return {key: "plain" if key in plain else "last" for key in self.flips}

    def cost(self, chosen: dict[int, str]) -> int:
        total = 0
        for value in self._distinct_values():
            layouts = {side if isinstance(side, str) else chosen[id(side)] for side in value.sides}
            total += value.cost if len(layouts) > 1 else 0
        return total

    def present_cost(self) -> int:
        return sum(value.cost * value.transposes for value in self._distinct_values())

    # --- reading the graph ---

    def _distinct_values(self) -> list[_Value]:
        return list({id(value): value for value in self.values.values()}.values())

    def _add_value(self, name: str, layout: str, producer: Node | str) -> None:
        shape = self.graph.tensors[name].shape
        cost = 1
        if shape is not None and len(shape) >= 3:
            perm = _PERMUTATION[_OTHER[layout]](len(shape))
            if reshape_for_permutation(shape, perm) is None:
                cost = _TRANSPOSE_COST
                elements = 1
                for size in shape:
                    elements *= size if isinstance(size, int) else 1
                cost += elements
        self.of[name] = layout
        self.values[name] = _Value({layout: name}, cost, [producer or layout])

    def _visit(self, node: Node) -> None:
        computed = [name for name in node.inputs if name in self.values]
        if node.op in ("transpose", "reshape") and self._visit_transpose(node):
            return
        layouts = {self.of[name] for name in computed if self._rank(name) >= 3}
        layout = layouts.pop() if len(layouts) == 1 else "plain"
        flip = None if layouts or node.op in _SPATIAL else flip_rule(self.graph, node, _PERMUTATION[_OTHER[layout]])
        if flip is not None:
            self.flips[id(node)] = layout, flip
        for index, name in enumerate(node.inputs):
            if name in self.values:
                flips = flip is not None and flip.inputs[index]
                self.values[name].sides.append(node if flips else self.of[name])
        for index, name in enumerate(node.outputs):
            if not name:
                continue
            if flip is not None and flip.outputs[index]:
                self._add_value(name, layout, node)
            else:
                self._add_value(name, self._layout_of_result(node, name), "")

    def _visit_transpose(self, node: Node) -> bool:
        """True if the transpose changes between the two layouts; then both sides are one value."""
        source, result = node.inputs[0], node.outputs[0]
        if source not in self.values:
            return False
        wanted, value = _OTHER[self.of[source]], self.values[source]
        if not self._permutes(node, _PERMUTATION[wanted]) or (wanted in value.names and result in self.graph.outputs):
            return False
        value.names.setdefault(wanted, result)
        value.transposes += 1
        self.of[result] = wanted
        self.values[result] = value
        self.transposes.add(id(node))
        return True

    def _permutes(self, node: Node, permutation: Permutation) -> bool:
        """True for a transpose by the permutation, and for a reshape that does the same."""
        old, new = (self.graph.tensors[name].shape for name in (node.inputs[0], node.outputs[0]))
        if old is None or new is None or len(old) < 3 or len(new) != len(old):
            return False
        perm = permutation(len(old))
        if node.op == "transpose":
            return tuple(attribute_ints(node, "perm")) == perm
        return old != new and permuted(old, perm) == new and reshape_for_permutation(old, perm) is not None

    def _layout_of_result(self, node: Node, name: str) -> str:
        """Of a node that keeps its layout. A guess is enough: it decides what may cancel, not what is right."""
        if node.op in _SPATIAL:
            return "last"
        first = node.inputs[0]
        if node.op in ("reshape", "transpose") or first not in self.of or self._rank(first) != self._rank(name):
            return "plain"
        return self.of[first]

    def _rank(self, name: str) -> int:
        shape = self.graph.tensors[name].shape
        return 0 if shape is None else len(shape)

    # --- changing the graph ---

    def rebuild(self, chosen: dict[int, str]) -> None:
        """Gives every node its layout and puts transposes where layouts differ."""
        graph = self.graph
        self._nodes: list[Node] = []
        self._ready = set(graph.inputs)
        for node in graph.nodes:
            if id(node) in self.transposes:
                continue
            layout, flip = self.flips.get(id(node), ("", None))
            wanted = chosen.get(id(node), "")
            flipped = flip is not None and wanted != layout
            if flip is not None and flipped:
                attributes: dict[str, Attribute] = dict(flip.attributes)
                node.attributes = attributes
            for index, name in enumerate(node.inputs):
                moves = flipped and flip is not None and flip.inputs[index]
                if name in self.values:
                    node.inputs[index] = self._in_layout(name, wanted if moves else self.of[name])
                elif name and moves:
                    rank = self._rank(node.outputs[0] if node.op in BINARY else name)
                    node.inputs[index] = self._permuted_constant(name, rank, wanted)
            for index, name in enumerate(node.outputs):
                if name and flipped and flip is not None and flip.outputs[index]:
                    node.outputs[index] = self._name_in_layout(name, wanted)
            self._nodes.append(node)
            self._ready.update(filter(None, node.outputs))
        for name in graph.outputs:
            if name in self.values:
                self._in_layout(name, self.of[name])
        graph.nodes = self._nodes

    def _name_in_layout(self, name: str, layout: str) -> str:
        """The tensor that holds the value of `name` in `layout`; made if there is none."""
        value, graph = self.values[name], self.graph
        if layout not in value.names:
            other = graph.tensors[value.names[_OTHER[layout]]]
            shape, quantization = permute_tensor(other, _PERMUTATION[layout](self._rank(other.name)))
            fresh = graph.fresh_name(f"{other.name}_{'channels_last' if layout == 'last' else 'channels_first'}")
            graph.add_tensor(Tensor(fresh, other.dtype, shape, quantization))
            value.names[layout] = fresh
        return value.names[layout]

    def _in_layout(self, name: str, layout: str) -> str:
        """The same, computed: by a transpose from the other layout if need be."""
        wanted = self._name_in_layout(name, layout)
        if wanted not in self._ready:
            source = self.values[name].names[_OTHER[layout]]
            shape = self.graph.tensors[source].shape
            assert shape is not None, "a value of unknown rank has one layout"
            perm = _PERMUTATION[layout](len(shape))
            sizes = reshape_for_permutation(shape, perm)
            new = (
                Node("transpose", f"{wanted}_transpose", [source], [wanted], {"perm": list(perm)})
                if sizes is None
                else Node("reshape", f"{wanted}_reshape", [source], [wanted], {"shape": list(sizes)})
            )
            self.graph.tensors[wanted].shape = permuted(shape, perm)
            self._nodes.append(new)
            self._ready.add(wanted)
        return wanted

    def _permuted_constant(self, name: str, rank: int, layout: str) -> str:
        tensor = self.graph.tensors[name]
        assert tensor.data is not None, f"{name} is computed, but has no layout"
        perm = _PERMUTATION[layout](rank)
        quantization = permute_tensor(tensor, perm)[1] if tensor.data.ndim == rank else tensor.quantization
        data = permute_constant(tensor.data, rank, perm)
        return self.graph.add_constant(f"{name}_permuted", data, quantization)
