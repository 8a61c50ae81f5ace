"""How each operator runs on permuted tensors.

A layout here is one of two orders of axes: plain (as the model was written, channels on axis 1) and channels last.
`flip_rule` says what becomes of a node when its tensors change from one to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from whit.ir import Attribute, Dim, Graph, Node, Quantization, Tensor
from whit.optimize.base import attribute_int, attribute_ints, is_static

__all__ = [
    "BINARY",
    "UNARY",
    "Flip",
    "Permutation",
    "channels_first",
    "channels_last",
    "flip_rule",
    "moves_only_ones",
    "permute_constant",
    "permute_tensor",
    "permuted",
    "reshape_for_permutation",
]

Permutation = Callable[[int], tuple[int, ...]]

UNARY = frozenset(
    (
        *("clip", "leaky_relu", "elu", "sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu", "gelu", "erf"),
        *(
            "softplus",
            "exp",
            "log",
            "sqrt",
            "reciprocal",
            "abs",
            "neg",
            "floor",
            "ceil",
            "round",
            "sin",
            "cos",
            "binarize",
        ),
        *("quantize_linear", "dequantize_linear", "requantize", "cast"),
    )
)
BINARY = frozenset(("add", "sub", "mul", "div", "pow", "min", "max", "prelu"))
_REDUCE = frozenset(("reduce_mean", "reduce_sum", "reduce_max", "reduce_min"))


def channels_last(rank: int) -> tuple[int, ...]:
    """[n, c, spatial...] -> [n, spatial..., c], as the attribute `perm`."""
    return (0, *range(2, rank), 1)


def channels_first(rank: int) -> tuple[int, ...]:
    """[n, spatial..., c] -> [n, c, spatial...], as the attribute `perm`."""
    return (0, rank - 1, *range(1, rank - 1))


@dataclass
class Flip:
    """A node whose tensors are permuted.

    Attributes:
        inputs, outputs: for each, whether it is permuted (else it stays as it is).
        attributes: the node's attributes afterwards.
    """

    inputs: list[bool]
    outputs: list[bool]
    attributes: dict[str, Attribute] = field(default_factory=dict)


def permuted(shape: tuple[Dim, ...], perm: Sequence[int]) -> tuple[Dim, ...]:
    """The shape of a transpose by `perm`."""
    return tuple(shape[axis] for axis in perm)


def permute_tensor(tensor: Tensor, perm: Sequence[int]) -> tuple[tuple[Dim, ...] | None, Quantization | None]:
    """Shape and quantisation of `transpose(tensor, perm)`."""
    quantization = tensor.quantization
    if quantization is not None and quantization.axis is not None:
        quantization = Quantization(quantization.scale, quantization.zero_point, list(perm).index(quantization.axis))
    return None if tensor.shape is None else permuted(tensor.shape, perm), quantization


def moves_only_ones(shape: tuple[Dim, ...], perm: Sequence[int]) -> bool:
    """True if the elements keep their order in memory: only axes of size 1 change places."""
    kept = [axis for axis in perm if shape[axis] != 1]
    return kept == sorted(kept)


def reshape_for_permutation(shape: tuple[Dim, ...], perm: Sequence[int]) -> list[int] | None:
    """The attribute `shape` of a reshape equal to the transpose, None where there is none."""
    if not moves_only_ones(shape, perm):
        return None
    new: list[int] = []
    for place, axis in enumerate(perm):
        size = shape[axis]
        if isinstance(size, int):
            new.append(size)
        else:
            new.append(0 if place == axis else -1)
    return None if new.count(-1) > 1 or 0 in shape else new


def flip_rule(graph: Graph, node: Node, permutation: Permutation) -> Flip | None:
    """What `node` becomes when its tensors of rank >= 3 are permuted by `permutation(rank)`; None if it cannot."""
    shapes: list[tuple[Dim, ...]] = []
    for name in (*node.inputs, *node.outputs):
        tensor = graph.tensors.get(name)
        if tensor is None or tensor.shape is None:
            return None
        shapes.append(tensor.shape)
    inputs, outputs = shapes[: len(node.inputs)], shapes[len(node.inputs) :]
    rank = len(inputs[0])
    if node.op in UNARY:
        return Flip([True], [True], node.attributes) if rank >= 3 and not node.attributes.get("perm") else None
    if node.op in BINARY:
        return _flip_binary(graph, node, inputs, len(outputs[0]))
    if node.op == "reshape":
        return _flip_reshape(node, inputs[0], outputs[0], permutation)
    if node.op == "unsqueeze":
        axes = _normalized(attribute_ints(node, "axes"), len(outputs[0]))
        dropped = _drop(axes, permutation, len(outputs[0]))
        if dropped is None:
            return None
        return Flip([dropped[1]], [True], {"axes": dropped[0]})
    if rank < 3:
        return None
    perm = permutation(rank)
    if node.op == "squeeze" or node.op in _REDUCE:
        keep = node.op != "squeeze" and attribute_int(node, "keepdims") == 1
        axes = _normalized(attribute_ints(node, "axes"), rank)
        dropped = (_moved(axes, perm), True) if keep else _drop(axes, permutation, rank)
        if dropped is None:
            return None
        return Flip([True], [dropped[1]], {**node.attributes, "axes": dropped[0]})
    if node.op == "arg_max":
        axes = [attribute_int(node, "axis") % rank]
        keep = attribute_int(node, "keepdims") == 1
        dropped = (_moved(axes, perm), True) if keep else _drop(axes, permutation, rank)
        if dropped is None:
            return None
        return Flip([True], [dropped[1]], {**node.attributes, "axis": dropped[0][0]})
    if node.op in ("softmax", "log_softmax", "concat", "split"):
        if any(len(shape) != rank for shape in shapes):
            return None
        axis = perm.index(attribute_int(node, "axis") % rank)
        return Flip([True] * len(inputs), [True] * len(outputs), {**node.attributes, "axis": axis})
    if node.op == "gather":
        if len(inputs[1]) != 1:
            return None
        return Flip([True, False], [True], {"axis": perm.index(attribute_int(node, "axis") % rank)})
    if node.op == "slice":
        axes = [perm.index(axis % rank) for axis in attribute_ints(node, "axes")]
        return Flip([True], [True], {**node.attributes, "axes": axes})
    if node.op == "pad":
        pads = attribute_ints(node, "pads")
        moved = [pads[axis] for axis in perm] + [pads[rank + axis] for axis in perm]
        return Flip([True], [True], {**node.attributes, "pads": moved})
    if node.op == "expand":
        sizes = attribute_ints(node, "shape")
        return Flip([True], [True], {"shape": [sizes[axis] for axis in perm]}) if len(sizes) == rank else None
    return None


def _flip_binary(graph: Graph, node: Node, inputs: list[tuple[Dim, ...]], rank: int) -> Flip | None:
    """Computed operands have the full rank; constants are brought to it; what has one element may stay."""
    if rank < 3:
        return None
    flips = []
    for name, shape in zip(node.inputs, inputs, strict=True):
        one_element = all(size == 1 for size in shape)
        if len(shape) < rank and not one_element and graph.constant(name) is None:
            return None
        flips.append(not (one_element and (len(shape) < rank or graph.constant(name) is not None)))
    return Flip(flips, [True], node.attributes) if any(flips) else None


def _flip_reshape(node: Node, old: tuple[Dim, ...], new: tuple[Dim, ...], permutation: Permutation) -> Flip | None:
    """Where axes of size 1 alone change places on one side, the other side does not notice."""
    sizes = attribute_ints(node, "shape")
    if len(old) >= 3 and moves_only_ones(old, permutation(len(old))):
        perm = permutation(len(old))
        if is_static(new):
            sizes = [size for size in new if isinstance(size, int)]
        elif any(size == 0 and perm[place] != place for place, size in enumerate(sizes)):
            return None
        return Flip([True], [False], {"shape": list(sizes)})
    if len(new) >= 3 and moves_only_ones(new, permutation(len(new))):
        perm = permutation(len(new))
        if is_static(new):
            sizes = [size for size in new if isinstance(size, int)]
        elif any(sizes[axis] == 0 and axis != place for place, axis in enumerate(perm)):
            return None
        return Flip([False], [True], {"shape": [sizes[axis] for axis in perm]})
    return None


def _normalized(axes: list[int], rank: int) -> list[int]:
    return [axis % rank for axis in axes]


def _moved(axes: list[int], perm: Sequence[int]) -> list[int]:
    return sorted(perm.index(axis) for axis in axes)


def _drop(axes: list[int], permutation: Permutation, rank: int) -> tuple[list[int], bool] | None:
    """The axes to drop from the permuted tensor, and whether what is left comes out permuted too."""
    if rank < 3:
        return None
    perm = permutation(rank)
    left = [axis for axis in range(rank) if axis not in axes]
    order = tuple(left.index(axis) for axis in perm if axis in left)
    if order == tuple(range(len(left))):
        return _moved(axes, perm), False
    if len(left) >= 3 and order == permutation(len(left)):
        return _moved(axes, perm), True
    return None


def permute_constant(data: np.ndarray, rank: int, perm: Sequence[int]) -> np.ndarray:
    """A constant operand, brought to `rank` by leading axes of size 1 and permuted."""
    return np.ascontiguousarray(data.reshape((1,) * (rank - data.ndim) + data.shape).transpose(perm))
