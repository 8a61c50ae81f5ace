"""Which channels of a graph can only go together.

Every channel of a tensor gets a number. Products without groups give their outputs new ones; what passes channels on
passes their numbers on (depthwise convolutions, pools, activations, concat, split, transpose, flattening, where one
channel becomes many columns); additions and the like tie the numbers of both sides. What mixes channels in another way
(softmax over them, grouped convolutions, a graph's inputs and outputs, ...) holds on to them. This is the dependency
graph of Fang et al., "DepGraph: Towards Any Structural Pruning", 2023, per channel instead of per layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whit.compression.weights.products import bias_of, group_of, weights_of
from whit.ir import PRODUCTS, Graph, Node
from whit.optimize.base import attribute_int, attribute_ints

__all__ = ["BINARY", "Channels", "Dependencies", "find_dependencies"]

BINARY = frozenset(("add", "sub", "mul", "div", "pow", "min", "max", "prelu"))
_UNARY = frozenset(
    {
        *("clip", "leaky_relu", "elu", "sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu", "gelu", "erf"),
        *("softplus", "exp", "log", "sqrt", "reciprocal", "abs", "neg", "floor", "ceil", "round", "sin", "cos", "cast"),
        "binarize",
    }
)
#: For open sizes, where a reshape is looked at.
_STAND_INS = (2, 3, 5, 7)
_CHANNELS_LAST = frozenset(("max_pool", "average_pool", "resize"))
_REDUCTIONS = frozenset(("reduce_mean", "reduce_sum", "reduce_max", "reduce_min"))
#: Operators whose rules look at all inputs.
_TIES_ALL = BINARY | PRODUCTS | {"concat"}


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a tensor: which axis they lie along, and the number of each index."""

    axis: int
    numbers: np.ndarray


class Dependencies:
    """The channels of every tensor, and which of them go together.

    Attributes:
        channels: tensor -> its channels; tensors whose shape is not known are left out.
        producers: layers whose output channels are their own: products without groups.
    """

    def __init__(self) -> None:
        self.channels: dict[str, Channels] = {}
        self.producers: list[str] = []
        self._parent: list[int] = []
        self._fixed: set[int] = set()

    def new(self, count: int, *, fixed: bool = False) -> np.ndarray:
        """Numbers that nobody has."""
        begin = len(self._parent)
        self._parent.extend(range(begin, begin + count))
        if fixed:
            self._fixed.update(range(begin, begin + count))
        return np.arange(begin, begin + count)

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """These go together, one by one."""
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            self._parent[self._root(one)] = self._root(other)

    def fix(self, numbers: np.ndarray) -> None:
        """These stay."""
        self._fixed.update(numbers.tolist())

    def is_fixed(self, numbers: np.ndarray) -> bool:
        """All of these are known to stay, by themselves."""
        return self._fixed.issuperset(numbers.tolist())

    def units(self, numbers: np.ndarray) -> np.ndarray:
        """What each number belongs to: one that stands for all that go together."""
        return np.array([self._root(number) for number in numbers.tolist()], np.intp)

    def fixed_units(self) -> set[int]:
        """Units of which something must stay."""
        return {self._root(number) for number in self._fixed}

    def _root(self, number: int) -> int:
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number


def find_dependencies(graph: Graph) -> Dependencies:
    """Looks at an f32 graph in order; changes nothing."""
    found = Dependencies()
    for name in graph.inputs:
        _keep(graph, found, name)
    for node in graph.nodes:
        source = found.channels.get(node.inputs[0])
        if node.op not in _TIES_ALL and source is not None and found.is_fixed(source.numbers):
            _hold(graph, found, node)  # wherever its channels lie
        elif not _RULES.get(node.op, _hold)(graph, found, node):
            _hold(graph, found, node)
        elif node.op not in _TIES_ALL:
            for name in node.inputs[1:]:
                if name in found.channels:  # indices and the like
                    found.fix(found.channels[name].numbers)
    for name in graph.outputs:
        if name in found.channels:
            found.fix(found.channels[name].numbers)
    return found


def _keep(graph: Graph, found: Dependencies, name: str) -> None:
    """Gives a tensor channels along its last axis that must stay."""
    shape = graph.tensors[name].shape
    if shape and isinstance(shape[-1], int):
        found.channels[name] = Channels(len(shape) - 1, found.new(shape[-1], fixed=True))


def _hold(graph: Graph, found: Dependencies, node: Node) -> bool:
    """The rule for everything else: what is read and what is written must stay."""
    for name in node.inputs:
        if name in found.channels:
            found.fix(found.channels[name].numbers)
    for name in filter(None, node.outputs):
        _keep(graph, found, name)
    return True


# --- rules: False where the node is none of the cases that are known ---


def _rank(graph: Graph, name: str) -> int:
    shape = graph.tensors[name].shape
    return -1 if shape is None else len(shape)


def _last(graph: Graph, found: Dependencies, name: str) -> Channels | None:
    """The channels of a tensor, if they lie along its last axis."""
    channels = found.channels.get(name)
    return channels if channels is not None and channels.axis == _rank(graph, name) - 1 else None


def _product(graph: Graph, found: Dependencies, node: Node) -> bool:
    weights, source = weights_of(graph, node), _last(graph, found, node.inputs[0])
    output, group = node.outputs[0], group_of(node)
    has_bias, bias = bias_of(graph, node)
    if weights is None or source is None or (has_bias and bias is None):
        return False
    if _rank(graph, output) < 0 or len(source.numbers) != group * weights.shape[-1]:
        return False
    if group == 1:
        numbers = found.new(len(weights))
        found.producers.append(node.name)
    elif weights.shape[-1] == 1:
        numbers = np.repeat(source.numbers, len(weights) // group)
    else:
        return False
    if node.input(3):
        residual = _last(graph, found, node.inputs[3])
        if residual is None or len(residual.numbers) != len(numbers):
            found.fix(numbers)
            if node.inputs[3] in found.channels:
                found.fix(found.channels[node.inputs[3]].numbers)
        else:
            found.tie(numbers, residual.numbers)
    found.channels[output] = Channels(_rank(graph, output) - 1, numbers)
    return True


def _pass(graph: Graph, found: Dependencies, node: Node) -> bool:
    return _moved(graph, found, node, lambda axis: axis)


def _moved(graph: Graph, found: Dependencies, node: Node, move: Callable[[int], int | None]) -> bool:
    """Every output has the input's channels, along another axis perhaps."""
    source = found.channels.get(node.inputs[0])
    axis = None if source is None else move(source.axis)
    if source is None or axis is None:
        return False
    for name in filter(None, node.outputs):
        shape = graph.tensors[name].shape
        if shape is None or not 0 <= axis < len(shape) or shape[axis] != len(source.numbers):
            return False
    for name in filter(None, node.outputs):
        found.channels[name] = Channels(axis, source.numbers)
    return True


def _channels_last(graph: Graph, found: Dependencies, node: Node) -> bool:
    return _last(graph, found, node.inputs[0]) is not None and _pass(graph, found, node)


def _binary(graph: Graph, found: Dependencies, node: Node) -> bool:
    rank = _rank(graph, node.outputs[0])
    sides = [name for name in node.inputs if graph.constant(name) is None]
    channels = [found.channels.get(name) for name in sides]
    if rank < 0 or not sides or any(each is None for each in channels):
        return False
    known = [each for each in channels if each is not None]
    axes = {each.axis + rank - _rank(graph, name) for each, name in zip(known, sides, strict=True)}
    shape = graph.tensors[node.outputs[0]].shape
    if len(axes) != 1 or shape is None:
        return False
    axis = axes.pop()
    wide = [each for each in known if len(each.numbers) == shape[axis]]
    if not wide:
        return False
    for each in known:
        if len(each.numbers) != shape[axis]:
            found.fix(each.numbers)  # one channel that serves all
        elif each is not wide[0]:
            found.tie(each.numbers, wide[0].numbers)
    found.channels[node.outputs[0]] = Channels(axis, wide[0].numbers)
    return True


def _concat(graph: Graph, found: Dependencies, node: Node) -> bool:
    axis, rank = attribute_int(node, "axis"), _rank(graph, node.outputs[0])
    channels = [found.channels.get(name) for name in node.inputs]
    known = [each for each in channels if each is not None]
    if rank < 0 or len(known) != len(channels) or len({each.axis for each in known}) != 1:
        return False
    if known[0].axis == axis % rank:
        numbers = np.concatenate([each.numbers for each in known])
    else:
        numbers = known[0].numbers
        if any(len(each.numbers) != len(numbers) for each in known):
            return False
        for each in known[1:]:
            found.tie(each.numbers, numbers)
    found.channels[node.outputs[0]] = Channels(known[0].axis, numbers)
    return True


def _split(graph: Graph, found: Dependencies, node: Node) -> bool:
    source, rank = found.channels.get(node.inputs[0]), _rank(graph, node.inputs[0])
    if source is None or rank < 0:
        return False
    if attribute_int(node, "axis") % rank != source.axis:
        return _pass(graph, found, node)
    sizes = [graph.tensors[name].shape for name in node.outputs if name]
    counts = [shape[source.axis] for shape in sizes if shape is not None]
    if len(counts) != len(node.outputs) or sum(c for c in counts if isinstance(c, int)) != len(source.numbers):
        return False
    begin = 0
    for name, count in zip(node.outputs, counts, strict=True):
        assert isinstance(count, int), "they add up"
        found.channels[name] = Channels(source.axis, source.numbers[begin : begin + count])
        begin += count
    return True


def _reduce(graph: Graph, found: Dependencies, node: Node) -> bool:
    axes, keepdims = attribute_ints(node, "axes"), attribute_int(node, "keepdims")

    def move(axis: int) -> int | None:
        return None if axis in axes else axis if keepdims else axis - sum(each < axis for each in axes)

    return _moved(graph, found, node, move)


def _transpose(graph: Graph, found: Dependencies, node: Node) -> bool:
    return _moved(graph, found, node, attribute_ints(node, "perm").index)


def _along_others(attribute: str) -> Callable[[Graph, Dependencies, Node], bool]:
    """For operators that work along one axis or some and leave the rest as it is."""

    def rule(graph: Graph, found: Dependencies, node: Node) -> bool:
        value, rank = node.attributes[attribute], _rank(graph, node.inputs[0])
        axes = value if isinstance(value, list) else [value]
        touched = {axis % rank for axis in axes if isinstance(axis, int)} if rank > 0 else set()
        return rank > 0 and _moved(graph, found, node, lambda axis: None if axis in touched else axis)

    return rule


def _gather(graph: Graph, found: Dependencies, node: Node) -> bool:
    # With indices of one axis the others stay where they are.
    return _rank(graph, node.inputs[1]) == 1 and _along_others("axis")(graph, found, node)


def _layer_normalization(graph: Graph, found: Dependencies, node: Node) -> bool:
    begin, rank = attribute_int(node, "axis"), _rank(graph, node.inputs[0])
    return rank > 0 and _moved(graph, found, node, lambda axis: axis if axis < begin % rank else None)


def _pad(graph: Graph, found: Dependencies, node: Node) -> bool:
    """Channels that are padding are new ones: nobody's, but they may be tied to those of others."""
    source, pads, rank = found.channels.get(node.inputs[0]), attribute_ints(node, "pads"), _rank(graph, node.outputs[0])
    if source is None or rank != len(pads) // 2:
        return False
    begin, end = pads[source.axis], pads[rank + source.axis]
    if not begin and not end:
        return _pass(graph, found, node)
    if node.attributes["mode"] != "constant":
        return False
    numbers = np.concatenate([found.new(begin), source.numbers, found.new(end)])
    found.channels[node.outputs[0]] = Channels(source.axis, numbers)
    return True


def _expand(graph: Graph, found: Dependencies, node: Node) -> bool:
    added = _rank(graph, node.outputs[0]) - _rank(graph, node.inputs[0])
    return _moved(graph, found, node, lambda axis: axis + added)


def _reshape(graph: Graph, found: Dependencies, node: Node) -> bool:
    """The channel of every element, in the new shape: legal where it changes along one axis only."""
    source = found.channels.get(node.inputs[0])
    sizes = _sizes(graph, node.inputs[0], node.outputs[0])
    if source is None or sizes is None:
        return False
    before, after = sizes
    along = [len(source.numbers) if axis == source.axis else 1 for axis in range(len(before))]
    numbers = np.broadcast_to(source.numbers.reshape(along), before).reshape(after)
    for axis in reversed(range(len(after))):
        line = numbers[tuple(slice(None) if other == axis else 0 for other in range(len(after)))]
        shape = [len(line) if other == axis else 1 for other in range(len(after))]
        if (numbers == line.reshape(shape)).all() and isinstance(_dim(graph, node.outputs[0], axis), int):
            found.channels[node.outputs[0]] = Channels(axis, line.copy())
            return True
    return False


def _dim(graph: Graph, name: str, axis: int) -> int | str | None:
    shape = graph.tensors[name].shape
    return None if shape is None else shape[axis]


def _sizes(graph: Graph, before: str, after: str) -> tuple[list[int], list[int]] | None:
    """Both shapes of a reshape with a number for every open size.

    No number is another's, or what is moved could look as if it stayed. One open size of the result may be the rest.
    """
    shapes = graph.tensors[before].shape, graph.tensors[after].shape
    if shapes[0] is None or shapes[1] is None or 0 in (*shapes[0], *shapes[1]):
        return None
    names = list(dict.fromkeys(size for size in shapes[0] if isinstance(size, str)))
    if len(names) > len(_STAND_INS):
        return None
    known: dict[int | str, int] = dict(zip(names, _STAND_INS, strict=False))
    first = [known.get(size, size) for size in shapes[0]]
    second = [known.get(size, size) for size in shapes[1]]
    total, fixed = math.prod(size for size in first if isinstance(size, int)), [s for s in second if isinstance(s, int)]
    if len(fixed) == len(second) - 1:
        rest = total // math.prod(fixed)
        second = [size if isinstance(size, int) else rest for size in second]
    result = [size for size in first if isinstance(size, int)], [size for size in second if isinstance(size, int)]
    return result if len(result[1]) == len(second) and math.prod(result[1]) == total else None


_RULES: dict[str, Callable[[Graph, Dependencies, Node], bool]] = {
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys(_UNARY, _pass),
    **dict.fromkeys(_CHANNELS_LAST, _channels_last),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("reshape", "squeeze", "unsqueeze"), _reshape),
    **dict.fromkeys(("softmax", "log_softmax"), _along_others("axis")),
    "slice": _along_others("axes"),
    "concat": _concat,
    "split": _split,
    "transpose": _transpose,
    "gather": _gather,
    "layer_normalization": _layer_normalization,
    "pad": _pad,
    "expand": _expand,
}
